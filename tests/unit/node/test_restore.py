"""The way back: to the values before the first run, and nothing else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal, sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.journal import Entry, Journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Link, MissingPackageError
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan, Refusal
from ansible_collections.nodeward.calico.plugins.module_utils._node import restore, run, traps

from tests.unit.node.whole_node import FILES, PID_MAX, RootHost, params, tree

DROP_IN = sysctl_d.drop_in("pid_limits")
GIVEN = {**params(), "state": "restored"}


@pytest.fixture
def host(tmp_path: Path) -> RootHost:
    """The node of incident B when the leak is over."""
    for path, text in {
        **FILES,
        "/proc/loadavg": "0.1 0.1 0.1 1/900 999\n",
        "/etc/sysctl.d/x": "",
        "/run/x": "",
    }.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    (tmp_path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    return RootHost(str(tmp_path))


def back(node: RootHost, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    return run.restore({**GIVEN, **given}, node, check_mode)


def content(root: Path) -> dict[str, tuple[int, str]]:
    """Return every folder and file below a folder, without times, and without the lock."""
    paths = [path for path in sorted(root.rglob("*")) if path.name != "nodeward.lock"]
    return {str(path): (path.stat().st_mode, path.read_text() if path.is_file() else "") for path in paths}


def test_everything_is_as_before_the_first_run(tmp_path, host):
    first = content(tmp_path)
    run.harden(params(pid_max=1000000), host, check_mode=False)
    run.harden(params(), host, check_mode=False)
    hardened = content(tmp_path)
    assert hardened != first

    told = back(host, check_mode=True)
    assert content(tmp_path) == hardened
    done = back(host)
    assert done["changes"] == told["changes"]
    assert [c["target"] for c in done["changes"]] == [f"file {DROP_IN}", "sysctl kernel.pid_max"]
    restored = content(tmp_path)
    # the kernel's own files end with a newline whoever writes them; these are plain ones
    assert {path: (mode, text.strip()) for path, (mode, text) in restored.items()} == {
        path: (mode, text.strip()) for path, (mode, text) in first.items()
    }
    before = tree(tmp_path)
    again = back(host)
    assert (again["changed"], again["changes"], again["findings"]) == (False, [], [])
    assert tree(tmp_path) == before


def test_harden_after_restore_works(tmp_path, host):
    run.harden(params(), host, check_mode=False)
    hardened = content(tmp_path)
    back(host)
    run.harden(params(), host, check_mode=False)
    assert content(tmp_path) == hardened


def test_what_someone_else_changed_since_is_left_and_named(tmp_path, host):
    run.harden(params(), host, check_mode=False)
    (tmp_path / PID_MAX[1:]).write_text("2000000\n")
    for _twice in range(2):
        done = back(host)
        assert (tmp_path / PID_MAX[1:]).read_text() == "2000000\n"
        [left] = done["findings"]
        assert (left["id"], left["where"]) == ("pid_limits.changed_since", "sysctl kernel.pid_max")
        assert (left["observed"], left["wanted"]) == ("2000000", "49152")
        assert not (tmp_path / DROP_IN[1:]).exists()
    kept = journal.decode((tmp_path / journal.PATH[1:]).read_text())
    assert [target for target, _entry in kept.entries] == ["sysctl kernel.pid_max"]


def test_what_was_never_done_needs_no_way_back(tmp_path, host):
    """A run that was killed between the journal and the change."""
    run.harden(params(), host, check_mode=False)
    (tmp_path / PID_MAX[1:]).write_text("49152\n")
    assert [c["target"] for c in back(host)["changes"]] == [f"file {DROP_IN}"]
    assert not (tmp_path / journal.PATH[1:]).exists()


@pytest.mark.parametrize("check_mode", [False, True])
def test_no_limit_goes_below_twice_its_live_use(tmp_path, host, check_mode):
    run.harden(params(), host, check_mode=False)
    (tmp_path / "proc/loadavg").write_text("0.1 0.1 0.1 1/30000 999\n")
    before = content(tmp_path)
    with pytest.raises(NodewardError, match=r"going back to 49152 .* 30000 threads that run .*--skip-tags"):
        back(host, check_mode)
    assert content(tmp_path) == before


def test_a_journal_that_cannot_be_read_is_left_alone(tmp_path, host):
    run.harden(params(), host, check_mode=False)
    (tmp_path / journal.PATH[1:]).write_text("{")
    before = content(tmp_path)
    with pytest.raises(NodewardError, match=r"cannot be read .*Put back a good copy"):
        back(host)
    assert content(tmp_path) == before


def test_no_journal_is_nothing_to_restore(host):
    assert back(host)["changed"] is False


def test_a_trap_that_is_left_out_keeps_its_entries(tmp_path, host, monkeypatch):
    monkeypatch.setitem(traps.TRAPS, "other", traps.TRAPS["pid_limits"])
    run.harden({**params(), "other": None}, host, check_mode=False)
    before = content(tmp_path)
    assert back(host, other=params()["pid_limits"], tags=["other"])["changed"] is False
    assert content(tmp_path) == before


def test_what_needs_consent_waits_for_it(tmp_path, host):
    (tmp_path / "etc/ours").write_text("after")
    kept = {
        "file /etc/ours": Entry("pid_limits", None, "after", "kubelet_restart"),
        "sysctl kernel.pid_max": Entry("pid_limits", "40000", "49152"),
    }
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text(Journal(tuple(kept.items())).encode())
    first = back(host)
    assert [c["target"] for c in first["changes"]] == ["sysctl kernel.pid_max"]
    assert [(c["target"], c["disrupts"]) for c in first["pending"]] == [("file /etc/ours", "kubelet_restart")]
    assert list(json.loads((tmp_path / journal.PATH[1:]).read_text())["entries"]) == ["file /etc/ours"]
    second = back(host, allow=["kubelet_restart"])
    assert [c["target"] for c in second["changes"]] == ["file /etc/ours"]
    assert not (tmp_path / "var/lib/nodeward").exists()


def test_a_place_of_a_later_release_is_named_and_kept(tmp_path, host):
    kept = Journal((("gizmo x", Entry("pid_limits", "a", "b")),))
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text(kept.encode())
    [left] = back(host)["findings"]
    assert (left["where"], left["observed"]) == ("gizmo x", "no verb of this release")
    assert journal.decode((tmp_path / journal.PATH[1:]).read_text()) == kept


def test_the_link_of_a_pod_that_has_ended_is_nothing_to_bring_back():
    kept = {"peer cali1": Entry("link_mtu", "1450", "1400"), "link cali1": Entry("link_mtu", "1450", "1400")}
    gone = restore.Facts(Journal(tuple(kept.items())), {"peer cali1": None, "link cali1": None})
    plan = restore.plan(gone, ["link_mtu"])
    assert (plan.changes, plan.findings) == ((), ())
    assert restore.forgotten(gone, plan, ()) == ["peer cali1", "link cali1"]


class NoPyroute2(RootHost):
    """A node that cannot read its links."""

    def link(self, name: str, peer: bool = False) -> Link | None:
        raise MissingPackageError("pyroute2", f"needed for {name} {peer}")


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_node_without_pyroute2_tells_so_and_restores_nothing(tmp_path, check_mode):
    kept = {"link tunl0": Entry("link_mtu", "1480", "1450"), "sysctl kernel.pid_max": Entry("pid_limits", "1", "49152")}
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text(Journal(tuple(kept.items())).encode())
    before = content(tmp_path)
    result = back(NoPyroute2(str(tmp_path)), check_mode, link_mtu={})
    assert (result["changed"], result["missing"]) == (False, ["pyroute2"])
    assert [finding["id"] for finding in result["findings"]] == ["link_mtu.missing"]
    assert content(tmp_path) == before


FOLLOW_UP = Entry("t", None, None, "kubelet_restart")
KEY = Entry("t", "a", "b", "kubelet_restart")
PLAIN = Entry("t", "a", "b")
FORGOTTEN: list[tuple[str, dict[str, Entry], dict[str, str], set[str], list[str]]] = [
    ("with its kind", {"x": KEY, "restart u": FOLLOW_UP}, {"x": "b"}, {"x", "restart u"}, ["x", "restart u"]),
    ("not while its kind waits", {"x": KEY, "restart u": FOLLOW_UP}, {"x": "b"}, set(), []),
    ("not while one is someone else's", {"x": KEY, "y": KEY, "restart u": FOLLOW_UP}, {"x": "c", "y": "b"},
     {"y", "restart u"}, ["y"]),
    ("a place waits for its follow-up", {"x": KEY, "restart u": FOLLOW_UP}, {"x": "a"}, set(), []),
    ("a place of another kind does not", {"x": PLAIN, "restart u": FOLLOW_UP}, {"x": "a"}, set(), ["x", "restart u"]),
    ("what another trap left", {"x": KEY, "z": Entry("other", "a", "b")}, {"x": "a"}, set(), ["x"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "present", "now", "over"), [c[1:] for c in FORGOTTEN], ids=[c[0] for c in FORGOTTEN]
)
def test_what_is_forgotten(entries, present, now, over):
    facts = restore.Facts(Journal(tuple(entries.items())), {**present, "restart u": "id"})
    planned = Plan(changes=tuple(_change(target) for target in _planned(entries, present)))
    assert restore.forgotten(facts, planned, [c for c in planned.changes if c.target in now]) == over


def _planned(entries: dict[str, Entry], present: dict[str, str]) -> list[str]:
    """Return the places that a plan would bring back, and the follow-up where there is one of the kind."""
    back = [target for target, state in present.items() if state == entries[target].after]
    kinds = {entries[target].disrupts for target, state in present.items() if state in "ab"}
    return [*back, *(target for target, entry in entries.items() if target[0] == "r" and entry.disrupts in kinds)]


def _change(target: str) -> Any:
    return SimpleNamespace(target=target)


RESTART = "restart kubelet.service"
INVOCATION = "/run/systemd/units/invocation:kubelet.service"


def with_kubelet(root: Path, present: str, runs: bool = True) -> dict[str, Entry]:
    """Leave a node whose kubelet's own file was written by us, and perhaps put back."""
    (root / "etc/ours").write_text(present)
    (root / "run/systemd/units").mkdir(parents=True, exist_ok=True)
    if runs:
        (root / INVOCATION[1:]).symlink_to("1234")
    entries = {"file /etc/ours": Entry("pid_limits", "a", "b", "kubelet_restart"),
               RESTART: Entry("pid_limits", None, None, "kubelet_restart")}  # fmt: skip
    (root / "var/lib/nodeward").mkdir()
    (root / journal.PATH[1:]).write_text(Journal(tuple(entries.items())).encode())
    return entries


def test_a_restore_that_was_killed_before_the_restart_is_finished(tmp_path, host):
    with_kubelet(tmp_path, present="a")
    waiting = back(host)
    assert [c["target"] for c in waiting["pending"]] == [RESTART]
    assert (tmp_path / journal.PATH[1:]).exists(), "the next run would know of nothing to restart"
    assert [c["target"] for c in back(host, check_mode=True, allow=["kubelet_restart"])["changes"]] == [RESTART]


# Seconds from now: what is as before was written or removed then, the kubelet was started; is it restarted?
STARTED: list[tuple[str, float | None, float | None, float, bool]] = [
    ("started since, as after an upgrade of kubeadm's", -60, None, -30, False),
    ("started before: a restore that was killed", -30, None, -60, True),
    ("started since, one file of two", -60, -10, -30, True),
    ("started since, both files", -60, -50, -30, False),
    ("at the same moment", -30, None, -29, True),
    ("by a clock that was ahead", -60, None, 600, True),
]


@pytest.mark.parametrize(
    ("written", "other", "started", "due"), [case[1:] for case in STARTED], ids=[case[0] for case in STARTED]
)
def test_a_kubelet_that_was_started_since_its_file_is_back_needs_no_restart(
    tmp_path, host, written, other, started, due
):
    entries = with_kubelet(tmp_path, present="a")
    now = time.time()
    os.utime(tmp_path / "etc/ours", (now + written, now + written))
    os.utime(tmp_path / INVOCATION[1:], (now + started, now + started), follow_symlinks=False)
    if other is not None:  # one of our own, which is gone: only its folder tells when
        (tmp_path / "etc/folder").mkdir()
        os.utime(tmp_path / "etc/folder", (now + other, now + other))
        entries["file /etc/folder/own"] = Entry("pid_limits", None, "b", "kubelet_restart")
        (tmp_path / journal.PATH[1:]).write_text(Journal(tuple(entries.items())).encode())
    done = back(host)
    assert [c["target"] for c in done["pending"]] == ([RESTART] if due else [])
    assert (tmp_path / journal.PATH[1:]).exists() == due


def test_what_is_written_is_taken_up_also_where_the_rest_was_read_since(tmp_path, host):
    entries = with_kubelet(tmp_path, present="a")
    entries["file /etc/other"] = Entry("pid_limits", "a", "b", "kubelet_restart")
    (tmp_path / "etc/other").write_text("b")
    (tmp_path / journal.PATH[1:]).write_text(Journal(tuple(entries.items())).encode())
    for name in ("ours", "other"):
        os.utime(tmp_path / f"etc/{name}", (1e9, 1e9))
    assert [c["target"] for c in back(host)["pending"]] == ["file /etc/other", RESTART]


def test_a_kubelet_that_is_down_is_no_obstacle_on_the_way_back(tmp_path, host):
    with_kubelet(tmp_path, present="b", runs=False)
    done = back(host, allow=["kubelet_restart"])
    assert [c["target"] for c in done["changes"]] == ["file /etc/ours"]
    assert (tmp_path / "etc/ours").read_text() == "a"
    assert not (tmp_path / "var/lib/nodeward").exists()


UNREADABLE = [
    ("a tab", "yaml /etc/x#maxPods", "\t[\n"),
    ("an anchor", "yaml /etc/x#maxPods", "a: &b 1\n"),
    ("JSON by now", "yaml /etc/x#maxPods", '{"maxPods": 1}'),
    ("flow style at the place", "yaml /etc/x#systemReserved.pid", "systemReserved: {pid: '1'}\n"),
    ("a key of another release", "interfaces /etc/x#mtu", "iface eth0 inet static\n"),
    ("a link to itself by now", "file /etc/x", None),
]


@pytest.mark.parametrize(("place", "text"), [c[1:] for c in UNREADABLE], ids=[c[0] for c in UNREADABLE])
def test_a_place_that_cannot_be_read_is_named_and_the_others_go_back(tmp_path, host, place, text):
    kept = {place: Entry("pid_limits", None, "1"), "file /etc/ours": Entry("pid_limits", None, "b")}
    if text is None:
        (tmp_path / "etc/x").symlink_to("x")
    else:
        (tmp_path / "etc/x").write_text(text)
    (tmp_path / "etc/ours").write_text("b")
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text(Journal(tuple(kept.items())).encode())
    done = back(host)
    assert [c["target"] for c in done["changes"]] == ["file /etc/ours"]
    [left] = done["findings"]
    assert (left["id"], left["where"]) == ("pid_limits.changed_since", place)
    assert left["observed"].startswith("cannot be read: ")
    remembered = journal.decode((tmp_path / journal.PATH[1:]).read_text())
    assert [target for target, _entry in remembered.entries] == [place]
    assert (back(host)["changed"], text is None or (tmp_path / "etc/x").read_text() == text) == (False, True)


def test_what_is_harmless_only_with_what_waits_waits_too(tmp_path, host, monkeypatch):
    """A tunnel does not go up while the way up of its uplink waits for consent."""

    def guard(_facts: object, changes: Any, *_more: object) -> Any:
        if [change.target for change in changes] == ["file /etc/tunnel"]:
            yield Refusal("pid_limits", "the tunnel would be larger than its uplink", "tunnel", "Allow it")

    monkeypatch.setattr(traps.TRAPS["pid_limits"], "guard", guard)
    for name in ("uplink", "tunnel"):
        (tmp_path / f"etc/{name}").write_text("b")
    kept = {"file /etc/tunnel": Entry("pid_limits", "a", "b"),
            "file /etc/uplink": Entry("pid_limits", "a", "b", "uplink_change")}  # fmt: skip
    (tmp_path / "var/lib/nodeward").mkdir()
    (tmp_path / journal.PATH[1:]).write_text(Journal(tuple(kept.items())).encode())
    waiting = back(host)
    assert waiting["changes"] == []
    assert [(c["target"], c["disrupts"]) for c in waiting["pending"]] == [
        ("file /etc/uplink", "uplink_change"),
        ("file /etc/tunnel", "uplink_change"),
    ]
    done = back(host, allow=["uplink_change"])
    assert [c["target"] for c in done["changes"]] == ["file /etc/uplink", "file /etc/tunnel"]
