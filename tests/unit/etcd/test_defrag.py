"""Defragmentation where it pays, and never where anything speaks against it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import defrag, lock, seen, verdict
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.verdict import Policy, judge

from tests.unit.core.etcd_files import MANIFEST
from tests.unit.etcd.a_node import MANIFEST_PATH, PID, node
from tests.unit.etcd.changing import members
from tests.unit.etcd.fake_cluster import FakeCluster

pytestmark = pytest.mark.usefixtures("both_ways")

MIB = 1024**2
SAFE, UNSAFE = (3, 5, 23), (3, 4, 23)

VERDICTS: list[tuple[str, int, int, tuple[int, int, int], bool, str]] = [
    ("half a gigabyte of air", 600 * MIB, 100 * MIB, SAFE, True, ""),
    ("too little to win", 150 * MIB, 60 * MIB, SAFE, False, ""),
    ("too full", 1000 * MIB, 600 * MIB, SAFE, False, ""),
    ("exactly half", 1000 * MIB, 500 * MIB, SAFE, True, ""),
    ("an empty one", 0, 0, SAFE, False, ""),
    ("too little to win, by a version that can corrupt it", 150 * MIB, 60 * MIB, UNSAFE, False, "etcd 3.4.23 can"),
    ("more in use than there is", 100 * MIB, 200 * MIB, SAFE, False, ""),
    ("a version that can corrupt it", 600 * MIB, 100 * MIB, UNSAFE, True, "etcd 3.4.23 can corrupt"),
    ("too much in use for the kubelet", 5000 * MIB, 2010 * MIB, SAFE, True, "it may take 40 s"),
    ("just little enough", 5000 * MIB, 2000 * MIB, SAFE, True, ""),
    ("large, and hardly in use", 9000 * MIB, 100 * MIB, SAFE, True, ""),
]


@pytest.mark.parametrize(
    ("size", "in_use", "running", "pays", "refused"), [c[1:] for c in VERDICTS], ids=[c[0] for c in VERDICTS]
)
def test_when_it_pays(size, in_use, running, pays, refused):
    found = judge(size, in_use, running, Policy())
    assert found.pays is pays
    assert refused in found.refused
    assert bool(refused) is bool(found.refused)


def test_the_time_limit_fits_the_size():
    assert verdict.predicted(1000 * MIB) == 20.0
    assert verdict.patience(1000 * MIB) == 70.0
    assert judge(600 * MIB, 0, UNSAFE, Policy(any_version=True)).refused == ""


def test_where_no_kubelet_looks_there_is_no_limit():
    assert judge(50000 * MIB, 20000 * MIB, SAFE, Policy(), None).refused == ""
    assert "it may take 16 s" in judge(5000 * MIB, 800 * MIB, SAFE, Policy(), 30.0).refused


def test_where_a_member_cannot_be_missed_there_is_a_limit_all_the_same():
    assert judge(50000 * MIB, 2000 * MIB, SAFE, Policy(), None, is_spare=False).refused == ""
    assert "no write for 41 s" in judge(50000 * MIB, 2050 * MIB, SAFE, Policy(), None, is_spare=False).refused


PROBE = "    livenessProbe:\n      failureThreshold: 8\n"
BUDGETS: list[tuple[str, str, float | None]] = [
    ("the usual one", MANIFEST, 80.0),
    ("a longer one", MANIFEST.replace(PROBE, PROBE + "      periodSeconds: 30\n"), 240.0),
    ("the kubelet's own defaults", MANIFEST.replace("      failureThreshold: 8\n", ""), 30.0),
    ("none at all", MANIFEST.replace("livenessProbe", "startupProbe"), None),
    ("nonsense", MANIFEST.replace("failureThreshold: 8", "failureThreshold: many"), 80.0),
]


@pytest.mark.parametrize(("text", "seconds"), [c[1:] for c in BUDGETS], ids=[c[0] for c in BUDGETS])
def test_the_kubelet_s_budget_is_that_of_the_manifest(text, seconds):
    [found] = seen.look(node(**{MANIFEST_PATH: text}))
    assert verdict.budget(found) == seconds


def test_a_unit_of_systemd_has_no_budget():
    assert verdict.budget(seen.look(FakeCluster())[0]) is None


@pytest.mark.parametrize("policy", [{"least_bytes": -1}, {"most_in_use": 5.0}, {"most_in_use": float("nan")}])
def test_thresholds_that_are_none_are_refused(cluster, policy):
    with pytest.raises(NodewardError, match="etcd_defrag_"):
        do(cluster, **policy)


def do(cluster: FakeCluster, check_mode: bool = False, **policy: Any) -> dict[str, Any]:
    return defrag.run(cluster, Policy(**{"allow": True, **policy}), check_mode)


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.version = "3.5.23"
    return cluster


@pytest.mark.parametrize("leader", ["node2", "node1"])
def test_a_member_is_defragmented_and_never_as_the_leader(cluster, leader):
    cluster.leader = leader
    result = do(cluster)
    [member] = result["members"]
    assert (member["before"], member["after"]) == (10**9, 10**8 + 4096)
    assert (member["moved_leader_to"] == "") is (leader == "node2")
    assert result["changes"][0]["target"] == "database of etcd member node1"
    assert cluster.calls_of_api[-1] == "node2 v3/lease/revoke"
    again = do(cluster)
    assert (again["changed"], again["members"][0]["pays"]) == (False, False)


def test_without_consent_or_in_check_mode_it_only_tells(cluster):
    assert do(cluster, allow=False)["changed"] is False
    foretold = do(cluster, check_mode=True)
    assert (foretold["changed"], foretold["members"][0]["after"]) == (True, None)
    assert set(cluster.calls_of_api) == {"node1 v3/cluster/member/list", "node1 v3/maintenance/status"}


@pytest.mark.parametrize("voters", [["node1"], ["node1", "node2"]])
def test_a_cluster_that_cannot_miss_its_member_is_asked_for_by_name(voters):
    cluster = FakeCluster(voters)
    cluster.version, cluster.leader = "3.5.23", voters[-1]
    foretold = do(cluster, check_mode=True)
    assert foretold["changed"] is False
    assert "needs the consent etcd_outage" in foretold["findings"][0]["observed"]
    with pytest.raises(NodewardError, match=r"needs the consent etcd_outage.*harden_allow=etcd_outage"):
        do(cluster)
    assert not any("lease" in call or "defragment" in call for call in cluster.calls_of_api)
    assert do(cluster, check_mode=True, allow_outage=True)["changed"] is True
    assert do(cluster, allow_outage=True)["changed"] is True


def test_a_single_member_s_lock_ends_while_it_copies_and_nobody_has_it():
    class Alone(FakeCluster):
        def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
            if path == "v3/maintenance/defragment":
                self.now += 70
                self.forgets_leases = True
            return super()._told(name, path, body)

    alone = Alone(["node1"])
    alone.version, alone.leader = "3.5.23", "node1"
    [member] = do(alone, allow_outage=True)["members"]
    assert (member["after"], member["seconds"]) == (10**8 + 4096, 70)


def test_what_something_else_defragments_is_left_to_it(cluster):
    cluster.folders.add("/etc/kubernetes/static-pod-resources/etcd-certs")
    with pytest.raises(NodewardError, match="OpenShift's etcd Operator defragments the members itself"):
        do(cluster)
    assert "node1 v3/maintenance/defragment" not in cluster.calls_of_api


def test_check_mode_says_what_it_would_win_or_why_nothing(cluster):
    [finding] = do(cluster, check_mode=True)["findings"]
    assert (finding["id"], finding["observed"]) == ("etcd_defrag.pays", "1000000000 bytes, 10% in use")
    assert finding["wanted"].startswith("900000000 bytes given back, in about 2 s")
    [finding] = do(cluster, check_mode=True, least_bytes=10**12)["findings"]
    assert finding["id"] == "etcd_defrag.does_not_pay"
    assert "refused" not in finding["observed"]


def test_what_will_be_refused_is_told_before_it_pays(cluster):
    cluster.version = "3.4.23"
    [finding] = do(cluster, check_mode=True, least_bytes=10**12)["findings"]
    assert "; once it pays it is refused: etcd 3.4.23 can corrupt a database" in finding["observed"]
    assert "below 1000000000000" in finding["observed"]


def test_what_is_refused_touches_nothing(cluster):
    cluster.version = "3.4.23"
    with pytest.raises(NodewardError, match="can corrupt a database"):
        do(cluster)
    cluster.version = "3.5.23"
    cluster.away = {"node3"}
    with pytest.raises(NodewardError, match="node3 is not well"):
        do(cluster)
    cluster.away = {"node1"}
    with pytest.raises(NodewardError, match="does not answer"):
        do(cluster)
    assert not any("defragment" in call for call in cluster.calls_of_api)


class TwoClusters(FakeCluster):
    """A node with a member of another cluster (events) before its own, which is asked and does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.version = "3.5.23"
        own, other = f"/proc/{PID}", "/proc/7"
        self.files |= {path.replace(own, other): text for path, text in self.files.items() if path.startswith(own)}
        self.links[f"{other}/ns/net"] = self.links[f"{own}/ns/net"]
        self.files[f"{other}/environ"] = self.files[f"{own}/environ"].replace("node1", "events").replace("127", "128")


def test_what_one_member_fails_at_keeps_no_other_cluster_s_from_its_turn():
    cluster = TwoClusters()

    def answer(request: Request) -> Answer:
        if "128.0.0.1" in request.url:
            raise NodewardError("does not answer (Connection refused)", request.url, "See that it runs")
        return FakeCluster.send_http(cluster, request)

    cluster.send_http = answer  # type: ignore[method-assign]
    with pytest.raises(NodewardError, match=r"events: .*does not answer"):
        do(cluster)
    assert cluster.size == 10**8 + 4096


def test_after_a_failure_no_other_member_of_the_same_cluster_is_touched():
    cluster = TwoClusters()
    cluster.away = {"node3"}
    with pytest.raises(NodewardError, match=r"etcd member events: .*node3 is not well"):
        do(cluster)
    assert sum("lease/grant" in call for call in cluster.calls_of_api) == 1


def test_one_that_is_not_well_afterwards_is_an_error():
    class Sick(FakeCluster):
        def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
            if path == "v3/maintenance/defragment":
                self.errors = ["CORRUPT"]
            return super()._told(name, path, body)

    sick = Sick()
    sick.version = "3.5.23"
    with pytest.raises(NodewardError, match="not well after its defragmentation: node1 reports CORRUPT"):
        do(sick)


def test_the_lock_is_kept_where_the_answer_does_not_come_until_the_member_is_well():
    class Slow(FakeCluster):
        def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
            if path == "v3/maintenance/defragment":
                self.away = {"node1"}
                raise NodewardError("does not answer (timed out)", "x", "y")
            return super()._told(name, path, body)

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now > 90:
                self.away = set()

    slow = Slow()
    slow.version = "3.5.23"
    with pytest.raises(NodewardError, match="timed out"):
        do(slow)
    assert slow.now > 90
    assert slow.calls_of_api[-1].endswith("v3/lease/revoke")


class SlowAnswers(FakeCluster):
    """A member whose answers after the lock was taken take so long, together, that its lease ends."""

    def __init__(self) -> None:
        super().__init__()
        self.version, self.leader = "3.5.23", "node1"

    def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
        if path == "v3/maintenance/transfer-leadership":
            self.now += lock.LEASE + 1
            self.waits()
        return super()._told(name, path, body)

    def waits(self) -> None:
        """Is called while the leadership is handed over."""
        self.forgets_leases = True


def test_nothing_is_defragmented_once_the_lock_was_lost():
    slow = SlowAnswers()
    with pytest.raises(NodewardError, match="the lock was lost"):
        do(slow)
    assert not any("defragment" in call for call in slow.calls_of_api)


def test_the_lock_is_kept_while_the_members_are_looked_at(monkeypatch):
    class Kept(SlowAnswers):
        def waits(self) -> None:
            for _moment in range(200):
                if any("lease/keepalive" in call for call in self.calls_of_api):
                    return
                time.sleep(0.01)
            super().waits()

    monkeypatch.setattr(lock, "INTERVAL", 0.01)
    assert do(Kept())["changed"] is True


def test_the_lock_is_kept_while_the_member_answers_nothing(cluster, monkeypatch):
    monkeypatch.setattr(lock, "INTERVAL", 0.01)
    with lock.held(cluster, members(cluster), "me") as kept:
        cluster.now += 30
        with kept.alive():
            for _moment in range(200):
                if "node2 v3/lease/keepalive" in cluster.calls_of_api:
                    break
                time.sleep(0.01)
    assert "node2 v3/lease/keepalive" in cluster.calls_of_api
