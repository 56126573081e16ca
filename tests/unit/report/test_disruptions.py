"""How many restarts are to come, and roughly how long they take."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.report import report
from ansible_collections.nodeward.calico.plugins.filter.report_lines import report_lines
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.disruptions import batches


def change(word: str) -> dict[str, Any]:
    return {"trap": "t", "target": f"file /{word}", "before": None, "after": "x", "why": "-", "disrupts": word}


def fleet(count: int, check_mode: bool = False, **parts: Any) -> dict[str, Any]:
    result = {"changed": bool(parts.get("changes")), "changes": [], "pending": [], "findings": [], "facts": {}, **parts}
    variables = {f"node{number}": {"node_result": result} for number in range(count)}
    return report(variables, variables, "harden", check_mode)


KUBELET, ETCD, ROLLOUT = change("kubelet_restart"), change("etcd_restart"), change("calico_rollout")


def told(word: str, times: int, seconds: int, allowed: bool = False) -> dict[str, Any]:
    return {"word": word, "times": times, "seconds": seconds, "allowed": allowed}


EXPORTERS = {"process_metrics": {"daemon_sets": [{"pods": 40}, {"pods": 2}]}}
SEEN = {"calico_probes": {"nodes": 53}}
CASES = [
    ("nothing", fleet(3), []),
    ("what disrupts nothing", fleet(3, True, changes=[change("")]), []),
    ("one node", fleet(1, pending=[KUBELET, KUBELET]), [told("kubelet_restart", 1, 30)]),
    ("batches", fleet(3, pending=[KUBELET]), [told("kubelet_restart", 3, 90)]),
    ("members one by one", fleet(3, True, changes=[ETCD]), [told("etcd_restart", 3, 45, True)]),
    ("what was done", fleet(3, changes=[ETCD]), []),
    ("a rollout of the whole cluster", fleet(1, pending=[ROLLOUT], facts=SEEN), [told("calico_rollout", 53, 2120)]),
    (
        "a rollout of node-exporters",
        fleet(1, pending=[change("exporter_rollout")], facts=EXPORTERS),
        [told("exporter_rollout", 42, 420)],
    ),
    (
        "both",
        fleet(1, True, changes=[ETCD], pending=[KUBELET]),
        [told("kubelet_restart", 1, 30), told("etcd_restart", 1, 15, True)],
    ),
]


@pytest.mark.parametrize(("model", "wanted"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_what_is_to_come(model, wanted):
    assert model["disruptions"] == wanted


def serial(nodes: int) -> int:
    """Count as ansible-core does with serial: [1, 2, 5%]: the last one is used again and again, at least for one."""
    sizes, done, rounds = [1, 2, max(nodes * 5 // 100, 1)], 0, 0
    while done < nodes:
        done += sizes[min(rounds, 2)]
        rounds += 1
    return rounds


def test_batches_are_those_of_the_play():
    assert [batches(nodes) for nodes in range(1200)] == [serial(nodes) for nodes in range(1200)]


def test_a_person_is_told():
    lines = report_lines(fleet(9, pending=[KUBELET]), "/r")
    at = lines.index("What that takes, roughly:")
    assert lines[at + 1] == "  restart the kubelet: 9 times, 4 min, if it is allowed"
    once = report_lines(fleet(1, True, changes=[ETCD]), "/r")
    assert "  restart members of etcd, one at a time, with quorum to spare: once, 15 s" in once
