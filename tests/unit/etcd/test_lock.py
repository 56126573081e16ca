"""The lock in etcd itself, and what happens to a change while it is held, kept or lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    lock,
)

from tests.unit.etcd.changing import AFTER, Locked, do, members
from tests.unit.etcd.fake_cluster import ENV, TEXT, FakeCluster

pytestmark = pytest.mark.usefixtures("both_ways")


def test_a_lock_is_kept_through_whoever_answers():
    cluster = FakeCluster()
    with lock.held(cluster, members(cluster), "me") as kept:
        cluster.away = {"node2"}
        cluster.now += 30
        kept.keep()
        kept.keep()  # at once again costs nothing
    assert cluster.calls_of_api.count("node1 v3/lease/keepalive") == 1
    assert cluster.calls_of_api[-1] == "node1 v3/lease/revoke"


def test_a_lock_that_nobody_kept_is_lost():
    cluster = FakeCluster()
    with lock.held(cluster, members(cluster), "me") as kept:
        cluster.forgets_leases = True
        cluster.now += 30
        for _again in range(2):
            with pytest.raises(NodewardError, match="the lock was lost"):
                kept.keep()


def test_a_lock_that_nobody_could_keep_is_lost_after_its_lease():
    cluster = FakeCluster()
    with lock.held(cluster, members(cluster), "me") as kept:
        cluster.away = {"node1", "node2"}
        cluster.now += 30
        kept.keep()
        cluster.now += 31
        with pytest.raises(NodewardError, match="the lock was lost"):
            kept.keep()


class Localhost(Locked):
    """A cluster whose members tell addresses at which they are not met from elsewhere, and then one that is right."""

    urls: tuple[str, ...] = ("https://0.0.0.0:2379", "https://localhost:2379")

    def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
        told = super()._told(name, path, body)
        if path == "v3/cluster/member/list" and isinstance(told, dict):
            for each in told["members"]:
                each["clientURLs"] = [*self.urls, *each["clientURLs"]]
        return told


class SlowToMove(Locked):
    """A cluster that leads here, and takes longer for handing over than a lease lasts that nobody keeps alive."""

    threads = 0

    def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
        if path.endswith("transfer-leadership"):
            self.threads = threading.active_count()
            self.now += lock.LEASE + 1
            self.forgets_leases = True
        return super()._told(name, path, body)


def test_nothing_is_written_where_the_lock_is_lost_while_the_leader_hands_over():
    cluster = SlowToMove()
    cluster.leader = "node1"
    with pytest.raises(NodewardError, match="the lock was lost: no member has kept it alive"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (0, TEXT)
    assert cluster.threads > threading.active_count(), "it is kept alive meanwhile"


def test_a_dead_member_does_not_pass_for_well_because_our_own_answers_in_its_place():
    cluster = Localhost()
    cluster.away = {"node3"}
    with pytest.raises(NodewardError, match=r"node3 is not well .*0\.0\.0\.0:2379 is answered by another member"):
        do(cluster)
    assert cluster.restarts == 0


def test_a_member_is_asked_at_all_of_its_addresses_and_keeps_the_lock_at_the_one_that_it_answers():
    cluster = Localhost()
    assert do(cluster)["changed"] is True
    assert "node2 v3/lease/keepalive" in cluster.calls_of_api
    assert "node1 v3/lease/keepalive" not in cluster.calls_of_api


def test_the_cluster_is_looked_at_again_after_the_snapshot():
    class Dies(Locked):
        def saves(self) -> None:
            self.away = {"node3"}

    cluster = Dies()
    with pytest.raises(NodewardError, match=r"node3 is not well"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (0, TEXT)


def test_the_leader_of_after_the_snapshot_hands_over():
    class Elects(Locked):
        def saves(self) -> None:
            self.leader = "node1"

    assert do(Elects())["members"][0]["moved_leader_to"] in ("node2", "node3")


class Leased(Locked):
    """A cluster whose lease ends as etcd's does, and in which ``slow`` takes 120 s."""

    slow = ""
    granted = 0.0

    def _pass(self, name: str) -> None:
        for _second in range(24 if name == self.slow else 0):
            self.now += 5
            asked = len(self.calls_of_api)
            for _moment in range(500):
                if len(self.calls_of_api) > asked:
                    break
                time.sleep(0.01)

    def _locked(self, path: str) -> dict[str, Any]:
        if path == "v3/lease/keepalive" and self.now - self.granted > lock.LEASE:
            return {"result": {}}
        if path in ("v3/lease/grant", "v3/lease/keepalive"):
            self.granted = self.now
        return super()._locked(path)

    def run(self, command: Sequence[str], patience: float = 0) -> str:
        self._pass(command[1])
        return super().run(command, patience)

    def saves(self) -> None:
        self._pass("snapshot")


@pytest.mark.parametrize("slow", ["restart", "snapshot"])
def test_the_lock_is_kept_while_something_takes_longer_than_its_lease(slow, monkeypatch):
    monkeypatch.setattr(lock, "INTERVAL", 0.001)
    cluster = Leased()
    cluster.slow = slow
    assert do(cluster)["changed"] is True
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_a_lock_that_is_lost_meanwhile_takes_no_good_restart_back():
    class Revoked(Locked):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.forgets_leases = bool(self.restarts)

    cluster = Revoked()
    with pytest.raises(NodewardError, match="new configuration and is well, but the lock was lost"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_a_lock_that_is_lost_before_the_writing_leaves_everything_as_it_is():
    class Revoked(Locked):
        def saves(self) -> None:
            self.forgets_leases = True
            self.now += 30

    cluster = Revoked()
    with pytest.raises(NodewardError, match="the lock was lost"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (0, TEXT)


def test_a_killed_run_s_lock_is_waited_for():
    class Waits(FakeCluster):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now > lock.LEASE:
                self.locked_by = ""

    cluster = Waits()
    cluster.locked_by = "a killed one"
    with lock.held(cluster, members(cluster), lock.holder("node1", "x")):
        assert lock.LEASE < cluster.now < lock.PATIENCE


class Restarts(FakeCluster):
    """A cluster in which whoever has the lock restarts ``down``, the first member that is asked, while it is waited."""

    down: tuple[str, ...] = ("node2",)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.away = set(self.down) if self.now < 20 else set()
        self.locked_by = self.locked_by if self.now < 40 else ""


@pytest.mark.parametrize("down", [("node2",), ("node1", "node2")], ids=["one", "so that nobody answers"])
def test_the_lock_is_waited_for_while_its_holder_restarts_the_member_that_is_asked(down):
    cluster = Restarts()
    cluster.locked_by, cluster.down = "another", down
    with lock.held(cluster, members(cluster), "me"):
        assert 40 <= cluster.now < lock.PATIENCE
    assert cluster.calls_of_api[-1].endswith("v3/lease/revoke")


def test_the_lock_is_asked_for_at_a_member_that_answers():
    cluster = FakeCluster()
    cluster.away = {"node2"}
    with lock.held(cluster, members(cluster), "me"):
        pass
    assert cluster.calls_of_api == ["node1 v3/lease/grant", "node1 v3/kv/txn", "node1 v3/lease/revoke"]


def test_where_nobody_answers_while_the_lock_is_waited_for_it_is_said_in_the_end():
    class Dies(FakeCluster):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.away = {"node1", "node2"}

    cluster = Dies()
    cluster.locked_by = "another"
    with (
        pytest.raises(lock.LockTakenError, match=r"does not answer|deadline exceeded"),
        lock.held(cluster, members(cluster), "me", patience=30),
    ):
        raise AssertionError
    assert 30 <= cluster.now < 40


@pytest.mark.parametrize("said", lock.FINAL)
def test_what_no_waiting_changes_is_said_at_once(said):
    class Refuses(FakeCluster):
        def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
            if path == "v3/kv/txn":
                raise NodewardError(f"{path} was answered with 403: etcdserver: {said}", name, "See the log of etcd")
            return super()._told(name, path, body)

    cluster = Refuses()
    with pytest.raises(NodewardError, match=said), lock.held(cluster, members(cluster), "me"):
        raise AssertionError
    assert cluster.now < lock.INTERVAL


def test_a_claim_whose_answer_was_lost_is_known_by_its_lease():
    class Loses(FakeCluster):
        def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
            told = super()._told(name, path, body)
            if path == "v3/kv/txn" and not self.locked_by:
                self.locked_by, self.locked_with, self.away = "me", "77", {"node2"}
                raise NodewardError("does not answer (timed out)", name, "See that it runs")
            return told

    cluster = Loses()
    with lock.held(cluster, members(cluster), "me"):
        assert cluster.now < lock.INTERVAL
