"""Requests to a server of this machine."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request, send, stream

from tests.api.pki import Authority


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.send_response(418 if self.path == "/teapot" else 200)
        self.end_headers()
        self.wfile.write(f"{self.command} {self.path} {self.headers.get('X-A')} {body}".encode())

    do_GET = answer  # noqa: N815 - http.server calls it so
    do_PUT = answer  # noqa: N815

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def serve(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def port() -> Iterator[int]:
    yield from serve()


def test_a_request_and_its_answer(port, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    put = Request(f"http://127.0.0.1:{port}/a?b=c", "PUT", {"X-A": "x"}, "body")
    assert LocalHost().send_http(put) == Answer(200, "PUT /a?b=c x body")
    assert send(Request(f"http://127.0.0.1:{port}")) == Answer(200, "GET / None ")
    assert send(Request(f"http://127.0.0.1:{port}/teapot")).status == 418


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000.0),
        ("yesterday", None),
        ("", None),
        ("Tue, 99 Nov 99999 22:13:20 GMT", None),
    ],
)
def test_the_server_s_own_time(port, monkeypatch, date, told):
    monkeypatch.setattr(Echo, "date_time_string", lambda _self: date)
    assert send(Request(f"http://127.0.0.1:{port}")).date == told


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://127.0.0.1:99999/x", "https://[::1]:1/", "http:///x"])
def test_nobody_answers(url):
    with pytest.raises(NodewardError, match="does not answer"):
        send(Request(url))


SECRETS = [
    ("a header of two lines", "http://127.0.0.1:1/x", {"Authorization": "Bearer S3CR3T\nX"}, "http://127.0.0.1:1"),
    ("a header that cannot be sent", "http://127.0.0.1:1/x", {"X": "S3CR3T\u20ac"}, "http://127.0.0.1:1"),
    ("a password", "https://user:S3CR3T@127.0.0.1:1/x", {}, "https://127.0.0.1:1"),
    ("a password, IPv6", "https://user:S3CR3T@[::1]:1/x", {}, "https://[::1]:1"),
    ("a password before what is no port", "http://user:S3CR3T@h:99999/x", {}, "an address that is none"),
    ("a password before what is no address", "http://user:S3CR3T@[::1/x", {}, "an address that is none"),
]


@pytest.mark.parametrize(("url", "headers", "where"), [case[1:] for case in SECRETS], ids=[case[0] for case in SECRETS])
def test_what_may_be_secret_is_not_in_the_error(url, headers, where):
    with pytest.raises(NodewardError, match="does not answer") as refused:
        send(Request(url, headers=headers))
    assert "S3CR3T" not in str(refused.value)
    assert refused.value.where == where


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls_port(tmp_path: Path, authority: Authority) -> Iterator[int]:
    """A server that asks for a client's certificate."""
    pair = authority.server(["localhost"], ["127.0.0.1"])
    (tmp_path / "server.pem").write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem)
    yield from serve(context)


def test_both_sides_show_their_certificates(tls_port, authority):
    pair = authority.client("me", [])
    url = f"https://127.0.0.1:{tls_port}/x"
    assert send(Request(url, ca=authority.pem, certificate=pair.certificate, key=pair.key)).status == 200
    # as the kubelet keeps them: both in one file, which is read twice
    both = pair.certificate + pair.key
    assert send(Request(url, verify=False, certificate=both, key=both)).status == 200


def test_a_server_of_another_authority_is_not_believed(tls_port, authority):
    pair = authority.client("me", [])
    request = Request(f"https://127.0.0.1:{tls_port}/x", ca=Authority().pem, certificate=pair.certificate, key=pair.key)
    with pytest.raises(NodewardError, match=r"(?i)certificate verify failed") as refused:
        send(request)
    assert pair.key not in repr(request) + str(refused.value)


def test_a_key_that_is_none_is_said_without_it(tls_port):
    with pytest.raises(NodewardError, match="does not answer") as refused:
        send(Request(f"https://127.0.0.1:{tls_port}/x", certificate="S3CR3T", key="S3CR3T"))
    assert "S3CR3T" not in str(refused.value)


def test_a_stream_by_its_lines(port):
    url = f"http://127.0.0.1:{port}"
    assert list(LocalHost().stream(Request(url, "PUT", body="one\ntwo"))) == [b"PUT / None one\n", b"two"]
    with pytest.raises(NodewardError, match="answered with 418"):
        list(stream(Request(f"{url}/teapot")))
