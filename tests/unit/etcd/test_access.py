"""Where a member is asked, and with which certificates."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import access
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.flavours import Running

from tests.unit.fake_host import FakeHost

TLS = {"trusted-ca-file": "/ca", "cert-file": "/server", "key-file": "/server-key"}
OWN = {"client-cert-file": "/client", "client-key-file": "/client-key"}
SECTION = {f"client-transport-security.{name}": value for name, value in TLS.items()}
CERTIFICATES = [
    ("flags", TLS, ("CA", "SERVER", "SERVER-KEY")),
    ("a file's section", SECTION, ("CA", "SERVER", "SERVER-KEY")),
    # the server's certificate need not be one for clients (extended key usage)
    ("one of its own for clients", {**TLS, **OWN}, ("CA", "CLIENT", "CLIENT-KEY")),
    ("none", {}, (None, None, None)),
]


def found(options: dict[str, str]) -> access.Access:
    host = FakeHost(
        {f"/proc/1/root/{name}": name.upper() for name in ("ca", "server", "server-key", "client", "client-key")}
    )
    return access.of(Running(1, ("etcd",), {}, options=options), host)


@pytest.mark.parametrize(
    ("options", "expected"), [row[1:] for row in CERTIFICATES], ids=[row[0] for row in CERTIFICATES]
)
def test_certificates(options, expected):
    told = found({"listen-client-urls": "https://127.0.0.1:2379", **options})
    assert (told.ca, told.certificate, told.key) == expected
    assert "KEY" not in repr(told)


HTTP = [
    ("one listener for both", {}, "https://127.0.0.1:2379", "https://10.0.0.2:2379"),
    ("another port", {"listen-client-http-urls": "https://127.0.0.1:2382"}, "https://127.0.0.1:2382", "https://10.0.0.2:2382"),
    ("without TLS", {"listen-client-http-urls": "http://0.0.0.0:80"}, "http://127.0.0.1:80", "http://10.0.0.2:80"),
    ("no port", {"listen-client-http-urls": "http://127.0.0.1"}, "http://127.0.0.1", "http://10.0.0.2:80"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "own", "other"), [row[1:] for row in HTTP], ids=[row[0] for row in HTTP])
def test_where_http_is_spoken(options, own, other):
    told = found({"listen-client-urls": "https://10.0.0.1:2379,https://127.0.0.1:2379", **TLS, **options})
    etcd = Etcd(FakeHost({}), told)
    assert (etcd.url, etcd.other("https://10.0.0.2:2379").url) == (own, other)


def test_an_address_of_ipv6_keeps_its_brackets():
    told = found({"listen-client-http-urls": "http://[::1]:2382", "listen-client-urls": "https://[::1]:2379", **TLS})
    assert told.reached("https://[fd00::2]:2379") == "http://[fd00::2]:2382"
