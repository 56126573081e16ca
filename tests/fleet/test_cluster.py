"""A cluster of kubeadm's with a real API server: Ready before the next node, and limits that an upgrade keeps."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.api import ApiServer
from tests.fleet.fleet import NODES, Fleet
from tests.fleet.kubeadm import KUBELET, KUBELET_MAP, in_config_maps, join

CONSENT = ("-e", "harden_allow=kubelet_restart", "-e", "harden_pause=0")


@pytest.fixture
def api(fleet: Fleet, tmp_path: Path) -> Iterator[ApiServer]:
    """An API server beside the lab, kubelets that have joined it, and kubeadm's files."""
    with ApiServer(tmp_path, fleet.lab.gateway, nodes=NODES) as server:
        join(fleet.lab, server)
        yield server


def in_config_map(api: ApiServer) -> str:
    return in_config_maps(api)[KUBELET_MAP]["kubelet"]


def test_an_upgrade_by_kubeadm_keeps_the_limits_and_restore_takes_them_back(fleet: Fleet, api: ApiServer) -> None:
    # nothing on the nodes yet, so nothing for an upgrade to take back
    assert fleet.play("harden").code == 0
    assert in_config_map(api) == KUBELET

    done = fleet.play("harden", *CONSENT)
    assert done.code == 0
    after = in_config_map(api)
    assert after.startswith(KUBELET)
    assert yaml.safe_load(after) == yaml.safe_load(KUBELET) | {
        "podPidsLimit": 4096,
        "systemReserved": {"pid": "1024"},
        "kubeReserved": {"pid": "1024"},
    }
    named = f"ConfigMap kube-system/{KUBELET_MAP} podPidsLimit"
    assert [node["name"] for node in done.report["nodes"] if named in [c["target"] for c in node["changes"]]] == [
        "node1"
    ]
    again = fleet.play("harden", *CONSENT)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    for secret in ("BEGIN", api.token("system:node:node1"), "client-key-data"):
        assert secret not in done.output + json.dumps(done.report)

    assert fleet.play("restore", *CONSENT).code == 0
    assert in_config_map(api) == KUBELET
    assert "podPidsLimit" not in fleet.lab.run("node2", "cat /var/lib/kubelet/config.yaml").stdout


def test_a_node_that_is_not_ready_is_not_restarted_and_holds_the_others_back(fleet: Fleet, api: ApiServer) -> None:
    # the kubelet answers and its node is not Ready: it has lost its way to the API server
    fleet.lab.run("node2", "mv /etc/kubernetes/kubelet.conf /root; systemctl restart kubelet; sleep 1")
    fleet.lab.run("node2", "mv /root/kubelet.conf /etc/kubernetes")
    node = json.loads(api.kubectl("get", "node", "node2", "--output=json"))
    for condition in node["status"]["conditions"]:
        condition["status"] = "False"
    fleet.lab.run("node2", "systemctl kill --signal=STOP kubelet")
    api.kubectl("replace", "--raw=/api/v1/nodes/node2/status", "-f", "-", stdin=json.dumps(node))
    before = {name: fleet.lab.run(name, "systemctl show -P InvocationID kubelet").stdout for name in NODES}

    run = fleet.play("harden", *CONSENT)
    assert run.code == 2
    assert run.node("node2")["state"] == "failed"
    assert run.node("node3")["held_back_by"] == ["node2"]
    fleet.lab.run("node2", "systemctl kill --signal=CONT kubelet")
    assert {name: fleet.lab.run(name, "systemctl show -P InvocationID kubelet").stdout for name in NODES} == before
    assert in_config_map(api) == KUBELET


def test_an_api_server_that_is_away_is_told_and_finished_by_the_next_run(fleet: Fleet, api: ApiServer) -> None:
    assert fleet.play("harden", "--tags", "link_mtu").code == 0
    fleet.lab.run(
        "node1", "sed -i 's/6443/1/; s/\\(server: https:..[0-9.]*\\):[0-9]*/\\1:1/' /etc/kubernetes/admin.conf"
    )
    run = fleet.play("harden", *CONSENT)
    assert run.code == 2
    assert "admin.conf" in run.node("node1")["error"] or "refused" in run.node("node1")["error"]
    assert len(run.report["nodes"]) == 3
    assert in_config_map(api) == KUBELET

    coded = base64.b64encode(api.kubeconfig().encode()).decode()
    fleet.lab.run("node1", f"echo {coded} | base64 -d > /etc/kubernetes/admin.conf")
    assert fleet.play("harden").code == 0
    assert "podPidsLimit: 4096" in in_config_map(api)
