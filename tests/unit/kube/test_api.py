"""What is said of an API server whose address is no good: never the password in it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi, connect
from urllib3.exceptions import LocationParseError

from tests.api.kubeconfig import of_cni

SERVERS = [
    ("a bad port", "https://admin:S3CR3T@127.0.0.1:99999"),
    ("an @ in the password", "https://admin:p@S3CR3T@127.0.0.1:99999"),
    ("a slash in the password", "https://admin:p/S3CR3T@127.0.0.1:99999"),
    ("a name alone", "https://S3CR3T@127.0.0.1:99999"),
    ("no address", "https://admin:S3CR3T@[::1"),
]


@pytest.mark.parametrize("server", [case[1] for case in SERVERS], ids=[case[0] for case in SERVERS])
def test_a_password_in_the_server_s_address_is_never_shown(tmp_path, server):
    path = tmp_path / "config"
    path.write_text(of_cni(server, "t"))
    with pytest.raises(NodewardError, match=r"^kubeconfig: ") as refused:
        connect(kubeconfig=str(path))
    assert "S3CR3T" not in str(refused.value)


def test_nor_where_a_request_fails_later_and_the_client_writes_the_address_in_its_own_way():
    class Configuration:
        host = "https://admin:S3CR3T@Cluster.example"

    def fail(*_words: Any, **_how: Any) -> None:
        raise LocationParseError("https://admin:S3CR3T@cluster.example/version")

    with pytest.raises(NodewardError, match="GET /version") as refused:
        KubernetesApi(fail, Configuration()).get("/version")
    assert "S3CR3T" not in str(refused.value)


def test_what_else_is_said_stays(tmp_path):
    path = tmp_path / "config"
    path.write_text(of_cni("https://127.0.0.1:99999", "t"))
    with pytest.raises(NodewardError, match=r"Failed to parse: .*127\.0\.0\.1:99999"):
        connect(kubeconfig=str(path))
