"""One member gets its values: gates, the snapshot, the leader, the restart, and the way back."""

from __future__ import annotations

import errno
import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import io_priority, journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    members,
    quorum,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_io

from tests.unit.etcd.a_node import OWN_NET, PID
from tests.unit.etcd.changing import AFTER, VALUES, Locked, beside_snapshots, do
from tests.unit.etcd.fake_cluster import DATABASE, ENV, TEXT

pytestmark = pytest.mark.usefixtures("both_ways")


def set_away(cluster: Locked) -> None:
    cluster.away = {"node3"}


def set_learner(cluster: Locked) -> None:
    cluster.learner = "node3"


def set_alarm(cluster: Locked) -> None:
    cluster.errors = ["memberID:1313424307433886151 alarm:NOSPACE "]


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
    assert set(cluster.calls_of_api) == {"node1 v3/cluster/member/list", "node1 v3/maintenance/status"}
    assert [call for call in cluster.calls[len(calls) :] if "show" not in call[1]] == []


API_SERVER = "kube-apiserver\0--etcd-servers=https://127.0.0.1:2379\0"


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
    (set_alarm, "node1 is not well .*503.*; it reports memberID:1313424307433886151 alarm:NOSPACE[)]"),
    (set_terms, "do not agree on a leader"),
    (set_leaderless, "there is no leader"),
    (set_behind, "node1 is 2700 entries behind"),
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


@pytest.mark.parametrize("spoil", [set_away, set_terms, set_leaderless])
def test_what_passes_within_seconds_is_waited_for(spoil):
    """An election, or a member that another run restarts just now."""

    class Passes(Locked):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now > 10:
                self.away, self.terms, self.leader = set(), {}, "node2"

    cluster = Passes()
    spoil(cluster)
    assert do(cluster)["changed"] is True
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_a_cluster_that_is_well_now_and_then_is_not_well():
    class Flaps(Locked):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.away = set() if self.now % 6 < 2 else {"node3"}

    cluster = Flaps()
    set_away(cluster)
    with pytest.raises(NodewardError, match=r"node3 is not well .*Nothing was touched"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (0, TEXT)
    assert members.PASSES <= cluster.now < members.PASSES + 2 * members.STEADY


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


def test_a_second_change_that_was_killed_before_it_was_made_can_be_gone_back_from():
    cluster = Locked()
    do(cluster)
    written = cluster.files[ENV]
    do(cluster, clusters={"cafe": {"heartbeat-interval": 200, "election-timeout": 4000}})
    cluster.files[ENV] = written
    assert do(cluster, state="restored", clusters={"cafe": {}})["changed"] is True
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


def test_a_member_that_cannot_be_asked_is_no_success():
    cluster = Locked()
    cluster.away = {"node1"}
    with pytest.raises(NodewardError, match="cannot be asked, and nothing was done"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (0, TEXT)


@pytest.mark.parametrize("folder", ["rel/snaps", "./x", "~x"])
def test_a_snapshot_goes_to_a_folder_that_can_be_found_again(folder):
    with pytest.raises(NodewardError, match="no absolute path"):
        do(Locked(), snapshot_folder=folder)


@pytest.mark.parametrize("folder", ["/etc/kubernetes/manifests", "/etc/../etc/kubernetes/manifests/", "/etc"])
def test_no_snapshot_becomes_a_pod(folder):
    cluster = Locked()
    with pytest.raises(NodewardError, match="each file is a pod"):
        do(cluster, snapshot_folder=folder)
    assert not [path for path in cluster.files if path.endswith(".db")]


def test_quorum():
    assert [voters for voters in range(1, 8) if quorum.is_spare(voters)] == [3, 4, 5, 6, 7]
