"""One decision over all members of a cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import timing
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.decision import (
    Decision,
    Member,
    Policy,
    decide,
    unequal,
    value_problems,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.evidence import Evidence
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.settings import (
    defaults,
    effective,
    read,
    same,
    variables,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.version import (
    UNKNOWN,
    defrag_is_safe,
    has_readyz,
    parse,
    pre_votes_by_default,
)

IDS = ("a1", "b2", "c3")
QUIET = Evidence(
    rtt_p99={"x": 1.0}, rtt_median={"x": 0.6}, rtt_samples=20, fsync_p99=2.0, fsync_samples=5000, db_size=10**8
)


def members(count: int = 3, **given: str) -> list[Member]:
    values = effective({name.replace("_", "-"): value for name, value in given.items()}, (3, 5, 21))
    return [
        Member(
            host=f"node{number + 1}",
            name=f"etcd{number + 1}",
            member_id=IDS[number],
            cluster_id="cafe",
            effective=values,
            evidence=replace(QUIET, is_leader=number == 0),
            peers=IDS[:count],
            flavour="kubeadm",
        )
        for number in range(count)
    ]


def decided(seen: list[Member], **policy: Any) -> Decision:
    [decision] = decide(seen, {member.host: Policy(**policy) for member in seen})
    return decision


def test_all_members_get_the_same_values_and_the_leader_comes_last():
    decision = decided(members())
    assert decision.wanted == {"heartbeat-interval": 250, "election-timeout": 5000}
    assert [member.host for member in decision.due] == ["node2", "node3", "node1"]
    assert not decision.refused
    assert [problem.severity for problem in decision.problems] == ["info"]


def test_nothing_is_due_where_all_have_them():
    decision = decided(members(heartbeat_interval="250", election_timeout="5000"))
    assert decision.due == ()
    assert decision.choice.values == {"heartbeat-interval": 100, "election-timeout": 1000}


def test_only_who_differs_is_due():
    seen = members(heartbeat_interval="250", election_timeout="5000")
    seen[1] = replace(seen[1], effective=effective({}, (3, 5, 21)))
    assert [member.host for member in decided(seen).due] == ["node2"]
    assert unequal(seen) == ["heartbeat-interval", "election-timeout"]


def test_a_file_that_says_something_else_is_due_as_well():
    seen = members(heartbeat_interval="250", election_timeout="5000")
    settled = {"heartbeat-interval": 250, "election-timeout": 5000}
    seen = [replace(member, configured=settled) for member in seen]
    seen[2] = replace(seen[2], configured={**settled, "election-timeout": 1000})
    assert [member.host for member in decided(seen).due] == ["node3"]


def test_what_was_measured_holds_where_it_is_asked_for():
    seen = members()
    seen[1] = replace(seen[1], evidence=replace(QUIET, fsync_p99=430.0))
    assert decided(seen).wanted["heartbeat-interval"] == 250
    decision = decided(seen, mode="measured")
    assert decision.wanted == {"heartbeat-interval": 450, "election-timeout": 4500}


def test_a_measurement_at_the_edge_of_a_step_restarts_nobody():
    def measured(fsync: float) -> Decision:
        seen = members(heartbeat_interval="200", election_timeout="2000")
        return decided([replace(each, evidence=replace(QUIET, fsync_p99=fsync)) for each in seen], mode="measured")

    assert [len(measured(fsync).due) for fsync in (149.0, 151.0, 199.0, 201.0)] == [0, 0, 0, 3]


def test_with_too_few_measurements_equal_values_are_kept_and_it_is_said():
    seen = [replace(member, evidence=Evidence()) for member in members()]
    decision = decided(seen, mode="measured")
    assert (decision.due, decision.refused) == ((), ())
    assert [(problem.id, problem.severity) for problem in decision.problems] == [("thin", "info")]
    assert decided(seen, mode="measured", snapshot_count=5000).wanted["snapshot-count"] == 5000


REFUSED: list[tuple[str, list[Member], dict[str, Any], str]] = [
    ("a member was not seen", members()[:2], {}, "1 of 3 members were not seen (c3)"),
    ("a member could not be asked", [*members()[:2], replace(members()[2], unseen="does not answer")], {},
     "node3: does not answer"),
    ("nobody told who is a member", [replace(member, peers=()) for member in members()], {}, "list of members"),
    ("too few measurements", [*(replace(member, evidence=Evidence()) for member in members()[:2]),
     members(heartbeat_interval="250")[2]], {"mode": "measured"}, "not enough was counted"),
    ("four heartbeats", members(), {"election_timeout": 1000}, "at least 5 heartbeat intervals"),
    ("a member far away", [replace(m, evidence=replace(QUIET, rtt_median={"x": 600.0})) for m in members()], {},
     "at least 10 round trips"),
    ("too large a step", members(), {"heartbeat_interval": 1000, "election_timeout": 10000}, "one by one"),
    ("a file that cannot be written", [*members()[:2], replace(members()[2], obstacle="this is kOps")], {},
     "node3: this is kOps"),
    ("two hosts with one member", [*members()[:2], replace(members()[2], host="node9"), members()[2]], {},
     "which another host is too"),
    ("one that is not in the list", [*members(), replace(members()[2], host="node9", member_id="d4")], {},
     "not in etcd's own list"),
    ("a learner", [*members()[:2], replace(members()[2], learners=("c3",))], {}, "learner c3"),
    ("an absurd snapshot count", members(), {"snapshot_count": 10**30}, "at most 1000000000"),
    ("a quota near the database", members(), {"quota_backend_bytes": 10**8}, "below twice the largest database"),
]  # fmt: skip


def test_a_member_that_was_not_seen_is_called_as_the_others_call_it():
    seen = [replace(each, peer_names=("etcd1", "etcd2", "etcd3")) for each in members()][:2]
    [problem] = [each for each in decided(seen).problems if each.id == "partial"]
    assert "1 of 3 members were not seen (etcd3 (c3))" in problem.what


@pytest.mark.parametrize(("seen", "policy", "why"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_is_refused_before_anything_is_written(seen, policy, why):
    decision = decided(seen, **policy)
    assert any(why in problem.what for problem in decision.refused), decision.problems


def test_a_stall_that_is_over_keeps_no_remedy_away():
    stalled = replace(QUIET, rtt_p99={"x": 3276.8})
    decision = decided([*members()[:2], replace(members()[2], evidence=stalled)])
    assert (decision.refused, len(decision.due)) == ((), 3)
    [told] = [each for each in decision.problems if each.id == "stalls"]
    assert "round trips of up to 3276.8 ms" in told.what


@pytest.mark.parametrize("samples", [0, timing.RTT_SAMPLES - 1])
def test_few_round_trips_say_nothing(samples):
    young = replace(QUIET, rtt_median={"x": 600.0}, rtt_p99={"x": 600.0}, rtt_samples=samples)
    decision = decided([replace(each, evidence=young) for each in members()])
    assert (decision.refused, len(decision.due)) == ((), 3)


def test_hosts_of_one_cluster_have_one_policy():
    seen = members()
    policies = {member.host: Policy() for member in seen} | {"node3": Policy(heartbeat_interval=200)}
    [decision] = decide(seen, policies)
    assert "differ" in decision.refused[0].what


def test_an_obstacle_of_a_member_that_needs_nothing_is_none():
    seen = members(heartbeat_interval="250", election_timeout="5000")
    seen[2] = replace(seen[2], obstacle="this is kOps")
    assert not decided(seen).refused


def test_two_clusters_are_two_decisions():
    events = [replace(member, cluster_id="beef", name="events") for member in members()]
    both = [*members(), *events]
    assert [decision.cluster_id for decision in decide(both, {m.host: Policy() for m in both})] == ["beef", "cafe"]


def test_a_member_that_nobody_could_ask_is_a_cluster_of_its_own_and_holds_up_nothing_else():
    lost = replace(members()[2], cluster_id="", unseen="its metrics do not answer")
    seen = [*members()[:2], lost]
    found = decide(seen, {member.host: Policy() for member in seen})
    assert [decision.cluster_id for decision in found] == ["cafe", "unknown on node3"]
    assert all(decision.refused for decision in found)


def test_a_cluster_of_one_is_measured_without_round_trips():
    alone = [replace(member, evidence=Evidence(fsync_p99=5.0, fsync_samples=200)) for member in members(1)]
    assert decided(alone, mode="measured").wanted["election-timeout"] == 1000


VALUES: list[tuple[str, dict[str, Any], str]] = [
    ("a snapshot count of nothing", {"snapshot-count": 0}, "snapshot count"),
    (
        "another mode",
        {"auto-compaction-mode": "weekly", "auto-compaction-retention": "8"},
        "periodic or revision",
    ),
    (
        "a retention in words",
        {"auto-compaction-mode": "periodic", "auto-compaction-retention": "soon"},
        "neither a number nor a duration",
    ),
    (
        "a retention of two units",
        {"auto-compaction-mode": "periodic", "auto-compaction-retention": "5hm"},
        "neither a number nor a duration",
    ),
    ("a mode alone", {"auto-compaction-mode": "revision"}, "given together"),
    ("a retention alone", {"auto-compaction-retention": "8"}, "given together"),
    (
        "hours of revisions",
        {"auto-compaction-mode": "revision", "auto-compaction-retention": "5h"},
        "number of revisions",
    ),
    ("a negative quota", {"quota-backend-bytes": -1}, "must not be below 0"),
]


@pytest.mark.parametrize(("wanted", "why"), [c[1:] for c in VALUES], ids=[c[0] for c in VALUES])
def test_values_that_etcd_would_not_take(wanted, why):
    [problem] = value_problems(wanted)
    assert problem.refused
    assert why in problem.what


def test_values_that_are_all_right():
    assert not list(value_problems({"auto-compaction-mode": "revision", "auto-compaction-retention": "1000"}))
    assert not list(
        value_problems(
            {
                "auto-compaction-mode": "periodic",
                "auto-compaction-retention": "1h30m",
                "snapshot-count": 1,
                "quota-backend-bytes": 0,
            }
        )
    )
    [problem] = value_problems({"quota-backend-bytes": 9 * 1024**3})
    assert not problem.refused


def test_a_member_survives_the_way_through_a_result():
    member = replace(members()[0], configured={"heartbeat-interval": 100}, obstacle="no", unseen="x")
    told = {
        **{
            name: getattr(member, name) for name in ("name", "member_id", "cluster_id", "flavour", "obstacle", "unseen")
        },
        "values": dict(member.effective.values),
        "given": sorted(member.effective.given),
        "configured": member.configured,
        "evidence": member.evidence.shown(),
        "peers": list(member.peers),
    }
    assert Member.read("node1", told) == member
    assert Member.read("node1", {}).unseen == ""


# --- settings and versions --------------------------------------------------------------------------


def test_what_nobody_sets_is_etcd_s_default_of_that_version():
    assert effective({"heartbeat-interval": "250"}, (3, 4, 23)).values["snapshot-count"] == 100000
    assert effective({}, (3, 6, 0)).values["snapshot-count"] == 10000
    assert effective({"heartbeat-interval": "soon"}, (3, 6, 0)).given == frozenset()
    assert defaults((3, 5, 0))["auto-compaction-mode"] == "periodic"


def test_a_value_as_it_is_read():
    assert read("heartbeat-interval", " 250 ") == 250
    assert read("heartbeat-interval", "250ms") is None
    assert read("auto-compaction-retention", "5m") == "5m"
    assert read("auto-compaction-mode", "never") is None
    assert same("auto-compaction-retention", "0", "0h")
    assert not same("auto-compaction-retention", "8", "8m")
    assert same("auto-compaction-retention", "8", "8h")
    assert same("auto-compaction-retention", "90m", "1h30m")
    assert not same("auto-compaction-retention", "x", "y")
    assert variables(("heartbeat-interval",)) == {"heartbeat-interval": "ETCD_HEARTBEAT_INTERVAL"}


VERSIONS: list[tuple[str, tuple[int, int, int], bool, bool, bool]] = [
    ("3.4.23", (3, 4, 23), False, False, False),
    ("3.4.29+dfsg", (3, 4, 29), True, False, False),
    ("3.4.38", (3, 4, 38), True, True, False),
    ("v3.5.10", (3, 5, 10), False, False, True),
    ("3.5.23", (3, 5, 23), True, True, True),
    ("3.5.23-rc.0", (3, 5, 22), True, False, True),
    ("3.6.4", (3, 6, 4), True, False, True),
    ("3.6.5", (3, 6, 5), True, True, True),
    ("3.7.0", (3, 7, 0), True, True, True),
    ("nonsense", UNKNOWN, False, False, False),
]


@pytest.mark.parametrize(("text", "version", "readyz", "defrag", "pre_vote"), VERSIONS, ids=[v[0] for v in VERSIONS])
def test_versions(text, version, readyz, defrag, pre_vote):
    assert parse(text) == version
    assert (has_readyz(version), defrag_is_safe(version), pre_votes_by_default(version)) == (readyz, defrag, pre_vote)
