# Private to the collection nodeward.calico: may change in any release.
"""HTTP with the standard library: for an API server with client certificates, and for health checks on loopback.

No proxy of the environment is used, no redirect followed. Not by what Ansible brings (urls), which takes authority,
certificate and key as paths only: those of a kubeconfig are text, and keys are not to be written to a disk for it. It
also has nothing between a checked name in a certificate and no check at all, which a member on loopback needs.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Union
from urllib.parse import urlsplit

from .errors import NodewardError

PATIENCE = 5.0  # seconds for one step of one exchange
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes
# Where to connect to what listens on every address of the node.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "::1"}  # noqa: S104 - named to be replaced

_Connection = Union[http.client.HTTPConnection, http.client.HTTPSConnection]


@dataclass(frozen=True)
class Request:
    """One request. ``ca``, ``certificate`` and ``key`` are PEM texts; without ``ca`` the system's are trusted.

    ``check_name`` False takes any name in a certificate that the authority has signed: for loopback.
    ``patience`` is in seconds, for one step of the exchange. What may be secret stays out of its representation.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str | None = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    verify: bool = True
    check_name: bool = True
    patience: float = PATIENCE


@dataclass(frozen=True)
class Answer:
    """The status and the text of an answer; ``date`` is the server's own time in seconds since 1970, if it says it."""

    status: int
    body: str = field(default="", repr=False)
    date: float | None = field(default=None, compare=False)


def send(request: Request) -> Answer:
    """Send a request and return the answer, whatever its status. Raises NodewardError where there is none."""
    try:
        parts = urlsplit(request.url)
        with contextlib.closing(_connection(request, parts.scheme, parts.hostname or "", parts.port)) as line:
            path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            body = None if request.body is None else request.body.encode()
            line.request(request.method, path, body, dict(request.headers))
            answer = line.getresponse()
            text = answer.read(LARGEST_ANSWER).decode(errors="replace")
            return Answer(answer.status, text, _moment(answer.getheader("Date")))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NodewardError(
            what=f"does not answer ({_said(error)})",
            where=place(request.url),
            remedy="See that it runs and can be reached from the node",
        ) from error


def stream(request: Request) -> Iterator[bytes]:
    """Send a request and yield the lines of its answer as they come. Raises NodewardError where there is none."""
    try:
        parts = urlsplit(request.url)
        with contextlib.closing(_connection(request, parts.scheme, parts.hostname or "", parts.port)) as line:
            body = None if request.body is None else request.body.encode()
            line.request(request.method, parts.path or "/", body, dict(request.headers))
            answer = line.getresponse()
            if answer.status != 200:
                raise http.client.HTTPException(f"it answered with {answer.status}")  # noqa: TRY301 - as those of http are
            yield from iter(answer.readline, b"")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NodewardError(
            what=f"broke off ({_said(error)})", where=place(request.url), remedy="See that it runs, then run again"
        ) from error


def _connection(request: Request, scheme: str, host: str, port: int | None) -> _Connection:
    patience = request.patience
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=patience)
    context = ssl.create_default_context(cadata=request.ca)
    if not request.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not request.check_name:
        context.check_hostname = False
    if request.certificate:
        with _in_memory(f"{request.certificate}\n{request.key or ''}") as path:
            context.load_cert_chain(path)
    return http.client.HTTPSConnection(host, port, timeout=patience, context=context)


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Give a text the name of a file that is on no disk: ssl takes a client's key from a file only."""
    descriptor = os.memfd_create("nodeward", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "w") as stream:
            stream.write(text)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def place(url: str) -> str:
    """Return scheme, host and port; a user and a password that stand before them are left out."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        return f"{parts.scheme}://{host}:{parts.port}" if parts.port is not None else f"{parts.scheme}://{host}"
    except ValueError:
        return "an address that is none"


def _moment(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):  # which of them, depends on Python's release
        return None


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValueError):  # http.client quotes the header or the address that it does not take
        return type(error).__name__
    return str(error) or type(error).__name__
