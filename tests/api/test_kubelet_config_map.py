"""kubeadm's copy of the kubelet's configuration, and the node's Ready, on a real API server; kubectl is the judge."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._kube import kubelet_config_map
from ansible_collections.nodeward.calico.plugins.module_utils._node import health
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet

from tests.api import ApiServer
from tests.api.nodes import add_node, set_ready

ADMIN_CONF = "/etc/kubernetes/admin.conf"
WANTED = {"podPidsLimit": 4096, "systemReserved.pid": 1024, "kubeReserved.pid": 1024}
# As kubeadm writes it, with what people add.
KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
# ticket 4711
kind: KubeletConfiguration
systemReserved:
  # for sshd too
  cpu: 200m
"""
HASH = {"kubeadm.kubernetes.io/component-config.hash": "sha256:fcff8a0a"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api"), nodes=("node1",)) as api:
        add_node(api, "node1", "192.0.2.1")
        yield api


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    """No ConfigMap of kubeadm's or ours."""
    server.kubectl("delete", "configmap", "--namespace=kube-system", "--all")
    return server


@pytest.fixture
def host(server: ApiServer, tmp_path: Path) -> LocalHost:
    """A control-plane node below a folder."""
    for path, text in ({ADMIN_CONF: server.kubeconfig()} | server.kubelet_files("node1")).items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    return LocalHost(str(tmp_path))


def put(api: ApiServer, text: str = KUBELET, name: str = "kubelet-config") -> None:
    metadata = {"name": name, "namespace": "kube-system", "annotations": HASH}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"kubelet": text}}
    api.kubectl("apply", "-f", "-", stdin=json.dumps(item))


def config_map(api: ApiServer, name: str = "kubelet-config") -> dict[str, Any]:
    text = api.kubectl("get", "configmap", name, "--namespace=kube-system", "--output=json", "--ignore-not-found")
    read: dict[str, Any] = json.loads(text) if text else {}
    return read


def kubelet(api: ApiServer, name: str = "kubelet-config") -> str:
    return str(config_map(api, name)["data"]["kubelet"])


def harden(host: LocalHost, check: bool = False, wanted: Mapping[str, int | None] = WANTED) -> dict[str, Any]:
    return kubelet_config_map.run(host, ADMIN_CONF, wanted, restore=False, check_mode=check)


def restore(host: LocalHost, check: bool = False) -> dict[str, Any]:
    return kubelet_config_map.run(host, ADMIN_CONF, {}, restore=True, check_mode=check)


def test_the_limits_are_in_it_and_go_back(api: ApiServer, host: LocalHost) -> None:
    put(api)
    foretold = harden(host, check=True)
    assert (kubelet(api), config_map(api, "nodeward-journal")) == (KUBELET, {})

    assert harden(host) == foretold
    assert [change["target"].rpartition(" ")[2] for change in foretold["changes"]] == list(WANTED)
    assert yaml.safe_load(kubelet(api)) == yaml.safe_load(KUBELET) | {
        "podPidsLimit": 4096,
        "systemReserved": {"cpu": "200m", "pid": "1024"},
        "kubeReserved": {"pid": "1024"},
    }
    assert [line for line in KUBELET.splitlines() if line not in kubelet(api).splitlines()] == []
    assert config_map(api)["metadata"]["annotations"].items() >= HASH.items(), "a text that does not match is a user's"
    version = config_map(api)["metadata"]["resourceVersion"]
    assert harden(host)["changed"] is False
    assert config_map(api)["metadata"]["resourceVersion"] == version

    assert restore(host, check=True)["changed"] is True
    assert config_map(api)["metadata"]["resourceVersion"] == version
    assert restore(host)["changed"] is True
    assert (kubelet(api), config_map(api, "nodeward-journal")) == (KUBELET, {})
    assert restore(host)["changed"] is False
    assert harden(host)["changes"] == foretold["changes"]


def test_a_cap_and_a_floor_that_are_there_stay(api: ApiServer, host: LocalHost) -> None:
    text = KUBELET + 'podPidsLimit: 100\nkubeReserved:\n  pid: "5k"\n'
    put(api, text)
    assert [change["target"].split()[-1] for change in harden(host)["changes"]] == ["systemReserved.pid"]
    assert harden(host, wanted=dict.fromkeys(WANTED))["changes"] == []


def test_the_newest_of_the_versioned_ones(api: ApiServer, host: LocalHost) -> None:
    for minor in (9, 20, 19):
        put(api, name=f"kubelet-config-1.{minor}")
    harden(host)
    assert "podPidsLimit: 4096" in kubelet(api, "kubelet-config-1.20")
    assert [kubelet(api, f"kubelet-config-1.{minor}") for minor in (9, 19)] == [KUBELET] * 2

    # the upgrade to 1.24 carries the text over
    put(api, kubelet(api, "kubelet-config-1.20"))
    restore(host)
    assert kubelet(api) == KUBELET


def test_what_someone_else_changed_since_is_left_and_named(api: ApiServer, host: LocalHost) -> None:
    put(api)
    harden(host)
    put(api, kubelet(api).replace("podPidsLimit: 4096", "podPidsLimit: 8192"))
    told = restore(host)
    assert [(f["id"], f["observed"], f["wanted"]) for f in told["findings"]] == [
        ("pid_limits.changed_since", "8192", "absent")
    ]
    assert kubelet(api) == KUBELET + "podPidsLimit: 8192\n"
    assert "podPidsLimit" in config_map(api, "nodeward-journal")["data"]["journal.json"]


class Busy(LocalHost):
    """A node on which somebody else is a little quicker, some times."""

    def __init__(self, root: str, api: ApiServer, times: int) -> None:
        super().__init__(root)
        self._api = api
        self._times = times

    def send_http(self, request: Request) -> Answer:
        if request.method == "PUT" and self._times:
            self._times -= 1
            words = ["kube-system", "configmap", "kubelet-config", f"other={self._times}", "--overwrite"]
            self._api.kubectl("annotate", "--namespace", *words)
        return super().send_http(request)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("times", [1, 3])
def test_another_s_change_in_between_is_kept(api: ApiServer, tmp_path: Path, times: int) -> None:
    put(api)
    assert harden(Busy(str(tmp_path), api, times))["changed"] is True
    assert yaml.safe_load(kubelet(api))["systemReserved"] == {"cpu": "200m", "pid": "1024"}
    assert config_map(api)["metadata"]["annotations"]["other"] == "0"
    assert restore(Busy(str(tmp_path), api, times))["changed"] is True
    assert kubelet(api) == KUBELET


def test_somebody_who_is_always_quicker(api: ApiServer, tmp_path: Path, host: LocalHost) -> None:
    put(api)
    with pytest.raises(NodewardError, match="answered with 409"):
        harden(Busy(str(tmp_path), api, 100))
    assert "podPidsLimit" not in kubelet(api)
    assert harden(host)["changed"] is True


BAD = [
    ("no ConfigMap", None, "this is no cluster of kubeadm's"),
    ("not YAML", "[x\n", "ConfigMap kube-system/kubelet-config: podPidsLimit cannot be set in its text: line 1"),
    ("flow style at the place", KUBELET.replace("systemReserved:\n  # for sshd too\n  cpu: 200m", "systemReserved: {}"),
     "systemReserved.pid cannot be set in its text: line 7"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_refused_before_anything_is_touched(
    api: ApiServer, host: LocalHost, text: str | None, told: str
) -> None:
    if text:
        put(api, text)
    with pytest.raises(NodewardError, match=told):
        harden(host)
    assert config_map(api, "nodeward-journal") == {}


def test_a_node_without_a_kubeconfig_is_told(host: LocalHost) -> None:
    for wanted, restored in ((WANTED, False), ({}, True)):
        told = kubelet_config_map.run(host, "/etc/none", wanted, restored, check_mode=False)
        assert [(f["id"], f["where"]) for f in told["findings"]] == [("pid_limits.kubeadm_untouched", "/etc/none")]
        assert told["changed"] is False


def test_a_journal_that_cannot_be_read_stops_the_run(api: ApiServer, host: LocalHost) -> None:
    put(api)
    api.kubectl("create", "configmap", "nodeward-journal", "--namespace=kube-system", "--from-literal=journal.json={")
    for run in (harden, restore):
        with pytest.raises(NodewardError, match="ConfigMap kube-system/nodeward-journal: the journal of earlier"):
            run(host)
    assert kubelet(api) == KUBELET


def test_who_may_not_is_told_so(api: ApiServer, server: ApiServer, tmp_path: Path, host: LocalHost) -> None:
    put(api)
    (tmp_path / ADMIN_CONF[1:]).write_text(server.kubeconfig("system:node:node1"))
    with pytest.raises(NodewardError, match="answered with 403"):
        harden(host)
    assert kubelet(api) == KUBELET


# --- the node's Ready, with the kubelet's own kubeconfig ------------------------------------------------

AGENT = Kubelet(running=True, kubeconfig="/etc/kubernetes/kubelet.conf", node_name="node1")


@pytest.mark.parametrize("ready", [True, False])
def test_ready_as_the_kubelet_may_read_it(server: ApiServer, host: LocalHost, ready: bool) -> None:
    set_ready(server, "node1", ready)
    signs = health.look(host, AGENT)
    assert (health.READY in signs.well, health.READY in signs.ill) == (ready, not ready)


def test_a_node_that_is_not_known(host: LocalHost) -> None:
    signs = health.look(host, Kubelet(running=True, kubeconfig=AGENT.kubeconfig, node_name="node9"))
    assert health.READY in signs.ill
    assert "there is no such node" in signs.why
