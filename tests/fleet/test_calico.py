"""harden.yml with a real API server: Calico's MTU and probes in one rollout, a stale token mended, and the way back.

What else acts in a cluster, kubelets and controllers, is played by tests/api/calico.py.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi

from tests.api import ApiServer
from tests.api.calico import Controllers, client, put
from tests.api.nodes import add_node
from tests.fleet.fleet import NODES, Fleet
from tests.unit.kube.calico_objects import config, crd, custom, daemon_set
from tests.unit.node.test_cni_token import kubeconfig

TIMEOUT = "/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds"

POOL = custom("IPPool", "default-ipv4-ippool", cidr="10.244.0.0/16", ipipMode="Always", vxlanMode="Never")


@pytest.fixture
def api(fleet: Fleet, tmp_path: Path) -> Iterator[ApiServer]:
    """An API server beside the lab with the nodes, and the manifest of incidents A2 and C."""
    with ApiServer(tmp_path, fleet.lab.gateway) as server:
        for node in NODES:
            add_node(server, node, fleet.lab.address(node))
        server.kubectl("create", "serviceaccount", "calico-node", "--namespace=kube-system")
        crds = (("IPPool", "ippools"), ("FelixConfiguration", "felixconfigurations"))
        put(server, *(crd(*names) for names in (*crds, ("ClusterInformation", "clusterinformations"))))
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        put(server, POOL, custom("FelixConfiguration", "default"), custom("ClusterInformation", "default"))
        put(server, daemon_set(), config("1500"))
        yield server


def read(api: ApiServer, *words: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(api.kubectl("get", *words, "--namespace=kube-system", "--output=json"))
    return item


def has_token(fleet: Fleet, api: ApiServer, node: str, token: str) -> None:
    """Have the CNI's kubeconfig on a node, as calico-node writes it."""
    text = kubeconfig(token).replace("https://10.96.0.1:443", api.url)
    coded = base64.b64encode(text.encode()).decode()
    fleet.lab.run(
        node,
        f"mkdir -p /etc/cni/net.d /var/lib/calico; echo {node} > /var/lib/calico/nodename;"
        f" echo {coded} | base64 -d > /etc/cni/net.d/calico-kubeconfig",
    )


class InstallCni(threading.Thread):
    """Plays calico-node's part: a new pod on a node writes a new token there."""

    def __init__(self, fleet: Fleet, api: ApiServer, admin: KubernetesApi, node: str) -> None:
        super().__init__(daemon=True)
        self._fleet, self._api, self._admin, self._node = fleet, api, admin, node
        self.ended = threading.Event()
        self._uid = self._pod()

    def _pod(self) -> str:
        pods = self._admin.items("/api/v1/namespaces/kube-system/pods")
        return next((each["metadata"]["uid"] for each in pods if each["spec"]["nodeName"] == self._node), "")

    def run(self) -> None:
        while not self.ended.wait(0.3):
            try:
                uid = self._pod()
            except NodewardError:
                continue
            if uid and uid != self._uid:
                self._uid = uid
                has_token(self._fleet, self._api, self._node, self._admin.token("kube-system", "calico-node"))


def test_harden_does_the_cluster_s_part_and_restore_takes_it_back(fleet: Fleet, api: ApiServer, tmp_path: Path) -> None:
    before = read(api, "daemonset", "calico-node")["spec"]
    admin = client(api, tmp_path)
    access = ("-e", f"harden_api_kubeconfig={tmp_path}/kubernetes-admin.conf", "-e", "harden_pause=0")
    reading = ("--clusterrole=cluster-admin", "--serviceaccount=kube-system:calico-node")
    api.kubectl("create", "clusterrolebinding", "calico-node", *reading)
    with Controllers(admin, NODES).running():
        good, stale = (admin.token("kube-system", "calico-node") for _ in range(2))
        has_token(fleet, api, "node1", good)
        has_token(fleet, api, "node2", stale[:-8] + "AAAAAAAA")
        audit = fleet.play("audit", *access)
        assert read(api, "configmap", "calico-config")["data"]["veth_mtu"] == "1500"
        assert audit.report["cluster"]["facts"]["rules"]["nodes"] == len(NODES)
        assert {each["word"] for each in audit.report["disruptions"]} >= {"calico_rollout"}
        assert "cni_token.refused" in {each["id"] for each in audit.node("node2")["findings"]}
        assert {c["trap"] for c in audit.node("node1")["pending"]} >= {"calico_mtu", "calico_probes"}

        install_cni = InstallCni(fleet, api, admin, "node2")
        install_cni.start()
        try:
            done = fleet.play("harden", *access)
        finally:
            install_cni.ended.set()
            install_cni.join()
        assert done.code == 0
        assert done.report["cluster"]["facts"] == {}, "rules are asked by audits alone"
        uplink = min(done.node(node)["facts"]["link_mtu"]["uplink"]["mtu"] for node in NODES)
        now = read(api, "daemonset", "calico-node")
        assert read(api, "configmap", "calico-config")["data"]["veth_mtu"] == str(uplink - 20)
        assert (places.get(now, TIMEOUT), now["metadata"]["generation"]) == (60, 2), "one rollout for both"
        assert {c["trap"] for c in done.node("node1")["changes"]} >= {"calico_mtu", "calico_probes"}
        assert "cni_token" in {c["trap"] for c in done.node("node2")["changes"]}
        assert "cni_token" not in {c["trap"] for node in ("node1", "node3") for c in done.node(node)["changes"]}
        for secret in (good, stale, "client-key-data", "BEGIN"):
            assert secret not in done.output + json.dumps(done.report)

        again = fleet.play("harden", *access)
        assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
        limited = fleet.play("harden", *access, "--limit", "node2", "--tags", "calico_probes,calico_mtu")
        assert (limited.code, limited.recap("node2")["changed"]) == (0, 0)

        assert fleet.play("restore", *access).code == 0
    after = read(api, "daemonset", "calico-node")["spec"]
    assert (after, read(api, "configmap", "calico-config")["data"]["veth_mtu"]) == (before, "1500")
