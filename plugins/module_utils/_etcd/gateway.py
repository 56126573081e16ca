# Private to the collection nodeward.calico: may change in any release.
"""etcd's gRPC gateway (/v3) over HTTP: its calls, and its stream of a snapshot. Numbers of 64 bits are texts there."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._core.errors import NodewardError
from .._core.host import Host
from .access import Access

PATIENCE = 60.0  # seconds without a byte of a snapshot
MODE = 0o600
_SUM = 32


class GatewayError(NodewardError):
    """An answer other than yes; ``status`` is HTTP's.

    404 says that there is no gateway at all, which reaches a user only where there is no other way (etcdctl.instead).
    """

    def __init__(self, what: str, where: str, status: int) -> None:
        is_off = status == 404
        remedy = (
            "Start etcd with enable-grpc-gateway: true, which --config-file leaves off where it does not say so, "
            "or install etcdctl on the node"
            if is_off
            else "See the log of etcd"
        )
        super().__init__("its HTTP gateway is off, and the node has no etcdctl" if is_off else what, where, remedy)
        self.is_off = is_off


class Gateway:
    """The calls of one member, through the host port."""

    def __init__(self, host: Host, access: Access, url: str) -> None:
        self._host = host
        self._access = access
        self._url = url

    def call(self, path: str, body: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Make one call. Raises NodewardError."""
        request = self._access.request(self._url, path, json.dumps(body), patience)
        answer = self._host.send_http(request)
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if answer.status != 200 or not isinstance(told, dict):
            error = (
                str(told.get("message") or told.get("error") or "")[:200]
                if isinstance(told, dict)
                else answer.body[:200]
            )
            # etcd's own "not found", of a lease for example, comes as JSON; that there is no gateway, as plain text
            status = 0 if isinstance(told, dict) else answer.status
            raise GatewayError(f"{path} was answered with {answer.status}: {error or 'no JSON'}", self._url, status)
        return told

    def save(self, path: str, _size: int) -> None:
        """Write a snapshot into a file, once all of it has come. Raises NodewardError, OSError."""
        request = self._access.request(self._url, "/v3/maintenance/snapshot", "{}", patience=PATIENCE)
        self._host.write_stream(path, checked(chunks(self._host.stream(request)), self._url), MODE)


def chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Read the gateway's stream: a JSON object a line, the data in it in base64."""
    for line in lines:
        if line.strip():
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ValueError("it is no answer of etcd's")
            if "error" in told:
                raise ValueError(str(told["error"])[:200])
            result = told.get("result")
            yield base64.b64decode(str(result.get("blob") or "") if isinstance(result, dict) else "")


def checked(data: Iterable[bytes], url: str) -> Iterator[bytes]:
    """Pass the data on, and raise at its end unless the sum of it stands there."""
    digest, tail = hashlib.sha256(), b""
    try:
        for piece in data:
            joined = tail + piece
            digest.update(joined[:-_SUM])
            tail = joined[-_SUM:]
            yield piece
    except ValueError as error:
        raise NodewardError(what=f"the snapshot broke off: {error}", where=url, remedy="See the log of etcd") from error
    if digest.digest() != tail:
        raise NodewardError(
            what="the snapshot is not whole: its sum is another one", where=url, remedy="Run again, and see etcd's log"
        )


def coded(text: str) -> str:
    """Write a key or a value as the gateway takes it."""
    return base64.b64encode(text.encode()).decode("ascii")


def decoded(text: str) -> str:
    """Read a key or a value of the gateway's."""
    return base64.b64decode(text).decode(errors="replace")
