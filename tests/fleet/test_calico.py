"""harden.yml with the lab's API server: Calico's MTU and probes in one rollout, a stale token mended, and the way back.

The inventory names the API server, as it does for `make harden`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import places

from tests.fleet.fleet import NODES, Fleet
from tests.lab import process
from tests.lab.cluster import Cluster
from tests.lab.lab import CHECKOUT

TIMEOUT = "/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds"
PAUSE = ("-e", "harden_pause=0")


@pytest.fixture
def cluster(fleet: Fleet) -> Iterator[Cluster]:
    cluster = Cluster(fleet.lab)
    try:
        assert cluster.ensure()
        yield cluster
    finally:
        cluster.down()


def read(cluster: Cluster, *words: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(cluster.kubectl("get", *words, "--namespace=kube-system", "--output=json"))
    return item


def versions(cluster: Cluster) -> list[str]:
    """The resourceVersions of what a run writes."""
    where = "--output=jsonpath={.metadata.resourceVersion}"
    objects = (("daemonset", "calico-node"), ("configmap", "calico-config"), ("configmap", "nodeward-journal"))
    return [cluster.kubectl("get", *each, "--namespace=kube-system", where) for each in objects]


def test_harden_does_the_cluster_s_part_and_restore_takes_it_back(fleet: Fleet, cluster: Cluster) -> None:
    assert not cluster.ensure(), "what answers is reused"
    before = read(cluster, "daemonset", "calico-node")
    good, stale = cluster.fresh_token(), cluster.fresh_token()
    cluster.give_token("node1", good)
    cluster.give_token("node2", stale[:-8] + "AAAAAAAA")

    audit = fleet.play("audit", *PAUSE)
    assert read(cluster, "configmap", "calico-config")["data"]["veth_mtu"] == "1500"
    assert read(cluster, "daemonset", "calico-node")["metadata"]["generation"] == 1
    assert audit.report["cluster"]["facts"]["rules"]["nodes"] == len(NODES)
    assert {each["word"] for each in audit.report["disruptions"]} >= {"calico_rollout"}
    assert "cni_token.refused" in {each["id"] for each in audit.node("node2")["findings"]}
    assert {c["trap"] for c in audit.node("node1")["pending"]} >= {"calico_mtu", "calico_probes"}

    done = fleet.play("harden", *PAUSE)
    assert done.code == 0
    assert done.report["cluster"]["facts"] == {}, "rules are asked by audits alone"
    uplink = min(done.node(node)["facts"]["link_mtu"]["uplink"]["mtu"] for node in NODES)
    now = read(cluster, "daemonset", "calico-node")
    assert read(cluster, "configmap", "calico-config")["data"]["veth_mtu"] == str(uplink - 20)
    assert (places.get(now, TIMEOUT), now["metadata"]["generation"]) == (60, 2), "one rollout for both"
    assert {c["trap"] for c in done.node("node1")["changes"]} >= {"calico_mtu", "calico_probes"}
    assert "cni_token" in {c["trap"] for c in done.node("node2")["changes"]}
    assert "cni_token" not in {c["trap"] for node in ("node1", "node3") for c in done.node(node)["changes"]}
    for secret in (good, stale, "client-key-data", "BEGIN"):
        assert secret not in done.output + json.dumps(done.report)

    hardened = versions(cluster)
    again = fleet.play("harden", *PAUSE)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    limited = fleet.play("harden", *PAUSE, "--limit", "node2", "--tags", "calico_probes,calico_mtu")
    assert (limited.code, limited.recap("node2")["changed"]) == (0, 0)
    assert versions(cluster) == hardened

    # somebody sets what was there before; whether calico-node was restarted with it nobody can tell afterwards
    foreign = '--patch={"data": {"veth_mtu": "1500"}}'
    cluster.kubectl("patch", "configmap", "calico-config", "--namespace=kube-system", foreign)
    assert fleet.play("harden", *PAUSE, "--tags", "link_mtu,calico_mtu").code == 0
    assert read(cluster, "configmap", "calico-config")["data"]["veth_mtu"] == str(uplink - 20)
    assert read(cluster, "daemonset", "calico-node")["metadata"]["generation"] == 3, "a restart for it, again"

    assert fleet.play("restore", *PAUSE).code == 0
    after = read(cluster, "daemonset", "calico-node")
    assert after["metadata"]["generation"] == 4, "one rollout back"
    assert (after["spec"], read(cluster, "configmap", "calico-config")["data"]["veth_mtu"]) == (before["spec"], "1500")


def test_what_cannot_be_asked_of_the_probes_is_refused_before_the_mtu_is_changed(
    fleet: Fleet, cluster: Cluster
) -> None:
    run = fleet.play(
        "harden",
        *PAUSE,
        "--tags",
        "link_mtu,calico_mtu,calico_probes",
        "-e",
        json.dumps({"calico_probes_containers": "[?"}),
    )
    assert run.code == 2
    assert "is no JMESPath expression" in json.dumps(run.report), "and there is a report"
    assert run.recap("node1")["rescued"] == 1
    assert read(cluster, "configmap", "calico-config")["data"]["veth_mtu"] == "1500"
    assert read(cluster, "daemonset", "calico-node")["metadata"]["generation"] == 1


TWO_PLAYS = """
- name: Look
  hosts: k8s_cluster
  gather_facts: false
  roles: [nodeward.calico.cni_token, nodeward.calico.calico_mtu]

- name: Mend
  hosts: k8s_cluster
  gather_facts: false
  serial: 1
  any_errors_fatal: true
  roles:
    - role: nodeward.calico.cni_token
      vars: {cni_token_allow_calico_pod_restart: true}

- name: Once per cluster
  hosts: k8s_cluster
  gather_facts: false
  roles:
    - role: nodeward.calico.calico_mtu
      vars: {calico_mtu_allow_calico_rollout: true}
    - role: nodeward.calico.cni_token
  post_tasks:
    - name: Show
      ansible.builtin.debug:
        msg: "done {{ cni_token_result.changes | default([]) | length }}"
"""


def test_the_roles_by_themselves_look_in_one_play_and_mend_in_the_next(
    fleet: Fleet, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, stale = cluster.fresh_token(), cluster.fresh_token()
    for node, token in {"node1": good, "node2": stale[:-8] + "AAAAAAAA", "node3": good}.items():
        cluster.give_token(node, token)
    playbook = fleet.folder / "two_plays.yml"
    playbook.write_text(TWO_PLAYS)
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(cluster.kubeconfig))
    pods = set(cluster.kubectl("get", "pods", "--namespace=kube-system", "--output=name").split())
    run = fleet.play(str(playbook))
    assert run.code == 0, run.output
    assert "allow with cni_token_allow_calico_pod_restart" in run.output
    assert "done 1" in run.output
    assert read(cluster, "configmap", "calico-config")["data"]["veth_mtu"] == "1480"
    assert pods - set(cluster.kubectl("get", "pods", "--namespace=kube-system", "--output=name").split())


def test_a_lab_brought_up_again_reuses_its_api_server_and_makes_one_that_was_killed_anew(fleet: Fleet) -> None:
    lab, cluster = fleet.lab, Cluster(fleet.lab)
    command = [sys.executable, "-m", "tests.lab", "up", "--name", lab.name, "--nodes", str(lab.count), "--api"]

    def up() -> str:
        return subprocess.run(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True
        ).stdout

    try:
        assert "API server: made" in up()
        assert "API server: reused" in up()
        holders = process.with_argument(f"--machine=nw-{lab.id}-api")
        for each in holders:
            each.signal(signal.SIGKILL)
        assert "API server: made" in up()
        assert cluster.kubectl("get", "nodes", "--output=name").split() == [f"node/{node}" for node in NODES]
    finally:
        cluster.down()
    assert process.with_argument(f"--machine=nw-{lab.id}-api") == []
    assert not (lab.folder / "group_vars/all.yml").exists()
