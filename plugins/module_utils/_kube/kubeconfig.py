# Private to the collection nodeward.calico: may change in any release.
"""A kubeconfig as kubeadm and client-go write it: where the API server is, and who we are to it."""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .._core.errors import NodewardError
from .._core.formats import UnsureError
from .._core.formats.yaml_lines import Path, scalars
from .._core.http import Request

# host.read_text: the text of a file, None where there is none
Read = Callable[[str], "str | None"]


@dataclass(frozen=True)
class Access:
    """An API server and the way in; PEM texts. Secrets stay out of its representation."""

    server: str = field(repr=False)  # which may have a password in it
    ca: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    verify: bool = True

    def request(self, path: str, method: str = "GET", body: str | None = None) -> Request:
        """Return a request for a path of the API, with a body in JSON."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return Request(
            url=self.server.rstrip("/") + path,
            method=method,
            headers=headers,
            body=body,
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
            verify=self.verify,
        )


def read(path: str, read_text: Read) -> Access:
    """Read the current context of a kubeconfig. Raises NodewardError, which never quotes the file."""
    text = read_text(path)
    if text is None:
        raise _unusable(path, "is not there")
    try:
        values = _flat(json.loads(text)) if text.lstrip().startswith("{") else scalars(text)
        return _Context(path, values, read_text).access()
    except UnsureError as unsure:
        raise _unusable(path, f"line {unsure.line} is nothing that client-go or kubeadm writes") from unsure
    except (ValueError, RecursionError, binascii.Error) as error:
        raise _unusable(path, "holds something that cannot be decoded") from error


def _flat(node: Any, path: Path = ()) -> dict[Path, str]:
    """Return the scalars of a document by their paths."""
    children: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(node, dict):
        children = iter(node.items())
    elif isinstance(node, list):
        children = iter(enumerate(node))
    elif node is not None:
        return {path: str(node).lower() if isinstance(node, bool) else str(node)}
    return {place: value for name, child in children for place, value in _flat(child, (*path, name)).items()}


class _Context:
    """The current context of the kubeconfig at ``path``."""

    def __init__(self, path: str, values: Mapping[Path, str], read_text: Read) -> None:
        self._path = path
        self._values = values
        self._read_text = read_text

    def access(self) -> Access:
        context = self._named("contexts", "context", self._values.get(("current-context",), ""))
        cluster = self._named("clusters", "cluster", context.get("cluster", ""))
        user = self._named("users", "user", context.get("user", ""))
        if "server" not in cluster:
            raise _unusable(self._path, "names no server for its current context")
        if not {"client-certificate", "client-certificate-data", "token", "tokenFile"} & set(user):
            raise _unusable(self._path, "has neither a client certificate nor a token for its current context")
        certificate, token = self._pem(user, "client-certificate"), self._token(user)
        if not certificate and not token:
            raise _unusable(self._path, "has an empty token for its current context")
        return Access(
            server=cluster["server"],
            ca=self._pem(cluster, "certificate-authority"),
            certificate=certificate,
            key=self._pem(user, "client-key"),
            token=token,
            verify=cluster.get("insecure-skip-tls-verify") != "true",
        )

    def _named(self, kind: str, field_name: str, name: str) -> dict[str, str]:
        """Return the fields of the entry of this name in one of the three lists."""
        numbers = [
            path[1] for path, value in self._values.items() if (path[0], *path[2:]) == (kind, "name") and value == name
        ]
        return {
            str(path[3]): value
            for path, value in self._values.items()
            if len(path) == 4 and path[0] == kind and path[1] in numbers[-1:] and path[2] == field_name
        }

    def _pem(self, fields: Mapping[str, str], name: str) -> str | None:
        if f"{name}-data" in fields:
            return base64.b64decode(fields[f"{name}-data"], validate=True).decode("ascii")
        return self._file(fields[name]) if fields.get(name) else None

    def _token(self, fields: Mapping[str, str]) -> str | None:
        token = self._file(fields["tokenFile"]).strip() if fields.get("tokenFile") else fields.get("token")
        if token and not (token.isascii() and token.isprintable()):
            raise _unusable(self._path, "has a token that no header can hold")
        return token

    def _file(self, name: str) -> str:
        path = posixpath.join(posixpath.dirname(self._path), name)
        text = self._read_text(path)
        if text is None:
            raise _unusable(path, f"is not there, and {self._path} names it")
        if not text.isascii():
            raise _unusable(path, f"holds something else than PEM or a token, and {self._path} names it")
        return text


def _unusable(path: str, what: str) -> NodewardError:
    return NodewardError(what=what, where=path, remedy="Give a kubeconfig that works with kubectl --kubeconfig")
