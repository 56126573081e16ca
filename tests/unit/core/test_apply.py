"""All changes or none, the journal first."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import (
    apply,
    check,
    check_restore,
    restore,
)
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Change,
    Reason,
    RemoveFile,
    SetSysctl,
    WriteFile,
    change_at,
)

from tests.unit.fake_host import FakeHost, clamps, refuses

PID_MAX_FILE = "/proc/sys/kernel/pid_max"
REASON = Reason("pid_limits", "because")
BEFORE = {PID_MAX_FILE: "32768\n", "/etc/old": "old\n", "/etc/gone": "gone\n"}
SET = SetSysctl("kernel.pid_max", "32768", "4194304", REASON)
CHANGES = (
    SET,
    WriteFile("/etc/new", None, "new\n", REASON),
    WriteFile("/etc/old", "old\n", "newer\n", REASON),
    RemoveFile("/etc/gone", "gone\n", REASON),
)
CALLS = [
    ("write", journal.PATH),
    ("set", PID_MAX_FILE),
    ("write", "/etc/new"),
    ("write", "/etc/old"),
    ("remove", "/etc/gone"),
]
WHERE = [f"file {journal.PATH}", *(change.target for change in CHANGES)]
OLD_JOURNAL = journal.Journal().record([WriteFile("/etc/first", None, "x", REASON)]).encode()


def test_the_journal_is_written_before_the_first_change():
    host = FakeHost(BEFORE)
    apply(CHANGES, host)
    assert host.calls == CALLS
    assert {path: text for path, text in host.files.items() if path != journal.PATH} == {
        PID_MAX_FILE: "4194304\n",
        "/etc/new": "new\n",
        "/etc/old": "newer\n",
    }
    assert journal.decode(host.files[journal.PATH]) == journal.Journal().record(CHANGES)
    assert host.modes[journal.PATH] == 0o600


def test_earlier_entries_of_the_journal_are_kept():
    host = FakeHost({**BEFORE, journal.PATH: OLD_JOURNAL})
    apply(CHANGES, host)
    assert journal.decode(host.files[journal.PATH]) == journal.decode(OLD_JOURNAL).record(CHANGES)


def test_nothing_to_do_touches_nothing_not_even_a_garbled_journal():
    host = FakeHost({journal.PATH: "garbled"})
    check([], host)
    apply([], host)
    assert host.calls == []


@pytest.mark.parametrize("old_journal", [{}, {journal.PATH: OLD_JOURNAL}], ids=["no journal yet", "a journal"])
def test_what_is_taken_out_of_our_own_folder_has_no_way_back(old_journal):
    path = f"{journal.FOLDER}/left-by-a-killed-run"
    host = FakeHost({path: "x", **old_journal})
    apply([RemoveFile(path, "x", REASON)], host)
    assert host.files == old_journal


@pytest.mark.parametrize("old_journal", [None, OLD_JOURNAL], ids=["no journal yet", "a journal"])
@pytest.mark.parametrize("step", range(1, len(CALLS) + 1), ids=[f"{verb} {path}" for verb, path in CALLS])
def test_a_failure_at_any_step_puts_everything_back(step, old_journal):
    before = BEFORE if old_journal is None else {**BEFORE, journal.PATH: old_journal}
    host = FakeHost(before, broken=frozenset({step}))
    with pytest.raises(NodewardError) as failed:
        apply(CHANGES, host)
    assert host.files == before
    assert "Input/output error" in failed.value.what
    assert "was put back" in failed.value.what
    assert failed.value.where == WHERE[step - 1]


REFUSALS = [("refused", refuses, "Invalid argument"), ("clamped", clamps("32769"), "did not take")]


@pytest.mark.parametrize(("kernel", "what"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_a_kernel_that_will_not_take_a_value(kernel, what):
    taken = {"32768": "32768"}
    host = FakeHost(BEFORE, kernel={PID_MAX_FILE: lambda value: taken.get(value) or kernel(value)})
    with pytest.raises(NodewardError, match=what) as failed:
        apply(CHANGES, host)
    assert host.files == BEFORE
    assert "was put back" in failed.value.what


def test_a_value_that_was_never_changed_need_not_be_put_back():
    """The same refusal would meet the old value too; the node is as it was all the same."""
    host = FakeHost(BEFORE, kernel={PID_MAX_FILE: refuses})
    with pytest.raises(NodewardError, match="was put back"):
        apply(CHANGES, host)
    assert host.files == BEFORE


def test_a_failure_is_laid_at_the_door_of_what_failed():
    """Reading back comes after all changes; the one that did not take is named, not the last one."""
    host = FakeHost(BEFORE, kernel={PID_MAX_FILE: lambda value: "32769" if value == "4194304" else value})
    with pytest.raises(NodewardError) as failed:
        apply(CHANGES, host)
    assert failed.value.where == SET.target


def test_what_cannot_be_put_back_is_told_and_the_journal_stays():
    # 4 fails and has changed nothing; of what was done, backwards, /etc/new (5) breaks again, the parameter does not
    host = FakeHost(BEFORE, broken=frozenset({4, 5}))
    with pytest.raises(NodewardError) as failed:
        apply(CHANGES, host)
    assert "could not be put back: file /etc/new" in failed.value.what
    assert journal.PATH in failed.value.remedy
    assert host.files == {**BEFORE, "/etc/new": "new\n", journal.PATH: journal.Journal().record(CHANGES).encode()}


def test_a_clamp_that_cannot_be_undone_is_told():
    host = FakeHost(BEFORE, kernel={PID_MAX_FILE: clamps("400000")})
    with pytest.raises(NodewardError, match=r"could not be put back: sysctl kernel\.pid_max"):
        apply([SET], host)


@pytest.mark.parametrize("old_journal", [None, OLD_JOURNAL], ids=["no journal yet", "a journal"])
def test_a_journal_that_cannot_be_put_back_is_told_too(old_journal):
    before = BEFORE if old_journal is None else {**BEFORE, journal.PATH: old_journal}
    # 2 the parameter fails, it holds its old value; 3 is the journal
    host = FakeHost(before, broken=frozenset({2, 3}))
    with pytest.raises(NodewardError, match=rf"could not be put back: file {journal.PATH}"):
        apply([SET], host)


def test_a_disk_that_fills_up_while_the_journal_is_written():
    """What check saw free may be gone, or belong to a quota that it cannot see."""

    class Full(FakeHost):
        def why_not_writable(self, _path: str, _size: int) -> str:
            return ""

    host = Full({**BEFORE, journal.PATH: OLD_JOURNAL}, disk_full=True)
    with pytest.raises(NodewardError, match=r"No space left on device.* was put back") as failed:
        apply(CHANGES, host)
    assert failed.value.where == f"file {journal.PATH}"
    assert host.files == {**BEFORE, journal.PATH: OLD_JOURNAL}


LATER = '{"format": 2, "entries": {}}'
CHECKS = [
    ("journal of a later release", FakeHost({**BEFORE, journal.PATH: LATER}), "format is 2"),
    ("journal's folder read-only", FakeHost(BEFORE, read_only=("/var",)), "cannot be written"),
    ("folder of the last change read-only", FakeHost(BEFORE, read_only=("/etc/gone",)), "cannot be written"),
    ("disk full", FakeHost(BEFORE, disk_full=True), "cannot be written"),
    ("changed in between", FakeHost({**BEFORE, "/etc/gone": "theirs"}), "something else changed it"),
]


@pytest.mark.parametrize("run", [check, apply])
@pytest.mark.parametrize(("host", "what"), [case[1:] for case in CHECKS], ids=[case[0] for case in CHECKS])
def test_nothing_is_written_when_the_check_fails(host, what, run):
    with pytest.raises(NodewardError, match=what):
        run(CHANGES, host)
    assert host.calls == []


def test_a_check_that_passes_only_looks():
    host = FakeHost(BEFORE)
    check(CHANGES, host)
    assert host.calls == []


# --- folders and journals that were damaged -----------------------------------------------------------

DEEP = WriteFile("/etc/systemd/system/kubelet.service.d/ours.conf", None, "x\n", REASON)
MADE = ["/etc/systemd", "/etc/systemd/system", "/etc/systemd/system/kubelet.service.d"]


def test_folders_that_a_file_needs_are_journalled():
    host = FakeHost(BEFORE)
    apply([DEEP, SET], host)
    assert [path for verb, path in host.calls if verb == "make"] == MADE
    kept = journal.decode(host.files[journal.PATH])
    assert [target for target, _entry in kept.entries] == [*(f"folder {p}" for p in MADE), DEEP.target, SET.target]


def test_folders_go_again_when_a_later_change_fails():
    host = FakeHost(BEFORE, kernel={PID_MAX_FILE: refuses})
    with pytest.raises(NodewardError, match="was put back"):
        apply([DEEP, SET], host)
    assert host.files == BEFORE
    assert host.folders == set()


GARBLED = "{ cut o"


def test_a_garbled_journal_is_kept_aside_before_a_new_one_begins():
    host = FakeHost({**BEFORE, journal.PATH: GARBLED})
    apply([SET], host)
    assert host.calls[:2] == [("write", journal.aside(GARBLED)), ("write", journal.PATH)]
    assert host.files[journal.aside(GARBLED)] == GARBLED
    assert journal.decode(host.files[journal.PATH]) == journal.Journal().record([SET])


def test_a_garbled_journal_is_where_it_was_when_the_run_fails():
    host = FakeHost({**BEFORE, journal.PATH: GARBLED}, kernel={PID_MAX_FILE: refuses})
    with pytest.raises(NodewardError, match="was put back"):
        apply([SET], host)
    assert host.files == {**BEFORE, journal.PATH: GARBLED}


def test_both_journals_stay_where_something_could_not_be_put_back():
    host = FakeHost({**BEFORE, journal.PATH: GARBLED}, kernel={PID_MAX_FILE: clamps("400000")})
    with pytest.raises(NodewardError, match="could not be put back"):
        apply([SET], host)
    assert host.files[journal.aside(GARBLED)] == GARBLED
    assert journal.decode(host.files[journal.PATH]) == journal.Journal().record([SET])


# --- follow-ups, and whether the node is well ---------------------------------------------------------


class Restart:
    """Stands for a unit that reads /etc/old at its start; ``host.calls`` shows when."""

    target, before, after, reason, follows = "restart kubelet.service", "id", None, REASON, True

    def present(self, _host: FakeHost) -> str:
        return "id"

    def check(self, _host: FakeHost) -> None:
        pass

    def act(self, host: FakeHost) -> None:
        host.run(["restart"])

    def verify(self, _host: FakeHost) -> None:
        pass

    def inverse(self) -> Restart:
        return self


FOLLOWED: tuple[Change, ...] = (CHANGES[2], Restart(), SET)  # type: ignore[assignment]


def test_a_follow_up_is_done_again_after_everything_was_put_back():
    host = FakeHost(BEFORE, kernel={PID_MAX_FILE: refuses}, commands={"restart": ""})
    with pytest.raises(NodewardError, match="was put back"):
        apply(FOLLOWED, host)
    assert host.calls[-3:] == [("write", "/etc/old"), ("remove", journal.PATH), ("run", "restart")]


def test_a_follow_up_that_cannot_be_done_again_is_told():
    host = FakeHost(BEFORE)  # no command works
    with pytest.raises(NodewardError, match=r"could not be put back: restart kubelet\.service"):
        apply(FOLLOWED, host)
    assert host.files == BEFORE


def test_a_follow_up_has_no_state_in_the_journal():
    host = FakeHost(BEFORE, commands={"restart": ""})
    apply(FOLLOWED, host)
    entry = dict(journal.decode(host.files[journal.PATH]).entries)["restart kubelet.service"]
    assert (entry.before, entry.after) == (None, None)


def unwell() -> None:
    raise NodewardError(what="the kubelet does not answer", where="kubelet.service", remedy="See its journal")


def test_a_node_that_is_not_well_afterwards_is_put_back():
    host = FakeHost(BEFORE, commands={"restart": ""})
    with pytest.raises(NodewardError, match="the kubelet does not answer; what this run had changed was put back"):
        apply(FOLLOWED, host, unwell)
    assert host.files == BEFORE
    assert host.calls.count(("run", "restart")) == 2


def test_nothing_to_do_does_not_ask_whether_the_node_is_well():
    apply([], FakeHost(BEFORE), unwell)


# --- restore ------------------------------------------------------------------------------------------


def hardened() -> FakeHost:
    host = FakeHost(BEFORE)
    apply([*CHANGES, DEEP], host)
    host.calls.clear()
    return host


def backwards(host: FakeHost) -> list[Change]:
    entries = reversed(journal.decode(host.files[journal.PATH]).entries)
    changes = [change_at(target, entry.after, entry.before, REASON) for target, entry in entries]
    return [change for change in changes if change is not None]


def everything(host: FakeHost) -> list[str]:
    return [target for target, _entry in journal.decode(host.files[journal.PATH]).entries]


def test_restore_forgets_the_journal_last_and_leaves_nothing():
    host = hardened()
    changes = backwards(host)
    check_restore(changes, host)
    restore(changes, [change.target for change in changes], host)
    assert host.files == BEFORE
    assert host.folders == set()
    assert host.calls[-2:] == [("remove", journal.PATH), ("remove folder", journal.FOLDER)]


def test_restore_keeps_the_entries_of_what_it_did_not_touch():
    host = hardened()
    changes = backwards(host)[:2]
    restore(changes, [SET.target, *(change.target for change in changes)], host)
    left = [target for target, _entry in journal.decode(host.files[journal.PATH]).entries]
    assert SET.target not in left
    assert "file /etc/new" in left


@pytest.mark.parametrize("step", range(1, 11))
def test_a_restore_that_fails_at_any_step_leaves_the_node_hardened(step):
    host = hardened()
    before = dict(host.files)
    host.broken = frozenset({step})
    with pytest.raises(NodewardError, match="was put back"):
        restore(backwards(host), everything(host), host)
    assert host.files == before
    assert all(host.is_folder(path) for path in MADE)


def test_a_folder_that_somebody_else_uses_stays():
    host = hardened()
    host.files["/etc/systemd/system/kubelet.service.d/theirs.conf"] = "y\n"
    restore(backwards(host), everything(host), host)
    assert host.is_folder("/etc/systemd/system/kubelet.service.d")
    assert DEEP.path not in host.files
    assert journal.PATH not in host.files
