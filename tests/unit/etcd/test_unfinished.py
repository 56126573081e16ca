"""What a killed run has left behind is finished, or put back, by the next one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from ansible_collections.nodeward.calico.plugins.filter.etcd import etcd_due
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason, SetKey
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    note,
    seen,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.decision import Member
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.way_back import decide_back
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_timing

from tests.unit.etcd.a_node import MANIFEST_PATH, PID
from tests.unit.etcd.changing import AFTER, VALUES, Locked, do
from tests.unit.etcd.fake_cluster import ENV, TEXT

pytestmark = pytest.mark.usefixtures("both_ways")


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


class KilledWhileSettling(Killed):
    """A cluster whose first run is killed once its member is well with its new values, before it has settled."""

    armed = True

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.armed and self.restarts and self.now > 3:
            self.armed, self.frozen = False, True
            raise KilledError


def killed_while_settling() -> KilledWhileSettling:
    cluster = KilledWhileSettling()
    with pytest.raises(KilledError):
        do(cluster)
    cluster.frozen, cluster.restarts = False, 0
    # nothing of a process that was killed puts it back
    cluster.files[ENV], cluster.files[f"/proc/{PID}/environ"] = AFTER, AFTER.replace("\n", "\0")
    assert note.PATH in cluster.files
    return cluster


def test_the_note_of_a_killed_run_goes_with_the_next_one_once_its_member_is_well():
    cluster = killed_while_settling()
    assert do(cluster, True)["changed"] is False
    assert note.PATH in cluster.files, "check mode"
    assert do(cluster)["changed"] is False
    assert (note.PATH in cluster.files, cluster.restarts) == (False, 0)


def test_a_note_that_cannot_be_removed_is_an_error():
    cluster = killed_while_settling()
    cluster.read_only = (journal.FOLDER,)
    with pytest.raises(NodewardError, match=r"etcd-unfinished\.json: cannot be removed: Read-only"):
        do(cluster, snapshot_folder="/mnt")


@pytest.mark.parametrize("is_way_back", [False, True])
def test_the_note_goes_without_etcd_member_too_and_no_way_back_brings_it_again(is_way_back):
    """A fleet in which nothing is due runs the node's trap alone."""
    cluster = killed_while_settling()
    known = cluster.files[journal.PATH]
    facts, policy = etcd_timing.observe(cluster), etcd_timing.Policy(io_priority=False)
    planned = etcd_timing.going_back(facts, (), policy) if is_way_back else etcd_timing.plan(facts, policy)
    assert [change.target for change in planned.changes] == [f"file {note.PATH}"]
    apply(planned.changes, cluster)
    assert (note.PATH in cluster.files, cluster.files[journal.PATH]) == (False, known)
    assert etcd_timing.plan(etcd_timing.observe(cluster), policy).changes == ()


@pytest.mark.parametrize("spoil", ["unseen", "runs on", "files unknown"])
def test_a_note_that_may_still_be_needed_stays(spoil):
    cluster = killed_while_settling()
    if spoil == "unseen":
        cluster.away = {"node1"}
    elif spoil == "runs on":
        cluster.files[f"/proc/{PID}/environ"] = TEXT.replace("\n", "\0")
    else:
        cluster.files[ENV] += 'A="1\n'
    planned = etcd_timing.plan(etcd_timing.observe(cluster), etcd_timing.Policy(io_priority=False))
    assert planned.changes == ()


STATE = "systemctl show --property=ActiveState --value etcd.service"


def test_a_member_that_somebody_has_stopped_is_not_started():
    cluster = killed_while_settling()
    del cluster.files[f"/proc/{PID}/comm"]
    cluster.commands[STATE] = "inactive\n"
    facts = etcd_timing.observe(cluster)
    assert etcd_timing.shown(facts) == {"members": []}
    [told] = etcd_timing.plan(facts, etcd_timing.Policy()).findings
    result = do(cluster, clusters={})
    assert (result["changed"], result["findings"]) == (False, [told.describe()])
    assert (told.id, told.observed) == ("etcd_timing.stopped", "it does not run: etcd.service is inactive")
    assert (cluster.restarts, cluster.files[ENV]) == (0, AFTER)
    cluster.commands[STATE] = "failed\n"  # somebody starts it again, and it does not run
    cluster.bad = "TIMEOUT=5000"
    assert do(cluster, True, clusters={})["changed"] is True


def test_a_static_pod_whose_manifest_was_moved_away_is_not_waited_for():
    cluster = Locked()
    del cluster.files[f"/proc/{PID}/comm"]
    change = SetKey(
        "pod-flags", MANIFEST_PATH, "heartbeat-interval", None, "heartbeat-interval=250", Reason("etcd_timing", "")
    )
    note.leave(cluster, "node1", "", [change])
    result = do(cluster, clusters={})
    [told] = result["findings"]
    assert told["observed"] == f"it does not run: {MANIFEST_PATH} is gone"
    assert (result["changed"], cluster.now) == (False, 0)


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


def test_a_clock_that_was_set_back_since_does_not_make_a_file_newer():
    cluster = FromFile()
    cluster.now, cluster.written = 4000.0, 3600.0
    assert do(cluster, check=True)["changed"] is True
    link = "/run/systemd/units/invocation:etcd.service"
    cluster.links[link], cluster.times[link] = "a1", 1.7e9 + 3601
    assert do(cluster)["changed"] is False


def test_a_restore_of_a_file_that_was_killed_before_its_restart_is_finished_too():
    """What it runs with is read from the file, so nothing but the file's time tells that it is not that."""
    cluster = FromFile()
    cluster.files[cluster.PATH] = cluster.files[cluster.PATH].replace("250", "100").replace("5000", "1000")
    cluster.files[note.PATH] = json.dumps({"name": "node1", "unit": "etcd.service", "changes": []})
    cluster.now, cluster.written = 200.0, 100.0
    [told] = etcd_timing.shown(etcd_timing.observe(cluster))["members"]
    [decision] = decide_back([Member.read("node1", told)], {})
    assert [member.name for member in decision.due] == ["node1"]
    result = do(cluster, state="restored", clusters={"cafe": {}})
    assert [change["target"] for change in result["changes"]] == ["restart etcd.service"]
    assert note.PATH not in cluster.files
    assert do(cluster, state="restored", clusters={"cafe": {}})["changed"] is False


def test_a_restart_that_is_all_there_is_to_do_is_not_done_twice():
    cluster = Locked()
    cluster.files[ENV] = AFTER
    cluster.never_ready = True
    with pytest.raises(NodewardError, match="nothing was written, so there is nothing to put back"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)
