"""Incidents A2 and D, in real time: the probes as Calico's manifests had them, and as calico_probes makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import budget, objects, places, probes
from ansible_collections.nodeward.calico.plugins.module_utils._kube.install import Calico

from tests.drills import pods
from tests.drills.conftest import Account
from tests.drills.pods import Pod
from tests.fleet.fleet import Fleet
from tests.lab import Lab, throttle
from tests.lab.host import write
from tests.unit.kube.calico_objects import daemon_set, node

# Incident D: the cluster's nodes, seconds to the datastore and back
NODES, ROUND_TRIP = 53, 0.23
WITHOUT_STARTUP_PROBES, WITH = 9, 20  # Kubernetes' minor versions: that of incident D, and a later one
# The load: so many processes that want all they can get, on a node that has less than half a core.
BUSY, PERCENT = 16, 40
KILLS = 2
CONTAINER = "/spec/template/spec/containers/calico-node"
LIMIT = 300  # seconds; two kills take 140 s, the start of incident D 111 s and more


def before_and_after(version: str, minor: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return calico-node's container as a release's manifest has it, and as calico_probes leaves it."""
    fleet = tuple(node(f"node{number}") for number in range(NODES))
    calico = Calico(daemon_set=daemon_set(version), minor=minor, nodes=fleet, round_trip=ROUND_TRIP)
    changes = [change for change in probes.plan(calico, probes.Policy()).changes if change.ref == calico.ref]
    after = objects.changed(calico.daemon_set, changes)
    return places.get(calico.daemon_set, CONTAINER), places.get(after, CONTAINER)


def far_from(endpoint: str, item: dict[str, Any]) -> dict[str, Any]:
    reads = NODES * budget.READS_PER_NODE
    env = [{"name": "ETCD_ENDPOINTS", "value": endpoint}, {"name": "READS", "value": str(reads)}]
    return {**item, "env": [*item["env"], *env]}


def datastore(lab: Lab) -> str:
    """Start an etcd on node3, and return where it is reached over a slow link."""
    address, script = lab.address("node3"), "/usr/local/lib/lab/delay_proxy.py"
    text = (Path(__file__).parents[1] / "fleet/delay_proxy.py").read_text()
    write(pods.root(lab, "node3") / script[1:], text)
    urls = f"--listen-client-urls=http://{address}:2379 --advertise-client-urls=http://{address}:2379"
    lab.run("node3", f"systemd-run --quiet --unit=lab-datastore etcd --data-dir=/run/datastore {urls}")
    words = f"{address} 2390 2379 {ROUND_TRIP / 2}"
    lab.run("node3", f"systemd-run --quiet --unit=lab-delay /usr/bin/python3 {script} {words}")
    return f"http://{address}:2390"


def load(lab: Lab, name: str) -> None:
    busy = "systemd-run --quiet --collect --slice=kubepods.slice sh -c 'while :; do :; done'"
    lab.run(name, f"for i in $(seq {BUSY}); do {busy}; done")


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT} s"
        time.sleep(1)


def passed(pod: Pod) -> list[dict[str, Any]]:
    """The probes for which it lives that it has passed."""
    return [each for each in pod.events("probed") if each["passed"] and each["kind"] != "readinessProbe"]


def kills(pod: Pod) -> list[float]:
    return [event["at"] for event in pod.events("killed")]


def listed(seconds: list[float]) -> str:
    return " and ".join(f"{each:.0f} s" for each in seconds)


@pytest.mark.long
def test_calico_node_lives_with_the_budgets_that_harden_gives(fleet: Fleet, account: Account) -> None:
    """A2, D: probes killed calico-node again and again, on a loaded node and, far from the datastore, while it started.

    All at once, since most of it is waiting: node1 has the load, node2 the way to the datastore, on node3.
    """
    lab = fleet.lab
    endpoint = datastore(lab)
    old, new = before_and_after("v3.19.0", WITH)
    far, longer = (far_from(endpoint, item) for item in before_and_after("v2.6.5", WITHOUT_STARTUP_PROBES))
    with_startup = far_from(endpoint, before_and_after("v2.6.5", WITH)[1])
    killed = pods.start(lab, "node2", "far-old", "10.233.2.11", far)
    waited = pods.start(lab, "node2", "far-new", "10.233.2.12", longer)
    startup = pods.start(lab, "node2", "far-startup", "10.233.2.13", with_startup)
    loaded = pods.start(lab, "node1", "old", "10.233.1.11", old)
    lives = pods.start(lab, "node1", "new", "10.233.1.12", new)
    until(lambda: bool(passed(loaded) and passed(lives)), "a probe on node1 without load")
    quick = passed(loaded)[0]["seconds"]
    load(lab, "node1")
    with throttle.processor(lab, "node1", PERCENT):
        until(lambda: len(kills(loaded)) >= KILLS, f"{KILLS} kills on the loaded node")
        until(lambda: len(kills(killed)) >= KILLS, f"{KILLS} kills far from the datastore")
        until(lambda: bool(passed(waited) and passed(startup)), "a start far from the datastore")
    for pod in (loaded, lives, killed, waited, startup):
        print(pod.name, *pod.events(), sep="\n")

    account.before(f"A2, timeout 1 s: a probe took {quick:g} s, and under load more; killed at {listed(kills(loaded))}")
    assert passed(killed) == []
    wanted = f"{NODES * budget.READS_PER_NODE} reads at {ROUND_TRIP:g} s each"
    account.before(f"D, {budget.present_seconds(far)} s for {wanted}: killed at {listed(kills(killed))}")

    slowest = max(each["seconds"] for each in passed(lives))
    assert slowest > old["livenessProbe"]["timeoutSeconds"]
    assert kills(lives) == []
    assert passed(lives)[-1]["at"] > kills(loaded)[0], "nobody asked it any more when the other was killed"
    timeout = new["livenessProbe"]["timeoutSeconds"]
    account.after(f"A2, timeout {timeout} s: lived beside it all the while; its probes took up to {slowest:g} s")
    for pod, item in ((waited, longer), (startup, with_startup)):
        assert kills(pod) == []
        first, given = passed(pod)[0], budget.present_seconds(item)
        # not killed, so within its budget: the last probe of it may be the first that passes
        assert first["at"] > (budget.present_seconds(far) or 0)
        account.after(f"D, {given} s by a {first['kind']}: answered it after {first['at']:.0f} s")
