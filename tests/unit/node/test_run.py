"""All node traps in one run, on a whole node below a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal, sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._core.lock import LOCK
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason, WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import metrics_findings, run

from tests.unit.node.cgroup_trees import V2_SYSTEMD

PID_MAX = "/proc/sys/kernel/pid_max"
FILES = {
    **V2_SYSTEMD,
    PID_MAX: "49152\n",
    "/proc/sys/kernel/threads-max": "192731\n",
    "/proc/meminfo": "MemTotal:       24684100 kB\n",
    "/proc/712/cmdline": "/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml\0",
    "/sys/devices/system/cpu/possible": "0-47\n",
    "/var/lib/kubelet/config.yaml": "maxPods: 110\npodPidsLimit: 1024\n",
    "/etc/sysctl.conf": "kernel.pid_max = 49152\n",
    "/usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
}
DEFAULTS = {"pid_max": 4194304, "threads_max": "auto", "max_pods": None, "pids_per_pod": None, "exact": False,
            "system_reserved_pids": 0, "kube_reserved_pids": 0}  # fmt: skip


class RootHost(LocalHost):
    """Below a folder everybody is root."""

    def is_root(self) -> bool:
        return True

    def page_size(self) -> int:
        return 4096

    def machine(self) -> str:
        return "x86_64"

    def send_http(self, _request: Request) -> Answer:
        """Say that all is well."""
        return Answer(200)

    def sleep(self, _seconds: float) -> None:
        """Take no time."""


@pytest.fixture
def host(tmp_path: Path) -> RootHost:
    for path, text in FILES.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    (tmp_path / "etc/sysctl.d").mkdir()
    (tmp_path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    (tmp_path / "run").mkdir()
    return RootHost(str(tmp_path))


def params(**policy: Any) -> dict[str, Any]:
    return {
        "link_mtu": None,
        "bird_watchdog": None,
        "cni_token": None,
        "pid_limits": {**DEFAULTS, **policy},
        "tags": ["all"],
        "skip_tags": [],
        "allow": [],
        "state": "hardened",
    }


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything below a folder, byte for byte and with its times."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        state = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path)] = (state.st_mode, state.st_mtime_ns, content)
    return found


def test_hardening_the_node_of_incident_b(tmp_path, host):
    result = run.harden(params(), host, check_mode=False)
    assert result["changed"] is True
    assert [(c["target"], c["before"], c["after"]) for c in result["changes"][:1]] == [
        ("sysctl kernel.pid_max", "49152", "4194304")
    ]
    assert (tmp_path / PID_MAX[1:]).read_text() == "4194304"
    assert (tmp_path / sysctl_d.drop_in("pid_limits")[1:]).read_text().splitlines()[1:] == ["kernel.pid_max = 4194304"]
    assert result["pending"] == []
    assert [d["before_header"] for d in result["diff"]] == [c["target"] for c in result["changes"]]
    kept = dict(journal.decode((tmp_path / journal.PATH[1:]).read_text()).entries)
    assert {target: entry.before for target, entry in kept.items()} == {
        "sysctl kernel.pid_max": "49152",
        f"file {sysctl_d.drop_in('pid_limits')}": None,
    }


def test_a_second_run_changes_nothing_at_all(tmp_path, host):
    run.harden(params(), host, check_mode=False)
    before = tree(tmp_path)
    result = run.harden(params(), host, check_mode=False)
    assert result["changed"] is False
    assert result["changes"] == []
    assert tree(tmp_path) == before


def test_what_a_trap_tries_and_puts_back_is_no_change_and_no_error(monkeypatch, tmp_path, host):
    told = metrics_findings.none("process_metrics", "none runs", "see there")
    tried = []

    def attempt(changes, _host, policy):
        tried.append((len(changes), policy.pid_max))
        return Plan(findings=(told,))

    monkeypatch.setattr(run, "TRIED", {"pid_limits": attempt})
    foretold = run.harden(params(), host, check_mode=True)
    result = run.harden(params(), host, check_mode=False)
    assert tried == [(len(foretold["changes"]), 4194304)]
    assert (result["changed"], result["changes"], result["diff"]) == (False, [], [])
    assert result["findings"] == [*foretold["findings"], told.describe()]
    assert (tmp_path / PID_MAX[1:]).read_text() == FILES[PID_MAX]


def test_check_mode_writes_nothing_and_foretells_the_real_run(tmp_path, host):
    before = tree(tmp_path)
    foretold = run.harden(params(), host, check_mode=True)
    assert tree(tmp_path) == before
    assert run.harden(params(), host, check_mode=False) == foretold


def test_informing_writes_nothing_and_tells_what_hardening_would_do(tmp_path, host):
    before = tree(tmp_path)
    told = run.inform(params(), host)
    assert tree(tmp_path) == before
    assert told["changed"] is False
    done = run.harden(params(), host, check_mode=False)
    assert told["changes"] == done["changes"]
    told["facts"].pop("rules")  # which audits alone look at
    assert told["facts"] == done["facts"]
    mended = [finding for finding in told["findings"] if finding["mended"]]
    assert {c["target"] for c in done["changes"]} <= {f["where"] for f in mended}
    # besides: the node is near a limit that this run raises, which is then no finding any more
    assert {f["id"] for f in mended if f["where"] not in {c["target"] for c in done["changes"]}} == {
        "pid_limits.in_use"
    }
    rest = [finding for finding in told["findings"] if not finding["mended"]]
    assert sorted(rest, key=str) == sorted(done["findings"], key=str)


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


def test_a_lock_that_cannot_be_had_is_told(tmp_path, host):
    (tmp_path / "run").rmdir()
    with pytest.raises(NodewardError, match="cannot be locked: No such file or directory") as refused:
        run.harden(params(), host, check_mode=False)
    assert refused.value.where == LOCK


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path, host):
    (tmp_path / sysctl_d.drop_in("pid_limits")[1:]).write_bytes(b"\xff\xfe\n")
    result = run.harden(params(), host, check_mode=True)
    assert result["diff"][-1]["before"] == "\ufffd\ufffd\n"
    json.dumps(result).encode()


class Disruptive:
    """A trap whose only change waits for consent."""

    OPTIONS: Mapping[str, Any] = {}

    Policy: Any = type(None)

    @staticmethod
    def observe(_host: object) -> None:
        return None

    @staticmethod
    def plan(_facts: None, _policy: None) -> Plan:
        return Plan(changes=(WriteFile("/etc/kubelet", None, "x", Reason("k", "why", disrupts="kubelet_restart")),))

    @staticmethod
    def shown(_facts: None, _policy: None = None) -> dict[str, Any]:
        return {}


def test_what_disrupts_is_only_planned(tmp_path, host, monkeypatch):
    monkeypatch.setitem(run.TRAPS, "k", Disruptive)
    given: dict[str, Any] = {
        "pid_limits": None,
        "link_mtu": None,
        "bird_watchdog": None,
        "cni_token": None,
        "k": {},
        "tags": ["all"],
        "skip_tags": [],
        "allow": ["uplink_change"],
    }
    result = run.harden(given, host, check_mode=False)
    assert result["changed"] is False
    assert [(c["target"], c["disrupts"]) for c in result["pending"]] == [("file /etc/kubelet", "kubelet_restart")]
    assert not (tmp_path / "etc/kubelet").exists()


def test_what_disrupts_is_done_with_consent(tmp_path, host, monkeypatch):
    monkeypatch.setitem(run.TRAPS, "k", Disruptive)
    given: dict[str, Any] = {
        "pid_limits": None,
        "link_mtu": None,
        "bird_watchdog": None,
        "cni_token": None,
        "k": {},
        "tags": ["all"],
        "skip_tags": [],
        "allow": ["kubelet_restart"],
    }
    result = run.harden(given, host, check_mode=False)
    assert (result["changed"], result["pending"]) == (True, [])
    assert (tmp_path / "etc/kubelet").exists()


SELECTIONS = [
    ("every one", ["a", "b"], ["all"], [], ["a", "b"]),
    ("in their own order", ["b", "a"], ["all"], [], ["a", "b"]),
    ("those given only", ["b"], ["all"], [], ["b"]),
    ("by tag", ["a", "b"], ["b"], [], ["b"]),
    ("a tag among others", ["a", "b"], ["etcd", "a"], [], ["a"]),
    ("a tag of a trap that is not given", ["a"], ["b"], [], []),
    ("a tag of no trap", ["a", "b"], ["etcd"], [], []),
    ("tagged", ["a", "b"], ["tagged"], [], ["a", "b"]),
    ("all beside a tag", ["a", "b"], ["all", "b"], [], ["a", "b"]),
    ("untagged", ["a", "b"], ["untagged"], [], []),
    ("always", ["a", "b"], ["always"], [], []),
    ("left out", ["a", "b"], ["all"], ["a"], ["b"]),
    ("asked for and left out", ["a", "b"], ["a"], ["a"], []),
    ("all left out", ["a", "b"], ["all"], ["all"], []),
    ("tagged left out", ["a", "b"], ["a"], ["tagged"], []),
    ("others left out", ["a", "b"], ["all"], ["etcd"], ["a", "b"]),
    ("none given", [], ["all"], [], []),
]


@pytest.mark.parametrize(
    ("given", "tags", "skip_tags", "wanted"), [case[1:] for case in SELECTIONS], ids=[case[0] for case in SELECTIONS]
)
def test_traps_selected_by_tags(monkeypatch, given, tags, skip_tags, wanted):
    monkeypatch.setattr(run, "TRAPS", dict.fromkeys("ab", Disruptive))
    assert run.selected(given, tags, skip_tags) == wanted


@pytest.mark.parametrize(
    ("tags", "skip_tags"), [(["pid_limit"], []), (["etcd", "always"], []), (["all"], ["pid_limits"])]
)
@pytest.mark.parametrize(
    "act", [run.inform, partial(run.harden, check_mode=True), partial(run.harden, check_mode=False)]
)
def test_tags_that_leave_no_trap_are_no_success(host, tags, skip_tags, act):
    with pytest.raises(NodewardError) as refused:
        act({**params(), "tags": tags, "skip_tags": skip_tags}, host)
    assert "Name one of pid_limits with --tags" in str(refused.value)
    assert ", ".join(tags) in str(refused.value)


@pytest.mark.parametrize(
    ("tags", "skip_tags"), [(["pid_limits", "pid_limit"], []), (["all"], ["pid_limit"]), (["all"], ["pidlimits"])]
)
def test_a_mistyped_tag_is_no_success_even_where_a_trap_is_left(host, tags, skip_tags):
    with pytest.raises(NodewardError, match=r"no trap is called pid_?limit"):
        run.inform({**params(), "tags": tags, "skip_tags": skip_tags}, host)


def test_other_people_s_tags_do_not_matter(host):
    tags = ["pid_limits", "web", "always"]
    assert run.inform({**params(), "tags": tags, "skip_tags": ["slow"]}, host)["facts"]


class OldPython(RootHost):
    def python(self) -> tuple[int, int]:
        return 3, 8


@pytest.mark.parametrize("act", [run.inform, partial(run.harden, check_mode=False)])
def test_an_old_python_is_told_so(tmp_path, act):
    with pytest.raises(NodewardError, match=r"Python 3\.8 is too old, 3\.9 or newer is needed"):
        act(params(), OldPython(str(tmp_path)))


RULES_ASKED = [
    ("all", ["all"], [], True),
    ("rules alone", ["rules"], [], True),
    ("a trap", ["pid_limits"], [], False),
    ("all but rules", ["all"], ["rules"], False),
]


@pytest.mark.parametrize(
    ("tags", "skip_tags", "asked"), [row[1:] for row in RULES_ASKED], ids=[row[0] for row in RULES_ASKED]
)
def test_what_rules_alone_look_at_is_looked_at_in_audits_that_ask_them(host, tags, skip_tags, asked):
    given = {**params(), "tags": tags, "skip_tags": skip_tags}
    assert ("rules" in run.inform(given, host)["facts"]) is asked
    if tags == ["rules"]:
        with pytest.raises(NodewardError, match="no trap is left to run"):
            run.harden({**given, "state": "hardened", "allow": []}, host, True)
    else:
        assert "rules" not in run.harden({**given, "state": "hardened", "allow": []}, host, True)["facts"]
