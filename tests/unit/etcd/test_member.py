"""One member gets its values: gates, the lock, the snapshot, the leader, the restart, and the way back."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import apiserver, lock, quorum, run, snapshot
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.access import Access
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd

from tests.unit.etcd.a_node import OWN_NET, PID
from tests.unit.etcd.fake_cluster import DATABASE, ENV, OWN, TEXT, FakeCluster
from tests.unit.fake_host import FakeHost

VALUES = {"heartbeat-interval": 250, "election-timeout": 5000}
AFTER = TEXT.replace("INTERVAL=100", "INTERVAL=250").replace("TIMEOUT=1000", "TIMEOUT=5000")


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
    return run.run(cluster, run.wanted(params(**more)), check_mode)  # type: ignore[arg-type]


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
    assert set(cluster.calls_of_api) == {"node1 v3/cluster/member/list"}
    assert foretold["changes"] == do(cluster)["changes"]


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
    before = {path: text for path, text in cluster.files.items() if not path.endswith(".db")}
    with pytest.raises(NodewardError, match=why):
        do(cluster, allow=["etcd_restart", "etcd_outage"])
    assert cluster.restarts == 0
    assert {path: text for path, text in cluster.files.items() if not path.endswith(".db")} == before


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
        kept.keep()
        cluster.now += 61
        with pytest.raises(NodewardError, match="the lock was lost"):
            kept.keep()


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


# --- snapshots --------------------------------------------------------------------------------------


def take(cluster: FakeCluster, **more: str) -> str:
    return snapshot.take(cluster, Access(OWN), ("node1", OWN), len(DATABASE), "/var/lib/etcd", **more)


def test_a_snapshot_goes_to_another_disk_where_there_is_one():
    cluster = FakeCluster()
    cluster.disks = {"/": 1, "/opt": 2}
    assert take(cluster).startswith("/opt/")
    cluster.disks = {"/": 1}
    assert take(cluster).startswith(f"{snapshot.FOLDER}/")
    assert take(cluster, folder="/mnt/x").startswith("/mnt/x/")


def test_old_snapshots_go():
    cluster = FakeCluster()
    names = ["etcd-node1-20200101T000000Z.db", "etcd-node1-20231114T000000Z.db", "etcd-node1-20231113T000000Z.db"]
    cluster.files |= {f"{snapshot.FOLDER}/{name}": "" for name in (*names, "mine.db")}
    newest = take(cluster)
    left = [path for path in cluster.files if path.startswith(snapshot.FOLDER)]
    assert sorted(left) == sorted([f"{snapshot.FOLDER}/{name}" for name in (names[1], "mine.db")] + [newest])


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
