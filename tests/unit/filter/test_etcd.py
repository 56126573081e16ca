"""What all members are to run with, from what the nodes returned."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.etcd import (
    FilterModule,
    etcd_decision,
    etcd_due,
    etcd_hosts,
    etcd_kubeadm,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.decision import Policy

from tests.unit.etcd.test_decision import members


def told(**policy: Any) -> dict[str, dict[str, Any]]:
    """Return hostvars as the role node leaves them."""
    return {
        member.host: {
            "node_result": {
                "facts": {
                    "etcd_timing": {
                        "members": [
                            {
                                "name": member.name,
                                "member_id": member.member_id,
                                "cluster_id": member.cluster_id,
                                "peers": list(member.peers),
                                "values": dict(member.effective.values),
                                "evidence": member.evidence.shown(),
                            }
                        ],
                        "policy": asdict(replace(Policy(), **policy)),
                    }
                },
                "pending": [],
            }
        }
        for member in members()
    } | {"worker": {"node_result": {"facts": {"etcd_timing": {"members": []}}}}, "away": {}}


HOSTS = ["away", "worker", "node1", "node2", "node3"]


def test_followers_first_and_the_leader_last():
    assert etcd_hosts(HOSTS, told()) == ["node2", "node3", "node1"]
    assert etcd_due(HOSTS, told()) == ["node2", "node3", "node1"]
    result = etcd_decision(HOSTS, told())
    assert result["due"]["node1"] == {"cafe": {"heartbeat-interval": 250, "election-timeout": 5000}}
    assert [(f["id"], f["severity"]) for f in result["findings"]] == [
        ("etcd_timing.renew_deadline", "info"),
        ("etcd_timing.values", "medium"),
        ("etcd_timing.measured", "info"),
    ]
    assert result["findings"][-1]["wanted"] == "100/1000 ms"
    assert "round trip p99" in result["findings"][-1]["observed"]


def test_each_cluster_has_a_snapshot_before_its_own_first_member():
    variables = told()
    for host in ("node1", "node2", "node3"):
        other = copy.deepcopy(variables[host])
        other["node_result"]["facts"]["etcd_timing"]["members"][0]["cluster_id"] = "events"
        variables[f"events-{host}"] = other
    result = etcd_decision([*HOSTS, *(f"events-{host}" for host in ("node1", "node2", "node3"))], variables)
    assert list(result["due"]) == ["node2", "node3", "node1", "events-node2", "events-node3", "events-node1"]
    assert result["first"] == ["node2", "events-node2"]


def test_on_a_partial_view_nothing_is_due_and_it_is_said():
    result = etcd_decision(["node1", "node2"], told())
    assert result["due"] == {}
    [finding] = [f for f in result["findings"] if f["id"] == "etcd_timing.not_done"]
    assert "1 of 3 members were not seen" in finding["observed"]
    assert finding["severity"] == "high"


def test_what_was_measured_is_taken_where_it_is_asked_for():
    result = etcd_decision(HOSTS, told(mode="measured"))
    assert result["due"] == {}, "they have it already"
    assert result["findings"][-1]["remedy"] == "It is what all get"


def test_where_nothing_was_measured_it_says_why():
    variables = told()
    for name in ("node1", "node2", "node3"):
        variables[name]["node_result"]["facts"]["etcd_timing"]["members"][0]["evidence"] = {}
    finding = etcd_decision(HOSTS, variables)["findings"][-1]
    assert (finding["wanted"], "not enough" in finding["observed"]) == ("nothing", True)
    assert finding["remedy"] == "Look again when more was counted"


PLACE = "env /etc/etcd.env#ETCD_HEARTBEAT_INTERVAL,ETCD_ELECTION_TIMEOUT,A,B,C,D"


def hardened(*hosts: str, before: str = "ETCD_HEARTBEAT_INTERVAL=100", now: tuple[int, int] = (250, 5000)):
    """Return hostvars of a cluster that was hardened, on whose ``hosts`` a way back waits."""
    variables = told()
    for host in ("node1", "node2", "node3"):
        result = variables[host]["node_result"]
        [member] = result["facts"]["etcd_timing"]["members"]
        member["values"] = {**member["values"], "heartbeat-interval": now[0], "election-timeout": now[1]}
        member["places"] = [PLACE]
        change = {
            "trap": "etcd_timing", "target": PLACE, "after": before,
            "before": f"ETCD_HEARTBEAT_INTERVAL={now[0]} ETCD_ELECTION_TIMEOUT={now[1]}",
        }  # fmt: skip
        result["pending"] = [change, {"trap": "pid_limits", "target": "x"}] if host in hosts else []
    return variables


ALL = ("node1", "node2", "node3")


def test_the_way_back_is_for_those_whose_journal_knows_of_one_the_leader_last():
    assert etcd_due(HOSTS, hardened(*ALL), restore=True) == ["node2", "node3", "node1"]
    result = etcd_decision(HOSTS, hardened(*ALL), restore=True)
    assert (result["due"]["node2"], result["findings"]) == ({"cafe": {}}, [])
    assert etcd_decision(HOSTS, hardened(), restore=True) == {
        "changed": False,
        "changes": [],
        "findings": [],
        "due": {},
        "first": [],
    }


BACK: list[tuple[str, list[str], dict[str, dict[str, Any]], str]] = [
    ("a partial view", ["node1", "node2"], hardened(*ALL), "1 of 3 members were not seen"),
    ("only some of them", HOSTS, hardened("node1", "node3"), "leave the members unequal (etcd1 100/1000 ms, etcd2 250"),
    ("a step that is too large", HOSTS, hardened(*ALL, now=(1000, 10000)), "values in between"),
    ("values that etcd does not take", HOSTS, hardened(*ALL, before="ETCD_HEARTBEAT_INTERVAL=999"), "at least 5"),
]


@pytest.mark.parametrize(("hosts", "variables", "why"), [c[1:] for c in BACK], ids=[c[0] for c in BACK])
def test_the_way_back_keeps_to_the_rules_of_the_way_there(hosts, variables, why):
    result = etcd_decision(hosts, variables, restore=True)
    assert result["due"] == {}
    finding = result["findings"][0]
    assert (finding["id"], finding["severity"]) == ("etcd_timing.not_done", "high")
    assert why in finding["observed"]


def test_kubeadm_s_copy_is_set_once_no_member_waits_any_more():
    variables = told()
    member = variables["node3"]["node_result"]["facts"]["etcd_timing"]["members"][0]
    member["flavour"] = "kubeadm"
    assert etcd_kubeadm(HOSTS, variables)["hosts"] == []
    for name in ("node1", "node2", "node3"):
        variables[name]["etcd_member_result"] = {"changed": True, "pending": []}
    wanted = {"heartbeat-interval": "250", "election-timeout": "5000"}
    assert etcd_kubeadm(HOSTS, variables) == {"hosts": ["node3"], "arguments": {"node3": wanted}}
    held_back = {"changed": False, "skipped": True, "skip_reason": "Conditional result was False"}
    spoils: list[dict[str, Any]] = [{"failed": True}, {"unreachable": True}, {"pending": [{}]}, held_back]
    for spoilt in spoils:
        assert etcd_kubeadm(HOSTS, {**variables, "node2": {**variables["node2"], "etcd_member_result": spoilt}}) == {
            "hosts": [],
            "arguments": {},
        }, spoilt
    assert etcd_kubeadm(["node3"], variables)["hosts"] == [], "a partial view"


def test_on_the_way_back_kubeadm_s_copy_goes_when_nothing_waits():
    variables = told()
    variables["node3"]["node_result"]["facts"]["etcd_timing"]["members"][0]["flavour"] = "kubeadm"
    assert etcd_kubeadm(HOSTS, variables, restore=True)["hosts"] == ["node3"]
    variables["node1"]["node_result"]["pending"] = [{"trap": "etcd_timing"}]
    assert etcd_kubeadm(HOSTS, variables, restore=True)["hosts"] == []
    variables["node1"]["etcd_member_result"] = {"changed": True}
    assert etcd_kubeadm(HOSTS, variables, restore=True)["hosts"] == ["node3"]


def test_each_cluster_of_kubeadm_s_has_its_own_copy():
    variables = told()
    for host in ("node1", "node2", "node3"):
        variables[host]["node_result"]["facts"]["etcd_timing"]["members"][0]["flavour"] = "kubeadm"
        other = copy.deepcopy(variables[host])
        other["node_result"]["facts"]["etcd_timing"]["members"][0]["cluster_id"] = "beef"
        variables[host]["etcd_member_result"] = other["etcd_member_result"] = {"changed": True}
        variables[f"b-{host}"] = other
    hosts = [*HOSTS, *(f"b-{host}" for host in ("node1", "node2", "node3"))]
    found = etcd_kubeadm(hosts, variables)
    assert (found["hosts"], set(found["arguments"])) == (["b-node1", "node1"], {"node1", "b-node1"})
    variables["b-node2"]["etcd_member_result"] = {"failed": True}
    assert etcd_kubeadm(hosts, variables)["hosts"] == ["node1"]


def test_on_the_way_back_kubeadm_s_copy_does_not_go_by_the_decision_of_the_way_there():
    variables = hardened(*ALL)
    for host in ALL:
        facts = variables[host]["node_result"]["facts"]["etcd_timing"]
        facts["members"][0]["flavour"] = "kubeadm"
        facts["policy"]["quota_backend_bytes"] = -1  # which harden refuses
    assert etcd_kubeadm(HOSTS, variables, restore=True)["hosts"] == [], "they wait"
    for host in ALL:
        variables[host]["etcd_member_result"] = {"changed": True}
    assert etcd_kubeadm(HOSTS, variables, restore=True) == {"hosts": ["node1"], "arguments": {"node1": {}}}
    assert etcd_kubeadm(["node1", "node2"], variables, restore=True)["hosts"] == [], "a partial view"


def test_without_etcd_there_is_nothing():
    assert etcd_decision(["worker", "away"], told()) == {
        "changed": False,
        "changes": [],
        "findings": [],
        "due": {},
        "first": [],
    }


def test_ansible_finds_the_filters():
    assert set(FilterModule().filters()) == {"etcd_hosts", "etcd_decision", "etcd_due", "etcd_kubeadm"}
