"""Which hosts are which nodes, and what Calico's MTU makes of hosts that look alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import mtu, node_names
from ansible_collections.nodeward.calico.plugins.module_utils._kube.mtu import Policy, Uplink

from tests.unit.kube.calico_objects import node
from tests.unit.kube.test_mtu import VETH, manifest

CASES: list[tuple[str, list[tuple[str, ...]], list[str], set[tuple[int, int]]]] = [
    ("the same name", [("node1",)], ["node1"], {(0, 0)}),
    ("a short host, a full node", [("node1", "192.0.2.1")], ["node1.example.org"], {(0, 0)}),
    ("a full host, a short node", [("node1.example.org", "192.0.2.1")], ["node1"], {(0, 0)}),
    ("a short address", [("web", "node1")], ["node1.example.org"], {(0, 0)}),
    ("two addresses", [("10.0.0.1", "10.0.0.1")], ["10.0.0.1", "10.0.0.2"], {(0, 0)}),
    ("an address of another cluster", [("10.9.9.9", "10.9.9.9")], ["10.0.0.1"], set()),
    ("an address and a number", [("10", "")], ["10.0.0.1"], set()),
    ("IPv6", [("fd00::1", "")], ["fd00::1", "fd00::2"], {(0, 0)}),
    ("two regions", [("node1.sgp.example", "")], ["node1.sgp.example", "node1.us.example"], {(0, 0)}),
    ("another region", [("node1.us.example", "")], ["node1.sgp.example"], set()),
    ("a short alias of another region", [("node1", "node1.us.example")], ["node1.sgp.example"], set()),
    ("a short host, two nodes", [("node1", "")], ["node1.a", "node1.b"], set()),
    ("two hosts, a short node", [("node1.a", ""), ("node1.b", "")], ["node1"], set()),
    ("a host that is another node", [("node1.a", "node2")], ["node1", "node2"], {(0, 1)}),
    ("two hosts, one of which has its name", [("node1", ""), ("node1.b", "")], ["node1"], {(0, 0)}),
]


@pytest.mark.parametrize(("hosts", "nodes", "same"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_which_host_is_which_node(hosts, nodes, same):
    assert node_names.pairs(hosts, [node(name) for name in nodes]) == same


def told(names: list[str], host: str, **given: Any) -> tuple[tuple[str, ...], list[str], int]:
    """What is unseen, which findings there are, and how much is refused, where one host of many was seen."""
    calico = replace(manifest("1380", **given), nodes=tuple(map(node, names)), ours={VETH: "1380"})
    uplinks = (Uplink(host, "eth0", 1500, host),)
    plan = mtu.plan(calico, Policy(uplinks))
    assert VETH not in {change.target for change in plan.changes}, "nothing is raised"
    return mtu.view(calico, uplinks).unseen, [each.id for each in plan.findings], len(plan.refusals)


@pytest.mark.parametrize(
    "names", [["10.0.0.1", "10.0.0.2"], ["node1.sgp.example", "node1.us.example"]], ids=["addresses", "two regions"]
)
def test_one_node_is_no_whole_fleet_whose_names_begin_alike(names):
    unseen, findings, refused = told(names, names[0])
    assert (unseen, findings[0], refused) == ((names[1],), "calico_mtu.partial_view", 0)


@pytest.mark.parametrize(("name", "host"), [("10.0.0.1", "10.9.9.9"), ("node1.sgp.example", "node1.us.example")])
def test_a_host_of_another_cluster_is_refused_also_where_its_name_begins_alike(name, host):
    assert told([name], host) == ((name,), [], 1)
