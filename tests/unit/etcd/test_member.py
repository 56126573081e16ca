"""One member gets its values: gates, the lock, the snapshot, the leader, the restart, and the way back."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.etcd import etcd_due
from ansible_collections.nodeward.calico.plugins.module_utils._core import io_priority, journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    apiserver,
    lock,
    note,
    quorum,
    run,
    seen,
    snapshot,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.access import Access, parts
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.decision import Member
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.way_back import decide_back
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_io, etcd_timing

from tests.unit.etcd.a_node import OWN_NET, PID
from tests.unit.etcd.fake_cluster import DATABASE, ENV, OWN, TEXT, FakeCluster
from tests.unit.fake_host import FakeHost

VALUES = {"heartbeat-interval": 250, "election-timeout": 5000}
AFTER = TEXT.replace("INTERVAL=100", "INTERVAL=250").replace("TIMEOUT=1000", "TIMEOUT=5000")


@pytest.fixture(autouse=True, params=[True, False], ids=["gateway", "etcdctl"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All below is so through etcd's gateway, and through etcdctl where that is off."""
    monkeypatch.setattr(FakeCluster, "gateway", request.param)


API_SERVER = "kube-apiserver\0--etcd-servers=https://127.0.0.1:2379\0"


class Locked(FakeCluster):
    """A cluster whose node can be locked."""

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()


def params(**more: Any) -> dict[str, Any]:
    return {
        "state": "hardened", "clusters": {"cafe": VALUES}, "allow": ["etcd_restart"], "snapshot": True,
        "snapshot_folder": None, **more,
    }  # fmt: skip


def do(cluster: Locked, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    given = params(**more)
    return run.run(cluster, run.wanted(given), check_mode, given["allow"])  # type: ignore[arg-type]


def set_away(cluster: Locked) -> None:
    cluster.away = {"node3"}


def set_learner(cluster: Locked) -> None:
    cluster.learner = "node3"


def set_alarm(cluster: Locked) -> None:
    cluster.errors = ["NOSPACE"]


def set_terms(cluster: Locked) -> None:
    cluster.terms = {"node3": 8}


def set_leaderless(cluster: Locked) -> None:
    cluster.leader = ""


def set_behind(cluster: Locked) -> None:
    cluster.behind = 3000


def set_locked(cluster: Locked) -> None:
    cluster.locked_by = '{"host": "node3", "for": "restart of etcd node3"}'


def set_full(cluster: Locked) -> None:
    cluster.space = {"/": len(DATABASE)}


def set_torn(cluster: Locked) -> None:
    cluster.snapshot = cluster.snapshot[:-1] + b"?"


def test_a_follower_is_changed():
    cluster = Locked()
    cluster.behind = 40
    result = do(cluster)
    assert cluster.files[ENV] == AFTER
    assert cluster.restarts == 1
    assert [(c["before"], c["after"], c["disrupts"]) for c in result["changes"]] == [
        (
            "ETCD_HEARTBEAT_INTERVAL=100 ETCD_ELECTION_TIMEOUT=1000",
            "ETCD_HEARTBEAT_INTERVAL=250 ETCD_ELECTION_TIMEOUT=5000",
            "etcd_restart",
        )
    ]
    [member] = result["members"]
    assert (member["name"], member["moved_leader_to"]) == ("node1", "")
    assert member["seconds"] >= 10, "two election timeouts"
    # the snapshot is whole, for root alone, and not in the result
    assert cluster.files[member["snapshot"]].encode("latin-1") == cluster.snapshot
    assert cluster.modes[member["snapshot"]] == 0o600
    assert "Secret" not in json.dumps(result)
    # the lock was taken, kept through another member, and given back
    assert cluster.calls_of_api.count("node2 v3/lease/grant") == 1
    assert "node2 v3/lease/keepalive" in cluster.calls_of_api
    assert cluster.calls_of_api[-1] == "node2 v3/lease/revoke"


def test_a_second_time_nothing_is_restarted_and_nothing_costs_a_write():
    cluster = Locked()
    do(cluster)
    cluster.calls_of_api.clear()
    calls = list(cluster.calls)
    assert do(cluster)["changed"] is False
    assert cluster.restarts == 1
    assert set(cluster.calls_of_api) == {"node1 v3/cluster/member/list"}
    assert [call for call in cluster.calls[len(calls) :] if "show" not in call[1]] == []


def test_a_run_that_was_killed_between_writing_and_restarting_is_finished():
    cluster = Locked()
    cluster.files[ENV] = AFTER
    result = do(cluster)
    assert (cluster.restarts, result["changed"]) == (1, True)
    assert [change["target"] for change in result["changes"]] == ["restart etcd.service"]
    assert journal.PATH not in cluster.files


class KilledError(BaseException):
    """What SIGKILL leaves nothing to do after."""


class Killed(Locked):
    """A cluster whose first run is killed when the unit does not start, and nothing of it is cleaned up."""

    def run(self, command: Sequence[str], patience: float = 0) -> str:
        try:
            return super().run(command, patience)
        except NodewardError:
            if self.restarts == 1:
                self.frozen = True
                raise KilledError from None
            raise

    frozen = False

    def write_file(self, path: str, text: str, mode: int) -> None:
        if not self.frozen:
            super().write_file(path, text, mode)

    def remove_file(self, path: str) -> None:
        if not self.frozen:
            super().remove_file(path)


def killed() -> Killed:
    cluster = Killed()
    cluster.bad = "TIMEOUT=5000"
    with pytest.raises(KilledError):
        do(cluster)
    cluster.frozen = False
    assert "TIMEOUT=5000" in cluster.files[ENV]
    assert seen.look(cluster) == []
    return cluster


@pytest.mark.parametrize("state", ["hardened", "restored"])
def test_a_member_that_a_killed_run_has_left_down_is_brought_up_again(state):
    cluster = killed()
    assert do(cluster, state=state, clusters={}, allow=[])["pending"]
    assert do(cluster, True, state=state, clusters={})["changed"] is True
    assert "TIMEOUT=5000" in cluster.files[ENV], "check mode"
    result = do(cluster, state=state, clusters={})
    assert (result["changed"], cluster.files[ENV]) == (True, TEXT)
    assert seen.look(cluster)[0].name == "node1"
    assert note.PATH not in cluster.files
    assert journal.decode(cluster.files[journal.PATH]).entries == ()
    assert do(cluster, state=state, clusters={})["changed"] is False


class KilledBeforeRestart(Killed):
    """A cluster whose second run is killed when it has written and not restarted."""

    def run(self, command: Sequence[str], patience: float = 0) -> str:
        if list(command[:2]) == ["systemctl", "restart"] and self.restarts == 1:
            if not self.frozen:
                self.frozen = True
                raise KilledError
            return ""
        return super().run(command, patience)


def test_a_restore_that_was_killed_before_its_restart_is_finished_by_the_next_one():
    cluster = KilledBeforeRestart()
    do(cluster)
    with pytest.raises(KilledError):
        do(cluster, state="restored", clusters={"cafe": {}})
    cluster.frozen, cluster.restarts = False, 0
    assert (cluster.files[ENV], journal.PATH in cluster.files) == (TEXT, False)
    [left] = seen.look(cluster)
    assert left.effective.values["election-timeout"] == 5000
    # the controller finds it due, though its journal has nothing to go back to
    [told] = etcd_timing.shown(etcd_timing.observe(cluster))["members"]
    [decision] = decide_back([Member.read("node1", told)], {})
    assert [member.name for member in decision.due] == ["node1"]
    result = do(cluster, state="restored", clusters={"cafe": {}})
    assert [change["target"] for change in result["changes"]] == ["restart etcd.service"]
    assert seen.look(cluster)[0].effective.values["election-timeout"] == 1000
    assert note.PATH not in cluster.files
    assert do(cluster, state="restored", clusters={"cafe": {}})["changed"] is False


def test_one_that_still_does_not_start_is_an_error_and_told_of_again():
    cluster = killed()
    cluster.bad = "ETCD_NAME"
    for _again in range(2):
        with pytest.raises(NodewardError, match="failed"):
            do(cluster, clusters={})
    assert cluster.files[ENV] == TEXT


def test_the_node_tells_of_one_that_a_killed_run_has_left_down():
    facts = etcd_timing.observe(killed())
    assert etcd_timing.shown(facts) == {"members": [], "stranded": "node1"}
    [finding] = etcd_timing.plan(facts, etcd_timing.Policy()).findings
    assert (finding.id, finding.severity) == ("etcd_timing.stranded", "high")
    variables = {"node1": {"node_result": {"facts": {"etcd_timing": etcd_timing.shown(facts)}}}}
    assert etcd_due(["node1"], variables) == etcd_due(["node1"], variables, restore=True) == ["node1"]


def test_what_is_noted_of_a_run_is_gone_after_it_and_garbage_in_it_is_an_error():
    cluster = Locked()
    do(cluster)
    assert note.PATH not in cluster.files
    cluster.files[note.PATH] = '{"name": 1}'
    with pytest.raises(NodewardError, match="cannot be read"):
        do(cluster)


class FromFile(Locked):
    """A member with --config-file, which it reads when it starts, at ``started``; the file is from ``written``."""

    PATH = "/etc/etcd/etcd.yml"
    started, written = 0.0, -100.0

    def __init__(self) -> None:
        super().__init__()
        self.files[f"/proc/{PID}/cmdline"] = f"/usr/local/bin/etcd\0--config-file={self.PATH}\0"
        self.files[self.PATH] = (
            "name: node1\nheartbeat-interval: 250\nelection-timeout: 5000\n"
            "listen-client-urls: https://127.0.0.1:2379\nlisten-metrics-urls: http://127.0.0.1:2381\n"
        )

    def modified(self, path: str) -> float | None:
        return 1.7e9 + self.written if path == self.PATH else super().modified(path)

    def run(self, command: Sequence[str], patience: float = 0) -> str:
        told = super().run(command, patience)
        self.started = self.now if command[1] == "restart" else self.started
        return told

    def send_http(self, request: Request) -> Answer:
        told = super().send_http(request)
        start = f"process_start_time_seconds {1.7e9 + self.started}\n" if request.url.endswith("metrics") else ""
        return Answer(told.status, told.body + start)


def test_a_file_that_was_written_after_the_start_needs_a_restart():
    cluster = FromFile()
    assert do(cluster)["changed"] is False
    cluster.now, cluster.written = 200.0, 100.0
    result = do(cluster)
    assert [change["target"] for change in result["changes"]] == ["restart etcd.service"]
    assert do(cluster)["changed"] is False
    [told] = [each.shown(VALUES) for each in seen.look(cluster)]
    assert told["stale"] is False
    assert Member.read("node1", {**told, "stale": True}).differs(VALUES)


def test_a_restart_that_is_all_there_is_to_do_is_not_done_twice():
    cluster = Locked()
    cluster.files[ENV] = AFTER
    cluster.never_ready = True
    with pytest.raises(NodewardError, match="nothing was written, so there is nothing to put back"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_the_leader_hands_over_first():
    cluster = Locked()
    cluster.leader = "node1"
    assert do(cluster)["members"][0]["moved_leader_to"] in ("node2", "node3")
    assert cluster.moves == [cluster.leader]


def test_check_mode_changes_nothing_and_foretells():
    cluster = Locked()
    before = dict(cluster.files)
    foretold = do(cluster, check_mode=True)
    assert cluster.files == before
    assert cluster.restarts == 0
    assert {call.partition(" ")[2] for call in cluster.calls_of_api} == {
        "v3/cluster/member/list",
        "v3/maintenance/status",
    }
    assert foretold["changes"] == do(cluster)["changes"]


@pytest.mark.parametrize("spoil", [set_away, set_alarm, set_leaderless])
def test_check_mode_refuses_where_the_run_would(spoil):
    cluster = Locked()
    spoil(cluster)
    with pytest.raises(NodewardError, match="the cluster is not well"):
        do(cluster, check_mode=True)


def test_a_file_that_holds_both_kinds_of_places_is_written_once():
    cluster = Locked()
    cluster.files[ENV] = TEXT.replace("ETCD_HEARTBEAT_INTERVAL=100", 'DAEMON_ARGS="--heartbeat-interval=100"')
    cluster.files[f"/proc/{PID}/cmdline"] = "/usr/local/bin/etcd\0--heartbeat-interval=100\0"
    cluster.bad = "interval=250"
    with pytest.raises(NodewardError, match="was put back"):
        do(cluster)
    writes = [path for verb, path in cluster.calls if (verb, path) == ("write", ENV)]
    assert len(writes) == 2, "there and back"


def test_the_error_tells_what_the_files_hold_where_they_cannot_be_put_back():
    class Full(Locked):
        def write_file(self, path: str, text: str, mode: int) -> None:
            if path == ENV and text == TEXT:
                raise OSError(errno.ENOSPC, "No space left on device", path)
            super().write_file(path, text, mode)

    cluster = Full()
    cluster.bad = "TIMEOUT=5000"
    with pytest.raises(NodewardError, match=r"No space left.*is NOT that of before: bring back /etc/etcd\.env"):
        do(cluster)
    assert journal.PATH in cluster.files, "restore still knows the way"


def test_an_api_server_that_was_not_ready_before_takes_no_restart_back():
    class Unready(Locked):
        def send_http(self, request: Request) -> Answer:
            return Answer(500, "") if ":6443" in request.url else super().send_http(request)

    cluster = Unready()
    cluster.files |= {"/proc/9/comm": "kube-apiserver\n", "/proc/9/cmdline": API_SERVER}
    cluster.links["/proc/9/ns/net"] = OWN_NET
    assert do(cluster)["changed"] is True
    assert cluster.restarts == 1


def test_without_consent_nothing_is_written_and_it_waits():
    cluster = Locked()
    result = do(cluster, allow=[])
    assert (result["changed"], cluster.files[ENV], cluster.restarts) == (False, TEXT, 0)
    assert [change["disrupts"] for change in result["pending"]] == ["etcd_restart"]


@pytest.mark.parametrize("voters", [["node1"], ["node1", "node2"]])
def test_one_that_cannot_be_missed_needs_another_consent(voters):
    cluster = Locked(voters)
    cluster.leader = "node1"
    assert [change["disrupts"] for change in do(cluster)["pending"]] == ["etcd_outage"]
    assert do(cluster, allow=["etcd_outage"])["changed"] is True


GATES = [
    (set_away, "node3 is not well .*Nothing was touched"),
    (set_learner, "node3 is a learner"),
    (set_alarm, "node1 reports NOSPACE"),
    (set_terms, "do not agree on a leader"),
    (set_leaderless, "there is no leader"),
    (set_behind, "node1 is 3000 entries behind"),
    (set_locked, "another run has the lock: .*restart of etcd node3"),
    (set_full, "has not twice the"),
    (set_torn, "the snapshot is not whole"),
]


@pytest.mark.parametrize(("spoil", "why"), GATES, ids=[gate[0].__name__ for gate in GATES])
def test_what_keeps_it_from_being_touched(spoil, why):
    cluster = Locked()
    spoil(cluster)
    before = beside_snapshots(cluster)
    with pytest.raises(NodewardError, match=why):
        do(cluster, allow=["etcd_restart", "etcd_outage"])
    assert cluster.restarts == 0
    assert beside_snapshots(cluster) == before


def beside_snapshots(cluster: FakeCluster) -> dict[str, str]:
    """The files of the node without snapshots, and what removes them."""
    return {path: text for path, text in cluster.files.items() if not path.endswith(".db") and path != snapshot.TIDIED}


def test_a_value_that_etcd_does_not_take_is_put_back():
    cluster = Locked()
    cluster.bad = "TIMEOUT=5000"
    with pytest.raises(NodewardError, match="ended with 1: failed; its configuration was put back and it is well"):
        do(cluster)
    assert cluster.files[ENV] == TEXT
    assert cluster.restarts == 2
    assert journal.PATH not in cluster.files
    assert cluster.calls_of_api[-1].endswith("lease/revoke")


def test_both_errors_are_told_where_going_back_fails_too():
    cluster = Locked()
    cluster.bad = "ETCD_NAME"
    with pytest.raises(NodewardError, match=r"failed; and going back failed as well: .*failed"):
        do(cluster)
    assert cluster.files[ENV] == TEXT


def test_one_that_is_never_ready_is_put_back_after_a_while():
    cluster = Locked()
    cluster.never_ready = True
    with pytest.raises(NodewardError, match=r"not well 240 s after its restart.*503 not ready"):
        do(cluster)
    assert cluster.files[ENV] == TEXT


def test_a_unit_that_systemd_has_given_up_is_not_waited_for():
    cluster = Locked()
    cluster.never_ready = True
    cluster.commands["systemctl show --property=ActiveState --value etcd.service"] = "failed\n"
    with pytest.raises(NodewardError, match="does not start"):
        do(cluster)
    assert cluster.now < 30


def test_an_interrupt_puts_it_back_as_well():
    class Interrupted(Locked):
        def sleep(self, _seconds: float) -> None:
            raise KeyboardInterrupt

    cluster = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        do(cluster)
    assert cluster.files[ENV] == TEXT


def test_what_the_timer_would_give_a_new_process_it_has_at_once():
    cluster = Locked()
    cluster.files |= {etcd_io.SCRIPT: "ours", **{f"/proc/{PID}/task/{thread}/comm": "etcd\n" for thread in (PID, 8)}}
    cluster.priorities = {PID: 0, 8: 0}
    do(cluster)
    assert cluster.priorities == dict.fromkeys((PID, 8), io_priority.HIGHEST)


def test_the_way_back_is_that_of_the_journal():
    cluster = Locked()
    do(cluster)
    result = do(cluster, state="restored", clusters={"cafe": {}})
    assert (cluster.files[ENV], result["changed"]) == (TEXT, True)
    assert journal.PATH not in cluster.files
    assert do(cluster, state="restored", clusters={"cafe": {}})["changed"] is False


def test_the_journal_keeps_what_was_before_the_first_run():
    cluster = Locked()
    do(cluster)
    do(cluster, clusters={"cafe": {"heartbeat-interval": 200, "election-timeout": 4000}})
    [(_target, entry)] = journal.decode(cluster.files[journal.PATH]).entries
    assert entry.before == "ETCD_HEARTBEAT_INTERVAL=100 ETCD_ELECTION_TIMEOUT=1000"
    do(cluster, state="restored", clusters={"cafe": {}})
    assert cluster.files[ENV] == TEXT


def test_another_cluster_s_member_is_left_alone():
    cluster = Locked()
    assert do(cluster, clusters={"beef": VALUES})["changed"] is False


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"heartbeat-interval": 250, "election-timeout": 1000}, "5 heartbeat"),
        ({"heartbeat": 250}, "no value of 'heartbeat'"),
        ({"heartbeat-interval": 250}, "go together"),
        ("x", "no mapping of values"),
        ({"snapshot-count": "many"}, "'many' is no value"),
    ],
)
def test_values_are_looked_at_again(values, why):
    cluster = Locked()
    with pytest.raises(NodewardError, match=why):
        do(cluster, clusters={"cafe": values})
    assert cluster.restarts == 0


def test_what_cannot_be_edited_is_an_error_here():
    cluster = Locked()
    cluster.files[ENV] += 'A="1\n'
    with pytest.raises(NodewardError, match="cannot be read safely"):
        do(cluster)


def test_what_could_not_be_gone_back_to_is_not_restarted():
    cluster = Locked()
    cluster.files[ENV] = TEXT.replace("TIMEOUT=1000", "TIMEOUT=300")
    with pytest.raises(NodewardError, match="no way back: the election timeout"):
        do(cluster)
    cluster.files[ENV] = TEXT + "DAEMON_ARGS=--heartbeat-interval=100\n"
    with pytest.raises(NodewardError, match="both ETCD_HEARTBEAT_INTERVAL and --heartbeat"):
        do(cluster)
    assert cluster.restarts == 0


def test_the_way_back_too_is_refused_where_it_would_not_start():
    cluster = Locked()
    do(cluster)
    cluster.files[ENV] += "DAEMON_ARGS=--heartbeat-interval=100\n"
    with pytest.raises(NodewardError, match=r"no way back: etcd\.service gives etcd both"):
        do(cluster, state="restored", clusters={"cafe": {}})
    assert cluster.restarts == 1


# --- the lock ---------------------------------------------------------------------------------------


def members(cluster: FakeCluster) -> list[Etcd]:
    own = Etcd(cluster, Access(OWN))
    return [own.other("https://10.0.0.2:2379"), own]


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


GARBAGE = [
    '{"header": {}, "members": "x"}',
    '{"header": [1], "members": []}',
    '{"header": {}, "members": [{"ID": "1", "clientURLs": "http://x"}]}',
    '{"header": {"member_id": "1"}, "raftTerm": "many"}',
    '{"errors": {"a": 1}, "members": 1}',
    '{"dbSize": {}, "members": {"a": 1}, "raftTerm": [1]}',
    "[]",
    "null",
]


@pytest.mark.parametrize("body", GARBAGE)
def test_what_etcd_does_not_say_is_an_error_of_ours(body):
    host = FakeHost()
    host.answers = {
        f"POST {OWN}/v3/{path}": Answer(200, body) for path in ("cluster/member/list", "maintenance/status")
    }
    etcd = Etcd(host, Access(OWN))
    told = 0
    for ask in (etcd.members, etcd.status):
        try:
            ask()
        except NodewardError:
            told += 1
    assert told


def test_ids_and_addresses_that_are_none():
    host = FakeHost()
    body = {
        "header": {"member_id": "²", "cluster_id": "9" * 5000},
        "members": [{"ID": None, "clientURLs": [None, "x"]}],
    }
    host.answers = {f"POST {OWN}/v3/cluster/member/list": Answer(200, json.dumps(body))}
    listing = Etcd(host, Access(OWN)).members()
    assert (listing.cluster_id, listing.asked, listing.members[0].client_urls) == ("", "", ("x",))
    assert parts("https://[::1") == parts("http://a:99999999") == ("", None)


@pytest.mark.parametrize("body", ["[1]", '{"result": 7}', '{"result": {"blob": "?"}}', "x"])
def test_a_snapshot_of_garbage_is_an_error(body):
    class Garbles(FakeCluster):
        gateway = True

        def send_http(self, request: Request) -> Answer:
            return Answer(200, body + "\n") if request.url.endswith("snapshot") else super().send_http(request)

    with pytest.raises(NodewardError, match=r"broke off|not whole"):
        take(Garbles())


# --- snapshots --------------------------------------------------------------------------------------


def take(cluster: FakeCluster, **more: str) -> str:
    return snapshot.take(cluster, Etcd(cluster, Access(OWN)), "node1", len(DATABASE), "/var/lib/etcd", **more)


def test_a_snapshot_goes_to_another_disk_where_there_is_one():
    cluster = FakeCluster()
    cluster.disks = {"/": 1, "/opt": 2}
    assert take(cluster).startswith("/opt/")
    cluster.disks = {"/": 1}
    assert take(cluster).startswith(f"{snapshot.FOLDER}/")
    assert take(cluster, folder="/mnt/x").startswith("/mnt/x/")


def test_systemd_is_told_to_remove_old_ones_before_there_is_one():
    cluster = FakeCluster()
    cluster.snapshot = cluster.snapshot[:-1] + b"?"
    with pytest.raises(NodewardError, match="not whole"):
        take(cluster)
    assert f"e {snapshot.FOLDER} 0700 root root 7d\n" in cluster.files[snapshot.TIDIED]
    assert "/mnt" not in cluster.files[snapshot.TIDIED], "a folder that is not ours alone is not tidied"


def test_old_snapshots_go():
    cluster = FakeCluster()
    names = ["etcd-node1-20200101T000000Z.db", "etcd-node1-20231114T000000Z.db", "etcd-node1-20231113T000000Z.db"]
    cluster.files |= {f"{snapshot.FOLDER}/{name}": "" for name in (*names, "mine.db")}
    newest = take(cluster)
    left = [path for path in cluster.files if path.startswith(snapshot.FOLDER)]
    assert sorted(left) == sorted([f"{snapshot.FOLDER}/{name}" for name in (names[1], "mine.db")] + [newest])


def test_what_a_killed_run_has_left_of_a_snapshot_goes_with_every_run_and_so_do_old_ones():
    cluster = Locked()
    do(cluster)
    [whole] = [path for path in cluster.files if path.endswith(".db")]
    for folder in snapshot.ELSEWHERE:
        for name in (".etcd-node1-20231114T000000Z.db.nodeward", "etcd-node1-20200101T000000Z.db"):
            cluster.files[f"{folder}/{name}"] = "Secrets"
    do(cluster, check_mode=True)
    assert "Secrets" in cluster.files.values()
    assert do(cluster)["changed"] is False
    assert "Secrets" not in cluster.files.values()
    assert whole in cluster.files


def test_a_snapshot_that_breaks_off_is_an_error():
    class Breaks(FakeCluster):
        def send_http(self, _request: Request) -> Answer:
            return Answer(200, '{"error": {"message": "gone"}}\n')

    with pytest.raises(NodewardError, match=r"broke off: .*gone"):
        take(Breaks())
    full = FakeCluster()
    full.broken = frozenset({1})
    with pytest.raises(NodewardError, match="cannot be written"):
        take(full)


# --- the API server ---------------------------------------------------------------------------------


def an_api_server(*flags: str) -> FakeHost:
    links = {"/proc/1/ns/net": OWN_NET, f"/proc/{PID}/ns/net": OWN_NET}
    command = "\0".join(["kube-apiserver", "--etcd-servers=https://127.0.0.1:2379", *flags])
    return FakeHost({f"/proc/{PID}/comm": "kube-apiserver\n", f"/proc/{PID}/cmdline": command}, links=links)


API: list[tuple[str, tuple[str, ...], str, Answer | None, str]] = [
    ("ready", (), "https://127.0.0.1:6443", Answer(200), ""),
    ("not ready", (), "https://127.0.0.1:6443", Answer(500), "not ready (500)"),
    ("away", (), "https://127.0.0.1:6443", None, "does not answer"),
    ("closed to us", (), "https://127.0.0.1:6443", Answer(401), ""),
    ("elsewhere", ("--secure-port=443", "--bind-address=10.0.0.1"), "https://10.0.0.1:443", Answer(200), ""),
    ("everywhere", ("--bind-address=0.0.0.0",), "https://127.0.0.1:6443", Answer(200), ""),
]


@pytest.mark.parametrize(("flags", "url", "answer", "told"), [c[1:] for c in API], ids=[c[0] for c in API])
def test_the_api_server_of_the_node(flags, url, answer, told):
    host = an_api_server(*flags)
    if answer:
        host.answers[f"GET {url}/readyz"] = answer
    found = apiserver.trouble(host, 2379)
    assert told in found
    assert bool(told) is bool(found)
    assert apiserver.trouble(host, 2390) == "", "it uses another etcd"


def test_quorum():
    assert [voters for voters in range(1, 8) if quorum.is_spare(voters)] == [3, 4, 5, 6, 7]
