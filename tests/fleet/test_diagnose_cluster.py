"""diagnose.yml with the lab's API server and real BIRDs: what Kubernetes says of the pod, and a peer that is lost."""

from __future__ import annotations

import json

from tests.fleet.fleet import NODES, Fleet
from tests.fleet.test_calico import cluster, read
from tests.lab import bird
from tests.lab.cluster import Cluster

__all__ = ["cluster"]  # a fixture

NODE = ("-e", "diagnose_node=node1")


def pod_of(cluster: Cluster, node: str) -> str:
    items = read(cluster, "pods", "--selector=k8s-app=calico-node")["items"]
    [name] = [each["metadata"]["name"] for each in items if each["spec"]["nodeName"] == node]
    return str(name)


def warn(cluster: Cluster, pod: str, message: str) -> None:
    """Say of a pod what its kubelet would."""
    event = {
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "Unhealthy", "message": message,
        "metadata": {"name": "unhealthy", "namespace": "kube-system"}, "lastTimestamp": "2026-11-27T08:00:00Z",
        "involvedObject": {"kind": "Pod", "name": pod, "namespace": "kube-system"},
    }  # fmt: skip
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(event))


def line(output: str, step: str) -> str:
    """Return what was said of one step."""
    [found] = [each.strip() for each in output.splitlines() if each.strip().startswith(f"{step} ")]
    return " ".join(found.removeprefix(step).split())


def test_by_what_kubernetes_says_and_by_the_peers_of_bird(fleet: Fleet, cluster: Cluster) -> None:
    lab, pod = fleet.lab, pod_of(cluster, "node1")
    cluster.give_token("node1", cluster.fresh_token())
    bird.start(lab, NODES)
    well = fleet.play("diagnose", *NODE)
    assert well.code == 0
    assert line(well.output, "calico-node's pod") == f"is not it {pod} is ready, 0 restarts"
    assert line(well.output, "CNI token") == "is not it it is accepted"
    # two of bird and two of bird6
    assert line(well.output, "BGP peers") == "is not it there is a connection to each of 4"
    assert "a round trip takes" in line(well.output, "datastore")
    assert line(well.output, "time to start").endswith(" s and is given 70 s")  # the probes are those of v3.19

    for node in NODES[1:]:
        lab.run(node, "systemctl stop lab-bird")
    bird.until(lambda: bird.in_mesh(lab, "node1", ("node1",)), "the end of the sessions")
    warn(cluster, pod, "Liveness probe failed: calico/node is not ready")
    ill = fleet.play("diagnose", *NODE)
    assert line(ill.output, "calico-node's pod").endswith("Liveness probe failed: calico/node is not ready")
    said = line(ill.output, "BGP peers")
    assert said.startswith("explains it no connection to 4 of 4: ")
    assert [node for node in NODES[1:] if lab.address(node) not in said] == []
    assert "Likeliest: BGP peers: no connection to 4 of 4" in ill.output

    for node in NODES[1:]:
        lab.run(node, "systemctl start lab-bird")
    bird.until(lambda: bird.in_mesh(lab, "node1", NODES), "BIRD's full mesh", 120)
    assert "each of 4" in line(fleet.play("diagnose", *NODE).output, "BGP peers")
