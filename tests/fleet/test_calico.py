"""harden.yml with a real API server: Calico's MTU and probes in one rollout, a stale token mended, and the way back.

The DaemonSet controller is the real one; kubelets are played by tests/api/kubelets.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import places

from tests.api import ApiServer
from tests.api.kubeconfig import of_cni
from tests.api.kubelets import Kubelets, repeated
from tests.api.nodes import add_node
from tests.fleet.fleet import NODES, Fleet
from tests.unit.kube.calico_objects import config, crd, custom, daemon_set

TIMEOUT = "/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds"

POOL = custom("IPPool", "default-ipv4-ippool", cidr="10.244.0.0/16", ipipMode="Always", vxlanMode="Never")


@pytest.fixture
def api(fleet: Fleet, tmp_path: Path) -> Iterator[ApiServer]:
    """An API server beside the lab with the nodes, and the manifest of incidents A2 and C."""
    with ApiServer(tmp_path, fleet.lab.gateway, controllers=True) as server:
        for node in NODES:
            add_node(server, node, fleet.lab.address(node))
        server.kubectl("create", "serviceaccount", "calico-node", "--namespace=kube-system")
        crds = (("IPPool", "ippools"), ("FelixConfiguration", "felixconfigurations"))
        server.create(*(crd(*names) for names in (*crds, ("ClusterInformation", "clusterinformations"))))
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        server.create(POOL, custom("FelixConfiguration", "default"), custom("ClusterInformation", "default"))
        server.create(daemon_set(), config("1500"))
        yield server


def read(api: ApiServer, *words: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(api.kubectl("get", *words, "--namespace=kube-system", "--output=json"))
    return item


def has_token(fleet: Fleet, api: ApiServer, node: str, token: str) -> None:
    """Have the CNI's kubeconfig on a node, as calico-node writes it."""
    coded = base64.b64encode(of_cni(api.url, token).encode()).decode()
    fleet.lab.run(
        node,
        f"mkdir -p /etc/cni/net.d /var/lib/calico; echo {node} > /var/lib/calico/nodename;"
        f" echo {coded} | base64 -d > /etc/cni/net.d/calico-kubeconfig",
    )


def fresh(api: ApiServer) -> str:
    """A token of calico-node's account (kubectl learned to ask for one in 1.24)."""
    path = "/api/v1/namespaces/kube-system/serviceaccounts/calico-node/token"
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    with api.rest() as rest:
        return str(rest("POST", path, wanted)["status"]["token"])


def test_harden_does_the_cluster_s_part_and_restore_takes_it_back(fleet: Fleet, api: ApiServer, tmp_path: Path) -> None:
    before = read(api, "daemonset", "calico-node")["spec"]
    (tmp_path / "admin.conf").write_text(api.kubeconfig())
    access = ("-e", f"harden_api_kubeconfig={tmp_path}/admin.conf", "-e", "harden_pause=0")
    reading = ("--clusterrole=cluster-admin", "--serviceaccount=kube-system:calico-node")
    api.kubectl("create", "clusterrolebinding", "calico-node", *reading)
    good, stale = fresh(api), fresh(api)
    with api.rest() as rest, repeated(Kubelets(rest, lambda node, _pod: has_token(fleet, api, node, fresh(api))).step):
        api.kubectl("rollout", "status", "daemonset/calico-node", "--namespace=kube-system", "--timeout=50s")
        has_token(fleet, api, "node1", good)
        has_token(fleet, api, "node2", stale[:-8] + "AAAAAAAA")
        audit = fleet.play("audit", *access)
        assert read(api, "configmap", "calico-config")["data"]["veth_mtu"] == "1500"
        assert audit.report["cluster"]["facts"]["rules"]["nodes"] == len(NODES)
        assert {each["word"] for each in audit.report["disruptions"]} >= {"calico_rollout"}
        assert "cni_token.refused" in {each["id"] for each in audit.node("node2")["findings"]}
        assert {c["trap"] for c in audit.node("node1")["pending"]} >= {"calico_mtu", "calico_probes"}

        done = fleet.play("harden", *access)
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
