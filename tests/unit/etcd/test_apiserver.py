"""The API server of the node, as its command line and its answers tell."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    apiserver,
)

from tests.unit.etcd.a_node import OWN_NET, PID
from tests.unit.fake_host import FakeHost

pytestmark = pytest.mark.usefixtures("both_ways")

API_SERVER = "kube-apiserver\0--etcd-servers=https://127.0.0.1:2379\0"


def an_api_server(*flags: str) -> FakeHost:
    links = {"/proc/1/ns/net": OWN_NET, f"/proc/{PID}/ns/net": OWN_NET}
    command = "\0".join(["kube-apiserver", "--etcd-servers=https://127.0.0.1:2379", *flags])
    return FakeHost({f"/proc/{PID}/comm": "kube-apiserver\n", f"/proc/{PID}/cmdline": command}, links=links)


API: list[tuple[str, tuple[str, ...], str, Answer | None, str]] = [
    ("ready", (), "https://127.0.0.1:6443", Answer(200), ""),
    ("not ready", (), "https://127.0.0.1:6443", Answer(500), "not ready (500)"),
    ("away", (), "https://127.0.0.1:6443", None, "does not answer"),
    ("closed to us", (), "https://127.0.0.1:6443", Answer(401), ""),
    ("elsewhere", ("--secure-port=443", "--bind-address=10.0.0.1"), "https://10.0.0.1:443", Answer(200), ""),
    ("everywhere", ("--bind-address=0.0.0.0",), "https://127.0.0.1:6443", Answer(200), ""),
]


@pytest.mark.parametrize(("flags", "url", "answer", "told"), [c[1:] for c in API], ids=[c[0] for c in API])
def test_the_api_server_of_the_node(flags, url, answer, told):
    host = an_api_server(*flags)
    if answer:
        host.answers[f"GET {url}/readyz"] = answer
    found = apiserver.trouble(host, 2379)
    assert told in found
    assert bool(told) is bool(found)
    assert apiserver.trouble(host, 2390) == "", "it uses another etcd"
