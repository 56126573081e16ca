"""What kubeadm's copy of the kubelet's configuration needs, from what the nodes returned."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.kubelet_config import (
    FilterModule,
    kubeadm_nodes,
    kubelet_config,
)


def node(cap: int | None = 4096, pids: int | None = 1024, kubeadm: bool = True, **result: Any) -> dict[str, Any]:
    in_force = {"podPidsLimit": cap, "systemReserved.pid": pids, "kubeReserved.pid": None}
    return {"node_result": {"facts": {"pid_limits": {"kubelet": {"kubeadm": kubeadm, "in_force": in_force}}}, **result}}


BOTH = {"pod_pids_limit": 4096, "system_reserved_pids": 1024}
WAITS = node(9000, pending=[{"disrupts": "kubelet_restart"}])
GIVEN = [
    {"target": "yaml /c#podPidsLimit", "after": "4096", "disrupts": "kubelet_restart"},
    {"target": "yaml /c#systemReserved.pid", "after": '"1024"', "disrupts": "kubelet_restart"},
    {"target": "restart kubelet.service", "after": None, "disrupts": "kubelet_restart"},
]
TEXT = 'podPidsLimit: 4096\nsystemReserved:\n  pid: "1024"\n'
DROP_IN = [{"target": "file /d/ours.conf", "after": TEXT, "disrupts": "kubelet_restart"}]
CASES: list[tuple[str, list[dict[str, Any]], dict[str, int], list[str]]] = [
    ("one", [node()], BOTH, []),
    ("the largest", [node(4096, 2048), node(8000)], {"pod_pids_limit": 8000, "system_reserved_pids": 2048}, []),
    ("what all have", [node(), node(cap=None)], {"system_reserved_pids": 1024}, []),
    ("one that waits", [node(), WAITS], {"pod_pids_limit": 9000, "system_reserved_pids": 1024}, ["n1"]),
    ("whatever else waits", [node(pending=[{"disrupts": "uplink_change"}])], BOTH, []),
    ("not kubeadm's", [node(kubeadm=False)], {}, []),
    ("one that failed", [node(), node(failed=True, msg="x")], BOTH, ["n1"]),
    ("one that was not reached", [node(), {"node_result": {"unreachable": True}}], BOTH, ["n1"]),
    ("one outside of the limit", [node(), {}], BOTH, ["n1"]),
    ("no limits", [node(None, None)], {}, []),
    ("what this run gave", [node(None, None, changes=GIVEN)], BOTH, []),
    ("what this run gave in a file of ours", [node(None, None, changes=DROP_IN)], BOTH, []),
    ("another trap only", [{"node_result": {"facts": {"link_mtu": {}}}}], {}, []),
]


@pytest.mark.parametrize(("nodes", "values", "held"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_values(nodes, values, held):
    variables = {f"n{number}": each for number, each in enumerate(nodes)}
    found = kubelet_config(variables, variables)
    assert (found["values"], found["held_back_by"]) == (values, held)
    assert [finding["severity"] for finding in found["findings"]] == (["low"] if held else [])


def test_nodes():
    variables = {"a": node(kubeadm=False), "b": node(), "c": WAITS, "d": {}, "e": node(failed=True)}
    assert kubeadm_nodes(variables, variables) == ["b", "c"]


def test_ansible_finds_the_filters():
    assert FilterModule().filters() == {"kubelet_config": kubelet_config, "kubeadm_nodes": kubeadm_nodes}
