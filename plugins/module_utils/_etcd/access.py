# Private to the collection nodeward.calico: may change in any release.
"""Where a member listens, and the certificates with which it lets itself be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.http import LOOPBACK, Request
from .flavours import Running

_SECTION = "client-transport-security."


@dataclass(frozen=True)
class Access:
    """The addresses of one member, and PEM texts. Keys stay out of its representation, and of every result.

    ``grpc`` is where etcdctl asks, and ``files`` what it asks with: the node's paths of authority, certificate and key.

    ``metrics`` is '' where it has no listener for those: they are on ``client`` as well. ``http`` are scheme and port
    of a listener for HTTP alone (listen-client-http-urls), '' where the one for clients speaks HTTP too.
    """

    client: str
    metrics: str = ""
    http: tuple[str, int] | None = None
    ca: str | None = field(default=None, repr=False)
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    grpc: str = ""
    files: tuple[str, ...] = ("", "", "")

    def reached(self, url: str) -> str:
        """Return where another member takes HTTP, for the address that it tells clients: as our own one does."""
        if self.http is None:
            return url
        scheme, port = self.http
        host = parts(url)[0]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def request(self, url: str, path: str, body: str | None = None, patience: float = 5.0) -> Request:
        """Return a request to an address of this member, or of another one that takes the same certificates."""
        is_tls = url.startswith("https:")
        return Request(
            url=url.rstrip("/") + path,
            method="GET" if body is None else "POST",
            headers={} if body is None else {"Content-Type": "application/json"},
            body=body,
            ca=self.ca if is_tls else None,
            certificate=self.certificate if is_tls else None,
            key=self.key if is_tls else None,
            # without an authority of its own (self-signed, auto-tls) there is nothing to check by
            verify=not is_tls or self.ca is not None,
            # a member is known by its authority; not every certificate names 127.0.0.1
            check_name=False,
            patience=patience,
        )


def of(running: Running, host: Host) -> Access:
    """Read where a member listens and what it serves with. Raises NodewardError."""
    options = running.options
    # from etcd 3.4.29 and 3.5.11 on: where it is given, there is no HTTP on listen-client-urls any more
    alone = _urls(options.get("listen-client-http-urls", ""))
    spoken = _urls(options.get("listen-client-urls") or "http://localhost:2379")
    clients = alone or spoken
    if not clients:
        raise NodewardError(
            what="it listens on no address of TCP for clients",
            where=f"etcd {options.get('name', '')}",
            remedy="Give it an address in listen-client-urls",
        )
    metrics = _urls(options.get("listen-metrics-urls", ""))
    client, grpc = _nearest(clients), _nearest(spoken or clients)
    http = _scheme_and_port(alone[0]) if alone else None
    found = Access(client, metrics[0] if metrics else "", http, grpc=grpc)
    if not any(url.startswith("https:") for url in (client, grpc, *metrics[:1])):
        return found
    # a server's certificate need not be one for clients: then etcd has another one for itself
    own = "client-" if _option(options, "client-cert-file") else ""
    ca, certificate, key = (_option(options, name) for name in ("trusted-ca-file", f"{own}cert-file", f"{own}key-file"))
    texts = [_file(host, running, path) for path in (ca, certificate, key)]
    places = (_place(host, running, path, text) for path, text in zip((ca, certificate, key), texts))
    return replace(found, ca=texts[0], certificate=texts[1], key=texts[2], files=tuple(places))


def _nearest(urls: list[str]) -> str:
    return next((url for url in urls if parts(url)[0] in ("127.0.0.1", "localhost", "::1")), urls[0])


def parts(url: str) -> tuple[str, int | None]:
    """Return the host and the port of an address; ('', None) of what is none."""
    try:
        found = urlsplit(url)
        return found.hostname or "", found.port
    except ValueError:
        return "", None


def _scheme_and_port(url: str) -> tuple[str, int]:
    scheme = url.partition(":")[0]
    return scheme, parts(url)[1] or {"http": 80, "https": 443}[scheme]


def local(url: str) -> str:
    """Return an address that can be connected to, for one that is listened on."""
    for wildcard, address in LOOPBACK.items():
        url = re.sub(rf"//{re.escape(wildcard)}(?=[:/]|$)", f"//{address}", url)
    return url


def _urls(text: str) -> list[str]:
    words = [word.strip().strip("\"'") for word in text.strip().split(",")]
    return [local(word) for word in words if word.startswith(("http://", "https://")) and parts(word)[0]]


def _option(options: Mapping[str, str], name: str) -> str:
    return options.get(name) or options.get(f"{_SECTION}{name}", "")


def _file(host: Host, running: Running, path: str) -> str | None:
    """Read a file as the process sees it; a member that was given none has none."""
    if not path:
        return None
    text = host.read_text(running.path(path))
    if text is None:
        raise NodewardError(
            what="is not there, and etcd was started with it",
            where=path,
            remedy="See the command line of etcd",
        )
    return text


def _place(host: Host, running: Running, path: str, text: str | None) -> str:
    """Return where the node has a file with this text: by its own name if it can, since that outlives the process."""
    is_same = path.startswith("/") and host.read_text(path) == text
    return "" if not path else path if is_same else running.path(path)
