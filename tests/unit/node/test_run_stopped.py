"""What stops a run of all node traps, or stands in its way, and how a person is told."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal, sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.lock import LOCK
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog, run

from tests.unit.node.whole_node import PID_MAX, RootHost, host, params, tree

__all__ = ["host"]  # a fixture


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_refusal_is_one_error_and_nothing_is_written(tmp_path, host, check_mode):
    before = tree(tmp_path)
    with pytest.raises(NodewardError) as refused:
        run.harden(params(pid_max=10**7), host, check_mode=check_mode)
    assert refused.value.where == "pid_limits"
    assert "10000000 is outside" in refused.value.what
    assert "kernel.pid_max" in refused.value.what
    assert "Set pid_limits_pid_max to a number from 384 to 4194304" in str(refused.value)
    (tmp_path / LOCK[1:]).unlink(missing_ok=True)
    after = tree(tmp_path)
    assert {path: entry for path, entry in after.items() if not path.endswith("/run")} == {
        path: entry for path, entry in before.items() if not path.endswith("/run")
    }


def test_all_refusals_are_named_together(host):
    with pytest.raises(NodewardError) as refused:
        run.harden(params(max_pods=0, threads_max="x"), host, check_mode=True)
    assert "pid_limits_max_pods" in str(refused.value)
    assert "pid_limits_threads_max" in str(refused.value)


def test_informing_tells_a_refusal_as_a_finding(host):
    result = run.inform(params(pid_max=1), host)
    assert result["changes"] == []
    assert (result["findings"][0]["id"], result["findings"][0]["where"]) == ("pid_limits.refused", "kernel.pid_max")


RUNS: dict[str, Callable[[RootHost], object]] = {
    "harden": lambda host: run.harden(params(), host, check_mode=False),
    "harden in check mode": lambda host: run.harden(params(), host, check_mode=True),
    "inform": lambda host: run.inform(params(), host),
}


OBSTACLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a journal of a later release": (
        lambda root: (root / journal.PATH[1:]).write_text('{"format": 2, "entries": {}}'),
        journal.PATH,
    ),
    "a folder where the journal belongs": (lambda root: (root / journal.PATH[1:]).mkdir(), journal.PATH),
    "a folder where our drop-in belongs": (
        lambda root: (root / sysctl_d.drop_in("pid_limits")[1:]).mkdir(),
        sysctl_d.drop_in("pid_limits"),
    ),
}


@pytest.mark.parametrize(("put", "where"), OBSTACLES.values(), ids=OBSTACLES)
def test_informing_tells_what_would_stop_hardening(tmp_path, host, put, where):
    (tmp_path / "var/lib/nodeward").mkdir()
    put(tmp_path)
    told = run.inform(params(), host)
    [refused] = [finding for finding in told["findings"] if finding["id"] == "pid_limits.refused"]
    with pytest.raises(NodewardError) as stopped:
        run.harden(params(), host, check_mode=False)
    assert (refused["where"], refused["observed"], refused["remedy"]) == (
        stopped.value.where,
        stopped.value.what,
        stopped.value.remedy,
    )
    assert where in refused["where"]


def test_an_obstacle_is_told_for_the_trap_whose_change_meets_it(tmp_path, host):
    """The first change, of another trap, meets none."""
    (tmp_path / "usr/local/lib").mkdir(parents=True)
    (tmp_path / "usr/local/lib/nodeward").write_text("a file where a trap wants its folder\n")
    defaults = {name: option.get("default") for name, option in bird_watchdog.OPTIONS.items()}
    told = run.inform({**params(), "bird_watchdog": defaults}, host)
    assert told["changes"][0]["trap"] == "pid_limits"
    [refused] = [finding for finding in told["findings"] if finding["id"].endswith(".refused")]
    assert (refused["id"], refused["trap"]) == ("bird_watchdog.refused", "bird_watchdog")
    assert refused["where"] == "/usr/local/lib/nodeward/bird_watchdog.py"


@pytest.mark.parametrize("start", RUNS.values(), ids=RUNS)
def test_a_journal_that_cannot_be_read_is_named(tmp_path, host, start):
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).symlink_to("journal.json")
    with pytest.raises(NodewardError, match=r"journal.json: cannot be read: Too many levels of symbolic links.*Mend"):
        start(host)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_journal_of_a_later_release_stops_the_run(tmp_path, host, check_mode):
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text('{"format": 2, "entries": {}}')
    with pytest.raises(NodewardError, match="format is 2"):
        run.harden(params(), host, check_mode=check_mode)
    assert (tmp_path / PID_MAX[1:]).read_text() == "49152\n"


def test_a_garbled_journal_is_kept_aside_and_told(tmp_path, host):
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text("{")
    [told] = [finding for finding in run.inform(params(), host)["findings"] if finding["id"] == "journal.unreadable"]
    assert (told["severity"], told["where"]) == ("high", journal.PATH)
    result = run.harden(params(), host, check_mode=False)
    assert told in result["findings"]
    assert journal.aside("{") in told["why"]
    assert (tmp_path / journal.aside("{")[1:]).read_text() == "{"
    assert "sysctl kernel.pid_max" in dict(journal.decode((tmp_path / journal.PATH[1:]).read_text()).entries)
    # the next run finds a good one, and all name what was kept until somebody has seen to it
    for again in (run.inform(params(), host), run.harden(params(), host, check_mode=False)):
        named = [f["where"] for f in again["findings"] if f["id"] == "journal.kept_aside"]
        assert named == [journal.aside("{")]
    (tmp_path / journal.aside("{")[1:]).unlink()
    told = [f["id"] for f in run.harden(params(), host, check_mode=False)["findings"]]
    assert [name for name in told if name.startswith("journal.")] == []


class Nobody(RootHost):
    """Logged in without --become."""

    def is_root(self) -> bool:
        return False


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("start", RUNS.values(), ids=RUNS)
def test_without_root_nothing_is_tried(tmp_path, start):
    with pytest.raises(NodewardError, match=r"needs root.*--become"):
        start(Nobody(str(tmp_path)))


@pytest.mark.parametrize("start", RUNS.values(), ids=RUNS)
def test_what_cannot_be_read_is_named(tmp_path, host, start):
    loop = tmp_path / "etc/sysctl.d/10-loop.conf"
    loop.symlink_to("10-loop.conf")
    with pytest.raises(NodewardError, match="cannot be read: Too many levels of symbolic links") as refused:
        start(host)
    assert refused.value.where.endswith("10-loop.conf")


class Nameless(RootHost):
    """Cannot read, and its kernel does not say which file."""

    error: OSError

    def read_text(self, _path: str) -> str | None:
        raise self.error


NAMELESS = [(OSError(errno.EMFILE, "Too many open files"), "Too many open files"), (TimeoutError("late"), "late")]


@pytest.mark.parametrize(("error", "told"), NAMELESS)
def test_an_error_without_a_file_is_the_node_s(tmp_path, monkeypatch, error, told):
    monkeypatch.setattr(Nameless, "error", error, raising=False)
    with pytest.raises(NodewardError) as refused:
        run.inform(params(), Nameless(str(tmp_path)))
    assert (refused.value.where, refused.value.what) == ("the node", f"cannot be read: {told}")


def test_a_lock_that_cannot_be_had_is_told(tmp_path, host):
    (tmp_path / "run").rmdir()
    with pytest.raises(NodewardError, match="cannot be locked: No such file or directory") as refused:
        run.harden(params(), host, check_mode=False)
    assert refused.value.where == LOCK


class OldPython(RootHost):
    def python(self) -> tuple[int, int]:
        return 3, 8


@pytest.mark.parametrize("act", [run.inform, partial(run.harden, check_mode=False)])
def test_an_old_python_is_told_so(tmp_path, act):
    with pytest.raises(NodewardError, match=r"Python 3\.8 is too old, 3\.9 or newer is needed"):
        act(params(), OldPython(str(tmp_path)))
