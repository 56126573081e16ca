"""The walk through the traps: each incident is the likeliest cause of its own signs, and of no others."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.diagnosis import diagnosis

NOW = 1_800_000_000.0
EARLIER = "2027-01-15T07:59:20Z"  # 40 seconds before

WELL: dict[str, Any] = {
    "pid_limits": {"limits": [{"name": "kernel.pid_max", "limit": 4194304, "used": 900, "share": 0.0002}]},
    "cni_token": {"answer": "accepted", "node": "node1", "server": "https://10.0.0.1:6443", "said": "200"},
    "bird_watchdog": {"birds": [{"name": "bird", "pid": 7, "share": 0.4, "age": 90000}]},
    "link_mtu": {"uplink": {"mtu": 1500}, "tunnels": []},
}
CLUSTER = {"round_trip": 0.004, "startup_needed": 60.0, "startup_budget": 160.0}
TUNNEL = {
    "id": "link_mtu.link:tunl0", "trap": "link_mtu", "severity": "high", "where": "link tunl0", "observed": "1480",
    "wanted": "1430", "why": "-", "remedy": "ansible-playbook nodeward.calico.harden --tags link_mtu", "mended": True,
}  # fmt: skip


def pod(is_ready: bool = True, restarts: int = 0, **more: Any) -> dict[str, Any]:
    container = {
        "name": "calico-node", "ready": is_ready, "restartCount": restarts,
        "state": {"running": {"startedAt": "2027-01-01T00:00:00Z"}}, **more,
    }  # fmt: skip
    return {
        "metadata": {"name": "calico-node-x1", "namespace": "kube-system"},
        "spec": {"nodeName": "node1"},
        "status": {"containerStatuses": [container]},
    }


def event(message: str, time: str = "2027-01-15T07:58:00Z") -> dict[str, Any]:
    return {"type": "Warning", "message": message, "lastTimestamp": time, "involvedObject": {"name": "calico-node-x1"}}


def told(
    facts: dict[str, Any] | None = None,
    findings: tuple[dict[str, Any], ...] = (),
    pods: list[dict[str, Any]] | None = None,
    events: tuple[dict[str, Any], ...] = (),
    cluster: dict[str, Any] | None = None,
) -> str:
    result = {"changed": False, "facts": {**WELL, **(facts or {})}, "findings": list(findings)}
    variables = {
        "node1": {
            "node_result": result,
            "calico_probes_result": {"changed": False, "findings": [], "facts": {"calico_probes": cluster or CLUSTER}},
        }
    }
    given = [pod()] if pods is None else pods
    return "\n".join(diagnosis("node1", variables, given, events, NOW))


def with_peers(configured: int, lost: int, *named: str, age: int = 90000) -> dict[str, Any]:
    """The facts of a BIRD with so many peers, and as many of them without a connection."""
    peers = {"configured": configured, "lost": lost, "named": list(named)}
    return {"bird_watchdog": {"birds": [{"name": "bird", "pid": 7, "share": 0.4, "age": age, "peers": peers}]}}


FULL = [{"name": "kernel.pid_max", "limit": 49152, "used": 48660, "share": 0.99}]
CAUSES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "B by the numbers",
        {"facts": {"pid_limits": {"limits": FULL}}},
        "process ids: 48660 of 49152 (99%)",
        "--tags pid_limits --limit node1",
    ),
    (
        "B by what the kubelet said",
        {"events": (event("Liveness probe errored: Resource temporarily unavailable"),), "pods": [pod(False)]},
        "process ids: 900 of 4194304",
        "--tags pid_limits",
    ),
    (
        "A4",
        {"facts": {"cni_token": {"answer": "refused", "node": "node1"}}},
        "CNI token: the API server has refused it (401)",
        "--tags cni_token --limit node1",
    ),
    (
        "peers that are not reached",
        {"facts": with_peers(2, 2, "10.0.0.2", "10.0.0.3")},
        "BGP peers: no connection to 2 of 2: 10.0.0.2, 10.0.0.3",
        "Let 179/tcp through",
    ),
    (
        "many peers that are not reached",
        {"facts": with_peers(99, 99, "10.0.0.2", "10.0.0.3")},
        "BGP peers: no connection to 99 of 99: 10.0.0.2, 10.0.0.3 and 97 more",
        "Let 179/tcp through",
    ),
    (
        "a right is missing",
        {"facts": {"cni_token": {"answer": "forbidden"}}},
        "CNI token: the API server has forbidden it",
        "ClusterRole",
    ),
    (
        "an API server that the node does not reach",
        {"facts": {"cni_token": {"answer": "unreachable", "server": "https://10.0.0.1:6443", "said": "timed out"}}},
        "CNI token: https://10.0.0.1:6443 timed out",
        "why this node does not reach",
    ),
    (
        "A3",
        {"facts": {"bird_watchdog": {"birds": [{"name": "bird6", "share": 99.4, "age": 4000000}]}}},
        "BIRD: bird6 takes 99 % of a core",
        "--tags bird_watchdog",
    ),
    (
        "a BIRD that has just started",
        {"facts": {"bird_watchdog": {"birds": [{"name": "bird", "share": 3.0, "age": 20}]}}},
        "BIRD: bird takes 3 % of a core, up for 20 s",
        "wait until it is 240 s old",
    ),
    (
        "a peer that is away",
        {"pods": [pod(False)], "events": (event("Readiness probe failed: BGP not established with 10.0.0.2"),)},
        "BGP peers: Readiness probe failed",
        "179/tcp",
    ),
    ("C", {"findings": (TUNNEL,)}, "MTU: link tunl0: 1480, wanted 1430", "--tags link_mtu"),
    ("a slow datastore", {"cluster": {**CLUSTER, "round_trip": 0.23}}, "datastore: a round trip takes 230 ms", "etcd"),
    (
        "D",
        {"cluster": {**CLUSTER, "startup_needed": 120.0, "startup_budget": 70.0}, "pods": [pod(False, restarts=9)]},
        "time to start: it needs 120 s and is given 70 s",
        "--tags calico_probes",
    ),
    (
        "a start that goes on",
        {"pods": [pod(False, state={"running": {"startedAt": EARLIER}})]},
        "time to start: it needs 60 s and is given 160 s, and it started 40 s ago",
        "Wait another 20 s",
    ),
    (
        "memory",
        {"pods": [pod(False, restarts=4, lastState={"terminated": {"reason": "OOMKilled"}})]},
        "calico-node's pod: calico-node-x1 is not ready, 4 restarts",
        "memory limit",
    ),
    (
        "an image that does not come",
        {"pods": [pod(False, state={"waiting": {"reason": "ImagePullBackOff", "message": "x"}})]},
        "calico-node's pod",
        "Mend ImagePullBackOff",
    ),
    ("no pod at all", {"pods": []}, "calico-node's pod: there is no calico-node pod", "taints"),
]  # fmt: skip


@pytest.mark.parametrize(("signs", "cause", "remedy"), [row[1:] for row in CAUSES], ids=[row[0] for row in CAUSES])
def test_each_cause_is_the_likeliest_of_its_own_signs(signs, cause, remedy):
    text = told(**signs)
    [likeliest] = [line for line in text.splitlines() if line.startswith("Likeliest: ")]
    [then] = [line for line in text.splitlines() if line.startswith("Then: ")]
    assert likeliest.startswith(f"Likeliest: {cause}")
    assert remedy in then


def test_where_all_is_well_no_cause_is_made_up():
    text = told()
    assert "Likeliest" not in text
    assert "No cause was found. Not known: BGP peers" in text
    assert text.count("is not it") == 7


def test_what_explains_it_comes_before_what_may_be():
    text = told(findings=(TUNNEL,), cluster={**CLUSTER, "startup_needed": 500.0}, pods=[pod(False)])
    assert "Likeliest: time to start" in text


def test_without_an_api_server_it_says_so_and_goes_on():
    result = {"changed": False, "facts": {**WELL, "pid_limits": {"limits": FULL}}, "findings": []}
    text = "\n".join(diagnosis("node1", {"node1": {"node_result": result}}))
    assert "calico-node's pod not known    no API server was asked" in text
    assert "time to start     not known" in text
    assert "Likeliest: process ids" in text


def test_an_api_server_that_was_asked_and_failed_is_not_one_that_was_not_asked():
    result = {"changed": False, "facts": WELL, "findings": []}
    text = "\n".join(diagnosis("node1", {"node1": {"node_result": result}}, failed="pods is forbidden:\nUser x"))
    assert "calico-node's pod not known    the API server was asked and told nothing: pods is forbidden: User x" in text
    assert "  calico-node's pod: Mend that" in text
    assert "was asked and" not in told()


def test_a_node_that_cannot_be_looked_at_is_the_answer():
    gone = {"node1": {"node_result": {"unreachable": True, "msg": "No route to host"}}}
    [line] = diagnosis("node1", gone)
    assert line.startswith("node1: not reached (No route to host)")


def test_a_node_of_another_name_in_the_cluster_is_found_by_its_kubeconfig():
    own = pod(False, restarts=3)
    own["spec"]["nodeName"] = "ip-10-0-0-1"
    text = told({"cni_token": {"answer": "accepted", "node": "ip-10-0-0-1"}}, pods=[pod(), own])
    assert "not ready, 3 restarts" in text


@pytest.mark.parametrize("odd", [None, [], "x", 7, {"limits": "x"}, {"birds": [None]}, {"answer": {"a": 1}}])
def test_odd_facts_are_no_traceback(odd):
    assert told({"pid_limits": odd, "bird_watchdog": odd, "cni_token": odd, "link_mtu": odd})


def test_escape_sequences_of_a_pod_do_not_reach_the_terminal():
    assert "\x1b" not in told(events=(event("\x1b[31mred\x00"),), pods=[pod(False)])


ENOUGH = "no connection to 1 of 11: 10.0.0.2; one is enough for the probe by now"
PEERS = {
    "all are there": (with_peers(11, 0), "is not it    there is a connection to each of 11"),
    "one of many, long ago": (with_peers(11, 1, "10.0.0.2"), f"is not it    {ENOUGH}"),
    "one of many, at the start": (
        with_peers(11, 1, "10.0.0.2", age=20),
        "may be it    no connection to 1 of 11: 10.0.0.2",
    ),
    "there are none": (with_peers(0, 0), "not known    nothing was said of them"),
}


@pytest.mark.parametrize(("facts", "line"), PEERS.values(), ids=PEERS)
def test_what_is_said_of_peers(facts: dict[str, Any], line: str) -> None:
    assert f"BGP peers         {line}\n" in told(facts)
