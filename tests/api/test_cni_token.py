"""The CNI plugin's token on a real API server: accepted, expired, revoked, without a right; and a new one.

The real DaemonSet controller makes the new pod. Calico's install-cni does not run here: a test writes what calico-node
would write on the node.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._kube import cni_token as cluster
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Waiting
from ansible_collections.nodeward.calico.plugins.module_utils._node import cni_token

from tests.api import ApiServer
from tests.api.calico import NODES, client, deploy, hurried, wait_until
from tests.api.kubeconfig import of_cni
from tests.api.kubelets import Kubelets
from tests.api.tokens import signed
from tests.unit.kube.calico_objects import crd, custom, daemon_set

PODS = "/api/v1/namespaces/kube-system/pods"
SPACE = "--namespace=kube-system"
# What Calico's manifest gives the plugin's account, as far as its first request goes.
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "calico-cni-plugin"},
    "rules": [{"apiGroups": ["crd.projectcalico.org"], "resources": ["clusterinformations"], "verbs": ["get"]}],
}
FIXED = Waiting(20, lambda _line: None, every=0.2)


@pytest.fixture
def calico(api: ApiServer, admin: KubernetesApi) -> ApiServer:
    """ClusterInformation, the plugin's account and its right, and calico-node's DaemonSet."""
    api.kubectl("delete", "serviceaccount", "calico-cni-plugin", SPACE, "--ignore-not-found")
    api.kubectl("delete", "clusterrole", "calico-cni-plugin", "--ignore-not-found")
    api.kubectl("delete", "clusterrolebinding", "calico-cni-plugin", "--ignore-not-found")
    api.create(crd("ClusterInformation", "clusterinformations"), ROLE)
    api.establish()
    deploy(api, daemon_set(), custom("ClusterInformation", "default", calicoVersion="v3.28.0"))
    api.kubectl("create", "serviceaccount", "calico-cni-plugin", SPACE)
    bind(api)
    token = admin.token("kube-system", "calico-cni-plugin")
    # the authorizer hears of the binding a moment later
    wait_until(lambda: admin.try_token(cluster.PATH, token) == 200)
    return api


def bind(api: ApiServer) -> None:
    account = "--serviceaccount=kube-system:calico-cni-plugin"
    api.kubectl("create", "clusterrolebinding", "calico-cni-plugin", "--clusterrole=calico-cni-plugin", account)


class Node(LocalHost):
    """A node below a folder, with the kubeconfig that calico-node wrote and this machine's clock."""

    def __init__(self, root: Path, api: ApiServer) -> None:
        super().__init__(str(root))
        self._root_folder, self._api = root, api
        self.put(cni_token.NODENAME, "node1\n")
        for name in ("/proc/stat", "/proc/uptime"):
            self.put(name, Path(name).read_text())

    def put(self, path: str, text: str) -> None:
        (self._root_folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (self._root_folder / path[1:]).write_text(text)

    def has(self, token: str) -> dict[str, Any]:
        """Have this token, and say what the trap sees."""
        self.put(cni_token.KUBECONFIG, of_cni(self._api.url, token))
        return self.sees()

    def sees(self) -> dict[str, Any]:
        return cni_token.shown(cni_token.observe(self))


@pytest.fixture
def node(calico: ApiServer, tmp_path: Path) -> Node:
    return Node(tmp_path / "node", calico)


def replaced(api: KubernetesApi, seen: dict[str, Any], check: bool = False, **given: Any) -> dict[str, Any]:
    params = {"allow": [cluster.CONSENT], "seen": seen, "refused": 1, "pod_timeout": 20, **given}
    return cluster.run(api, params, check, FIXED)


def pods(api: ApiServer) -> dict[str, str]:
    """The uid of calico-node's pod by node."""
    items = json.loads(api.kubectl("get", "pods", SPACE, "--output=json"))["items"]
    return {each["spec"]["nodeName"]: each["metadata"]["uid"] for each in items}


def test_what_a_node_sees_and_how_it_is_mended(calico: ApiServer, admin: KubernetesApi, node: Node) -> None:
    fresh = admin.token("kube-system", "calico-cni-plugin")
    seen = node.has(fresh)
    assert (seen["answer"], seen["service_account"], seen["node"]) == (
        "accepted",
        "kube-system/calico-cni-plugin",
        "node1",
    )
    # /proc/stat tells the start of the machine in whole seconds, so that its clock may be one behind
    assert 500 < seen["expires_in"] <= 601
    assert replaced(admin, seen)["changed"] is False

    expired = node.has(signed(calico, "kube-system", "calico-cni-plugin", age=90_000, life=86_400))
    assert (expired["answer"], expired["expires_in"] < 0) == ("refused", True)

    before = pods(calico)
    assert replaced(admin, expired, check=True)["changed"]
    assert replaced(admin, expired, allow=[])["pending"]
    assert pods(calico) == before
    done = replaced(admin, expired)
    after = pods(calico)
    assert [name for name in NODES if before[name] != after[name]] == ["node1"]
    # calico-node starts and writes a new token
    again = node.has(admin.token("kube-system", "calico-cni-plugin"))
    assert (again["answer"], again["issued"] != done["issued_before"]) == ("accepted", True)
    assert replaced(admin, again)["changed"] is False
    assert fresh not in json.dumps([seen, expired, done, again])


def test_a_revoked_token_a_missing_right_and_nobody(calico: ApiServer, admin: KubernetesApi, node: Node) -> None:
    revoked = admin.token("kube-system", "calico-cni-plugin")
    assert node.has(revoked)["answer"] == "accepted"
    calico.kubectl("delete", "serviceaccount", "calico-cni-plugin", SPACE)
    wait_until(lambda: node.sees()["answer"] == "refused")
    seen = node.sees()
    with pytest.raises(NodewardError, match='"calico-cni-plugin" not found'):
        replaced(admin, seen)

    calico.kubectl("create", "serviceaccount", "calico-cni-plugin", SPACE)
    assert node.sees()["answer"] == "refused", "the account was made anew: its old tokens stay bad"
    calico.kubectl("delete", "clusterrolebinding", "calico-cni-plugin")
    without = admin.token("kube-system", "calico-cni-plugin")
    wait_until(lambda: node.has(without)["answer"] == "forbidden")
    assert replaced(admin, node.sees())["changed"] is False

    calico.stop()
    seen = node.sees()
    calico.start()
    assert (seen["answer"], "refused" in seen["said"].lower()) == ("unreachable", True)
    assert replaced(admin, seen)["changed"] is False


@pytest.mark.usefixtures("calico")
def test_a_pod_that_does_not_come_again_stops_it(admin: KubernetesApi, kubelets: Kubelets) -> None:
    seen = {"node": "node1", "answer": "refused", "service_account": "kube-system/calico-cni-plugin"}
    old = {each["metadata"]["uid"] for each in admin.items(PODS)}
    kubelets.rule = lambda _node, pod: pod["metadata"]["uid"] in old
    with pytest.raises(NodewardError, match=r"no new pod of calico-node is ready on node1.*CrashLoopBackOff"):
        cluster.run(
            admin, {"allow": [cluster.CONSENT], "seen": seen, "refused": 1, "pod_timeout": 300}, False, hurried()
        )
    told = replaced(admin, seen, refused=4)
    assert [finding["id"] for finding in told["findings"]] == ["cni_token.cluster_wide"]


def test_two_at_once_delete_one_pod_each(calico: ApiServer, tmp_path: Path) -> None:
    results: list[dict[str, Any]] = []
    before = pods(calico)
    threads = [
        threading.Thread(
            target=lambda name=name: results.append(
                replaced(client(calico, tmp_path), {"node": name, "answer": "refused"})
            )
        )
        for name in ("node1", "node2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = pods(calico)
    assert [result["changed"] for result in results] == [True, True]
    assert [name for name in NODES if before[name] != after[name]] == ["node1", "node2"]
