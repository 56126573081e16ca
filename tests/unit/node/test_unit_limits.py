"""TasksMax of the units that carry pods: drop-ins, reloads, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason, ReloadUnit, RemoveFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import processes, unit_limits
from ansible_collections.nodeward.calico.plugins.module_utils._node.unit_limits import UNLIMITED, Facts, Setting, Unit

from tests.unit.fake_host import FakeHost
from tests.unit.node import cgroup_trees

TRAP = "pid_limits"
KUBELET = Unit("kubelet.service", 4915, used=40)
OWN = "/etc/systemd/system/kubelet.service.d/99-zz-nodeward-pid_limits.conf"
TEXT = unit_limits.render("infinity")
LATER = Setting("/etc/systemd/system/service.d/zz.conf", "4915")
EARLIER = Setting("/etc/systemd/system/kubelet.service.d/10-theirs.conf", "4915")

CASES: list[tuple[str, Unit, str, list[str]]] = [
    ("systemd's default", KUBELET, "infinity", [f"file {OWN}", "reload kubelet.service"]),
    ("a number", KUBELET, "4916", [f"file {OWN}", "reload kubelet.service"]),
    ("a number that it has", KUBELET, "4915", []),
    ("nothing limits", replace(KUBELET, tasks_max=UNLIMITED), "infinity", []),
    ("more than asked", replace(KUBELET, tasks_max=UNLIMITED, drop_in=TEXT), "5000", []),
    ("killed before the reload", replace(KUBELET, drop_in=TEXT), "infinity", ["reload kubelet.service"]),
    ("an earlier file loses", replace(KUBELET, settings=(EARLIER,)), "infinity",
     [f"file {OWN}", "reload kubelet.service"]),
    ("a later file wins", replace(KUBELET, settings=(LATER,)), "infinity", []),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "wanted", "targets"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_done(unit, wanted, targets):
    plan = unit_limits.plan(Facts((unit,)), wanted, TRAP)
    assert [change.target for change in plan.changes] == targets
    assert not any(change.reason.disrupts for change in plan.changes)


@pytest.mark.parametrize(
    ("wanted", "shown"), [("09999", "9999"), ("18446744073709551615", "infinity"), ("infinity", "infinity")]
)
def test_a_number_is_written_as_systemd_shows_it(wanted, shown):
    write, reload = unit_limits.plan(Facts((KUBELET,)), wanted, TRAP).changes
    assert write.after == unit_limits.render(shown)
    assert isinstance(reload, ReloadUnit)
    assert reload.wanted == (f"TasksMax={shown}",)


def test_a_later_file_is_named():
    (finding,) = unit_limits.plan(Facts((replace(KUBELET, settings=(LATER,)),)), "infinity", TRAP).findings
    assert (finding.id, finding.where, finding.observed) == ("pid_limits.overridden", LATER.path, "TasksMax=4915")


def test_a_link_in_place_of_our_file_is_refused():
    plan = unit_limits.plan(Facts((replace(KUBELET, drop_in_link="/dev/null"),)), "infinity", TRAP)
    assert (plan.changes, [refusal.where for refusal in plan.refusals]) == ((), [OWN])


def test_a_systemd_that_does_not_answer_is_told():
    (finding,) = unit_limits.plan(Facts(unseen="the command ended with 1: fork"), "infinity", TRAP).findings
    assert (finding.id, finding.observed) == ("pid_limits.units_unseen", "the command ended with 1: fork")


GUARDS: list[tuple[str, Facts, int, bool]] = [
    ("enough is left", Facts((KUBELET,), 80), 32768, False),
    ("too little is left", Facts((KUBELET,), 79), 32768, True),
    ("in per cent of what the node then has", Facts((KUBELET,), 800), 3277, False),
    ("and of that too little", Facts((KUBELET,), 800), 3276, True),
    ("the unit's own file gives it", Facts((replace(KUBELET, settings=(Setting("/u.service", "infinity"),)),), 79),
     32768, False),
    ("its own file gives a share", Facts((replace(KUBELET, settings=(Setting("/u.service", "10%"),)),), 9999),
     700, True),
    ("what was said is taken back", Facts((replace(KUBELET, settings=(Setting("/a", "1"), Setting("/b", ""))),), 80),
     32768, False),
    ("what no systemd reads", Facts((replace(KUBELET, settings=(Setting("/a", "few"),)),), 80), 32768, False),
    ("not seen", Facts((replace(KUBELET, used=None),), 1), 32768, False),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "then", "refused"), [c[1:] for c in GUARDS], ids=[c[0] for c in GUARDS])
def test_our_drop_in_stays_where_the_unit_needs_it(facts, then, refused):
    away = RemoveFile(OWN, TEXT, Reason(TRAP, "back"))
    assert bool(list(unit_limits.guard(facts, [away], 32768, then, TRAP))) is refused
    assert list(unit_limits.guard(facts, [], 32768, then, TRAP)) == []


SHOW = "systemctl show --property=Id,MainPID,TasksMax,FragmentPath,DropInPaths containerd.service kubelet.service"
SHOWN = f"""Id=containerd.service
TasksMax=18446744073709551615
DropInPaths=
FragmentPath=/usr/lib/systemd/system/containerd.service

Id=kubelet.service
TasksMax=infinity
DropInPaths=/etc/systemd/system/kubelet.service.d/10-theirs.conf {OWN}
FragmentPath=/usr/lib/systemd/system/kubelet.service
"""
FILES = {
    "/usr/lib/systemd/system/containerd.service": "[Service]\nTasksMax=infinity\n",
    "/usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet\n",
    EARLIER.path: "[Service]\n#TasksMax=1\nTasksMax = 4915\n",
    OWN: TEXT,
}


TREES = [
    ("v1", cgroup_trees.V1_SYSTEMD, "/sys/fs/cgroup/pids"),
    ("v2", cgroup_trees.V2_CGROUPFS, "/sys/fs/cgroup"),
]


@pytest.mark.parametrize(("tree", "mount"), [case[1:] for case in TREES], ids=[case[0] for case in TREES])
def test_observing_units(tree, mount):
    commands = {SHOW: SHOWN, "systemctl show --property=DefaultTasksMax": "DefaultTasksMax=7372\n"}
    host = FakeHost({**tree, **FILES}, commands=commands)
    facts = unit_limits.observe(host, processes.names(host), mount)
    containerd = Setting("/usr/lib/systemd/system/containerd.service", "infinity")
    assert facts == Facts(
        (
            Unit("containerd.service", UNLIMITED, (containerd,), 700),
            Unit("kubelet.service", UNLIMITED, (EARLIER,), 40, TEXT),
        ),
        7372,
    )


def test_a_node_that_cannot_start_systemctl():
    host = FakeHost(cgroup_trees.V2_SYSTEMD)
    facts = unit_limits.observe(host, processes.names(host), "/sys/fs/cgroup")
    assert facts.units == ()
    assert "the command ended with 1" in facts.unseen


PROCESSES: list[tuple[str, str]] = [
    ("of a login", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n"),
    ("in a scope", "0::/system.slice/docker-ab.scope\n"),
    ("ended", ""),
]


@pytest.mark.parametrize("lines", [case[1] for case in PROCESSES], ids=[case[0] for case in PROCESSES])
def test_a_process_of_no_unit_of_the_system_is_left_alone(lines):
    host = FakeHost({"/proc/7/comm": "kubelet\n", "/proc/7/cgroup": lines})
    assert unit_limits.observe(host, processes.names(host), "/sys/fs/cgroup") == Facts()
    assert host.calls == []


def test_the_unit_is_that_of_systemd_s_own_tree():
    lines = "8:pids:/lab/node1\n3:cpu:/x/other.service\n1:name=systemd:/system.slice/kubelet.service/sub\n0::/\n"
    host = FakeHost({"/proc/7/comm": "kubelet\n", "/proc/7/cgroup": lines})
    unit_limits.observe(host, processes.names(host), "/sys/fs/cgroup/pids")
    assert [words.split()[-1] for _verb, words in host.calls] == ["kubelet.service"]
