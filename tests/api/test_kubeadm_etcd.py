"""kubeadm's copy of etcd's flags, on a real API server; kubectl is the judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._kube import kubeadm_etcd
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import Client

from tests.api import ApiServer
from tests.unit.kube.test_kubeadm_args import LIST, MAP, NONE_LIST, arguments

ADMIN_CONF = "/etc/kubernetes/admin.conf"
WANTED = {"heartbeat-interval": "250", "election-timeout": "5000"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def host(server: ApiServer, tmp_path: Path) -> LocalHost:
    server.kubectl("delete", "configmap", "--namespace=kube-system", "--all")
    (tmp_path / "etc/kubernetes").mkdir(parents=True)
    (tmp_path / ADMIN_CONF[1:]).write_text(server.kubeconfig())
    return LocalHost(str(tmp_path))


def put(server: ApiServer, text: str) -> None:
    item = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kubeadm-config", "namespace": "kube-system"},
        "data": {"ClusterConfiguration": text, "ClusterStatus": "other"},
    }
    server.kubectl("create", "-f", "-", stdin=json.dumps(item))


def text(server: ApiServer) -> str:
    got = server.kubectl("get", "configmap", "kubeadm-config", "--namespace=kube-system", "--output=json")
    data = json.loads(got)["data"]
    assert data["ClusterStatus"] == "other"
    return str(data["ClusterConfiguration"])


@pytest.mark.parametrize("before", [MAP, LIST, NONE_LIST], ids=["map", "list", "none"])
def test_an_upgrade_keeps_the_flags_and_the_way_back_is_exact(server: ApiServer, host: LocalHost, before: str) -> None:
    put(server, before)
    foretold = kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=True)
    assert text(server) == before
    done = kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=False)
    assert done == foretold
    assert arguments(text(server)) == {**arguments(before), **WANTED}
    assert yaml.safe_load(text(server))["imageRepository"] == "registry.k8s.io"
    assert kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=False)["changed"] is False

    assert kubeadm_etcd.run(host, ADMIN_CONF, {}, restore=True, check_mode=False)["changed"] is True
    assert text(server) == before
    assert kubeadm_etcd.run(host, ADMIN_CONF, {}, restore=True, check_mode=False)["changed"] is False


def test_what_someone_else_set_since_is_left_and_named(server: ApiServer, host: LocalHost) -> None:
    put(server, MAP)
    kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=False)
    theirs = text(server).replace('"250"', '"300"')
    server.kubectl("delete", "configmap", "kubeadm-config", "--namespace=kube-system")
    put(server, theirs)
    result = kubeadm_etcd.run(host, ADMIN_CONF, {}, restore=True, check_mode=False)
    assert [finding["observed"] for finding in result["findings"]] == ["300"]
    assert arguments(text(server)) == {"heartbeat-interval": "300", "x": "1"}


def test_a_second_run_that_is_killed_before_it_writes_leaves_the_way_back_of_the_first(
    server: ApiServer, host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, MAP)
    kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=False)
    replace = Client.replace

    def killed(client: Client, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        if path.endswith("/kubeadm-config"):  # the journal has it by now
            raise KeyboardInterrupt
        return replace(client, path, item, dry_run)

    with monkeypatch.context() as patched:
        patched.setattr(Client, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            kubeadm_etcd.run(host, ADMIN_CONF, {**WANTED, "heartbeat-interval": "300"}, restore=False, check_mode=False)
    assert arguments(text(server)) == {**arguments(MAP), **WANTED}
    told = kubeadm_etcd.run(host, ADMIN_CONF, {}, restore=True, check_mode=False)
    assert (told["changed"], told["findings"], text(server)) == (True, [], MAP)


def test_where_it_cannot_be_done_it_is_said(server: ApiServer, host: LocalHost) -> None:
    told = kubeadm_etcd.run(host, "/none", WANTED, restore=False, check_mode=False)
    assert [finding["observed"] for finding in told["findings"]] == ["no such file"]
    told = kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=False)
    assert [finding["observed"] for finding in told["findings"]] == ["there is none"]
    external = "etcd:\n  external:\n    endpoints:\n    - https://192.0.2.1:2379\n"
    put(server, external)
    told = kubeadm_etcd.run(host, ADMIN_CONF, WANTED, restore=False, check_mode=False)
    assert "its etcd is external" in told["findings"][0]["observed"]
    assert text(server) == external
