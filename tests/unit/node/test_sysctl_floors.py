"""Kernel parameters as floors: now, after a boot, and whoever else writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.sysctl_d import Assignment
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    MANAGED_BY,
    Reason,
    SetSysctl,
    WriteFile,
    sysctl_path,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node import sysctl_floors
from ansible_collections.nodeward.calico.plugins.module_utils._node.sysctl_floors import Facts, Floor, Parameter
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

PID_MAX = "kernel.pid_max"
TRAP, WHY = "pid_limits", "because"
# A node with 32 processors: the kernel sets 32768 by itself and takes 301 to 4194304.
FLOOR = Floor(PID_MAX, 65536, "pid_limits_pid_max", (301, 4194304), default=32768)
SYSTEMD = "/usr/lib/sysctl.d/50-pid-max.conf"
KUBESPRAY = "/etc/sysctl.d/99-sysctl.conf"
BEHIND = "/etc/sysctl.d/99-zzz-theirs.conf"


def drop_in(value: object) -> str:
    return f"# {MANAGED_BY}.\n{PID_MAX} = {value}\n"


def node(
    value: int,
    *lines: tuple[str, object],
    writable: bool = True,
    conf: tuple[Assignment, ...] = (),
    ours: str | None = None,
) -> Facts:
    """Describe a node: the present value, and lines of files as (path, value)."""
    assignments = [Assignment(PID_MAX, str(number), path, 1) for path, number in lines]
    order = sysctl_d.reading_order(path for path, _number in lines)
    return Facts(
        parameters={PID_MAX: Parameter(value, writable)},
        assignments=tuple(sorted(assignments, key=lambda a: order.index(a.path))),
        sysctl_conf=conf,
        drop_in=ours,
    )


def outcome(plan: Plan) -> tuple[str | None, str | None]:
    """Return what the parameter and the drop-in become, None where they stay."""
    assert plan.refusals == ()
    value = next((c.after for c in plan.changes if isinstance(c, SetSysctl)), None)
    text = next((c.after for c in plan.changes if isinstance(c, WriteFile)), None)
    assert len(plan.changes) == (value is not None) + (text is not None)
    return value, text


PLANS: list[tuple[str, Facts, Floor, tuple[str | None, str | None]]] = [
    ("too low now and at boot", node(32768), FLOOR, ("65536", drop_in(65536))),
    ("right now, too low at boot", node(65536), FLOOR, (None, drop_in(65536))),
    ("higher now, too low at boot: what is higher is kept", node(70000), FLOOR, (None, drop_in(70000))),
    ("too low now, right at boot", node(32768, (SYSTEMD, 65536)), FLOOR, ("65536", None)),
    ("too low now, higher at boot", node(32768, (SYSTEMD, 4194304)), FLOOR, ("4194304", None)),
    ("high everywhere", node(4194304, (SYSTEMD, 4194304)), FLOOR, (None, None)),
    ("a lower file behind a higher one", node(4194304, (SYSTEMD, 4194304), (KUBESPRAY, 49152)), FLOOR,
     (None, drop_in(4194304))),
    ("a higher file behind a lower one", node(65536, (SYSTEMD, 32768), (KUBESPRAY, 131072)), FLOOR, ("131072", None)),
    ("a file the kernel would refuse: it keeps its own", node(65536, (KUBESPRAY, 4194305)), FLOOR,
     (None, drop_in(65536))),
    ("a file the kernel would refuse, its own is enough", node(65536, (KUBESPRAY, 300)), replace(FLOOR, value=32768),
     (None, None)),
    ("the kernel's own is enough", node(32768), replace(FLOOR, value=32768), (None, None)),
    ("ours is there", node(65536, ours=drop_in(65536)), FLOOR, (None, None)),
    ("ours is there although not needed any more", node(65536, (SYSTEMD, 65536), ours=drop_in(65536)), FLOOR,
     (None, None)),
    ("ours is too low", node(65536, ours=drop_in(32768)), FLOOR, (None, drop_in(65536))),
    ("ours is higher than the present value: never lowered", node(65536, ours=drop_in(131072)), FLOOR,
     ("131072", None)),
    ("ours is garbled", node(65536, ours="\0garbled\n"), FLOOR, (None, drop_in(65536))),
    ("ours has a value that is no number", node(65536, (SYSTEMD, 65536), ours=drop_in("many")), FLOOR,
     (None, drop_in(65536))),
    ("ours has a value that the kernel would refuse", node(65536, ours=drop_in(9999999)), FLOOR,
     (None, drop_in(65536))),
    ("somebody takes back in ours what another file sets", node(65536, (SYSTEMD, 65536), ours=f"-{PID_MAX}\n"), FLOOR,
     (None, drop_in(65536))),
    ("exact, and only the kernel's own is right", node(32768), replace(FLOOR, value=32768, exact=True),
     (None, drop_in(32768))),
    ("somebody put a pattern into ours", node(65536, (SYSTEMD, 65536), ours="kernel.pid* = 400\n"), FLOOR,
     (None, drop_in(65536))),
    ("exact lowers", node(131072), replace(FLOOR, exact=True), ("65536", drop_in(65536))),
    ("exact lowers what a file says", node(131072, (SYSTEMD, 131072)), replace(FLOOR, exact=True),
     ("65536", drop_in(65536))),
    ("exact is met", node(65536, (SYSTEMD, 65536)), replace(FLOOR, exact=True), (None, None)),
    ("exact at just twice the use", node(131072), replace(FLOOR, exact=True, least=65536), ("65536", drop_in(65536))),
    ("exact below twice the use, but no lowering", node(32768), replace(FLOOR, exact=True, least=70000),
     ("65536", drop_in(65536))),
    ("read-only", node(32768, writable=False), FLOOR, (None, None)),
    ("read-only and exact below twice the use", node(70000, writable=False), replace(FLOOR, exact=True, least=70000),
     (None, None)),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "floor", "wanted"), [case[1:] for case in PLANS], ids=[case[0] for case in PLANS])
def test_plan(facts, floor, wanted):
    assert outcome(sysctl_floors.plan(facts, [floor], TRAP, WHY)) == wanted


def test_a_line_behind_ours_that_takes_it_back_is_named():
    facts = replace(node(65536, ours=drop_in(65536)), assignments=(Assignment(PID_MAX, None, BEHIND, 3),))
    [finding] = sysctl_floors.plan(facts, [FLOOR], TRAP, WHY).findings
    assert (finding.id, finding.severity, finding.where) == ("pid_limits.overridden", "high", f"{BEHIND} line 3")
    assert finding.observed == f"-{PID_MAX}"


def test_a_line_that_takes_back_another_file_s_makes_ours_necessary():
    facts = replace(
        node(65536), assignments=(Assignment(PID_MAX, "65536", SYSTEMD, 1), Assignment(PID_MAX, None, KUBESPRAY, 1))
    )
    assert outcome(sysctl_floors.plan(facts, [FLOOR], TRAP, WHY)) == (None, drop_in(65536))


def test_the_parameter_is_set_with_the_trap_s_reason_and_the_file_with_its_own():
    value, file = sysctl_floors.plan(node(32768), [replace(FLOOR, severity="high")], TRAP, WHY).changes
    assert value.reason == Reason(TRAP, WHY, "high")
    assert file.reason == Reason("pid_limits", "the next boot would otherwise set another value", "medium")


REFUSED: list[tuple[str, Facts, Floor, str, str]] = [
    ("one below the bounds", node(32768), replace(FLOOR, value=300), "(301 to 4194304)", "pid_limits_pid_max"),
    ("one above the bounds", node(32768), replace(FLOOR, value=4194305), "(301 to 4194304)", "pid_limits_pid_max"),
    ("out of bounds where nothing is written", node(32768, writable=False), replace(FLOOR, value=0), "0 is outside",
     "pid_limits_pid_max"),
    ("exact just below twice the use", node(131072), replace(FLOOR, exact=True, least=65537), "less than twice",
     "to 65537 or more"),
    ("a garbled file", replace(node(32768), garbled=(sysctl_d.Garbled(KUBESPRAY, 7, "oops"),)), FLOOR,
     "line 7 cannot be read ('oops')", "Mend or remove what is no plain 'name = number'"),
    ("our drop-in masked", replace(node(32768), drop_in_link="/dev/null"), FLOOR, "is a link to /dev/null",
     "Remove the link"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "floor", "what", "remedy"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refusals(facts, floor, what, remedy):
    plan = sysctl_floors.plan(facts, [floor], TRAP, WHY)
    (refusal,) = plan.refusals
    assert what in refusal.what
    assert remedy in refusal.remedy
    assert plan.changes == ()


@pytest.mark.parametrize("value", [301, 4194304])
def test_the_bounds_themselves_are_accepted(value):
    assert sysctl_floors.plan(node(32768), [replace(FLOOR, value=value)], TRAP, WHY).refusals == ()


@pytest.mark.parametrize(
    "broken", [{"garbled": (sysctl_d.Garbled(KUBESPRAY, 1, "oops"),)}, {"drop_in_link": "/dev/null"}], ids=list
)
def test_a_container_is_never_refused_for_its_files(broken):
    """Nothing would be written there, so nothing stands in the way: a finding, not a failure of the play."""
    plan = sysctl_floors.plan(replace(node(32768, writable=False), **broken), [FLOOR], TRAP, WHY)
    assert plan.refusals == ()
    assert [finding.id for finding in plan.findings] == ["pid_limits.read_only"]


def test_a_file_of_garbage_is_one_refusal():
    lines = tuple(sysctl_d.Garbled(path, line, "oops") for path in (SYSTEMD, KUBESPRAY) for line in (3, 4, 5))
    first, second = sysctl_floors.plan(replace(node(32768), garbled=lines), [FLOOR], TRAP, WHY).refusals
    assert (first.where, second.where) == (SYSTEMD, KUBESPRAY)
    assert "line 3 cannot be read ('oops'), nor can 2 more" in first.what


def test_one_writable_parameter_is_enough_to_be_refused():
    facts = replace(node(32768), garbled=(sysctl_d.Garbled(KUBESPRAY, 1, "oops"),))
    both = replace(facts, parameters={**facts.parameters, "kernel.threads-max": Parameter(1, writable=False)})
    assert len(sysctl_floors.plan(both, [FLOOR], TRAP, WHY).refusals) == 1


CONF = (Assignment(PID_MAX, "49152", sysctl_d.PROCPS_FILE, 3),)
FINDINGS: list[tuple[str, Facts, Floor, list[tuple[str, str, str]]]] = [
    ("nothing odd", node(32768), FLOOR, []),
    ("read before ours", node(32768, (KUBESPRAY, 49152)), FLOOR, []),
    ("read before ours, from a folder of a later name", node(32768, (SYSTEMD, 49152)), FLOOR, []),
    ("read after ours, from a folder of an earlier rank", node(32768, ("/usr/lib/sysctl.d/99-zzz.conf", 400)), FLOOR,
     [("pid_limits.overridden", "high", "/usr/lib/sysctl.d/99-zzz.conf line 1")]),
    ("a lower value read after ours", node(32768, (BEHIND, 49152)), FLOOR,
     [("pid_limits.overridden", "high", f"{BEHIND} line 1")]),
    ("a refused value read after ours", node(32768, (BEHIND, 4194305)), FLOOR,
     [("pid_limits.overridden", "high", f"{BEHIND} line 1")]),
    ("a higher value read after ours", node(32768, (BEHIND, 65537)), FLOOR, []),
    ("another value read after ours, exact", node(65536, (BEHIND, 65537)), replace(FLOOR, exact=True),
     [("pid_limits.overridden", "high", f"{BEHIND} line 1")]),
    ("/etc/sysctl.conf alone", node(32768, conf=CONF), FLOOR,
     [("pid_limits.overridden", "low", "/etc/sysctl.conf line 3")]),
    ("a pattern after ours sets nothing that ours names",
     replace(node(65536), assignments=(Assignment("kernel.*", "400", BEHIND, 1),)), FLOOR, []),
    ("read-only", node(32768, (BEHIND, 49152), writable=False, conf=CONF), FLOOR,
     [("pid_limits.read_only", "info", PID_MAX)]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "floor", "found"), [c[1:] for c in FINDINGS], ids=[c[0] for c in FINDINGS])
def test_findings(facts, floor, found):
    plan = sysctl_floors.plan(facts, [floor], TRAP, WHY)
    assert [(f.id, f.severity, f.where) for f in plan.findings] == found
    assert not any(f.mended for f in plan.findings)


def test_two_parameters_share_one_drop_in():
    other = replace(FLOOR, name="kernel.threads-max", value=100000, variable="v", bounds=(1, 2**30 - 1))
    facts = replace(node(32768), parameters={PID_MAX: Parameter(32768, True), other.name: Parameter(200000, True)})
    *_values, file = sysctl_floors.plan(facts, [FLOOR, other], TRAP, WHY).changes
    assert file.after == f"# {MANAGED_BY}.\n{PID_MAX} = 65536\nkernel.threads-max = 200000\n"


# --- whatever the facts -----------------------------------------------------------------------------

values = st.integers(min_value=301, max_value=4194304)
written = values | st.integers(min_value=0, max_value=10**8)
paths = st.sampled_from([SYSTEMD, KUBESPRAY, BEHIND, "/run/sysctl.d/10-x.conf"])
names = st.sampled_from([PID_MAX, PID_MAX, "kernel.*", "kernel.pid_*", "*.*"])
procps_lines = st.builds(Assignment, names, written.map(str), st.just(sysctl_d.PROCPS_FILE), st.just(1))


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    found = draw(st.lists(st.builds(Assignment, names, written.map(str), paths, st.just(1)), max_size=4))
    order = sysctl_d.reading_order(line.path for line in found)
    own = draw(st.none() | written.map(drop_in) | st.sampled_from(["", "oops\n", "kernel.* = 400\n", "a.b = 1\n"]))
    return Facts(
        parameters={PID_MAX: Parameter(draw(values), draw(st.sampled_from([True, True, True, False])))},
        assignments=tuple(sorted((line for line in found if line.path in order), key=lambda a: order.index(a.path))),
        sysctl_conf=tuple(draw(st.lists(procps_lines, max_size=1))),
        drop_in=own,
    )


floors = st.builds(
    Floor,
    name=st.just(PID_MAX),
    value=values,
    variable=st.just("v"),
    bounds=st.just((301, 4194304)),
    default=st.just(32768),
    exact=st.booleans(),
    least=st.sampled_from([0, 0, 1000, 100000]),
)


def simulate(facts: Facts, plan: Plan) -> Facts:
    """Return the facts of the node that the plan was applied to."""
    for change in plan.changes:
        if isinstance(change, SetSysctl):
            changed = {**facts.parameters, change.name: Parameter(int(change.after), writable=True)}
            facts = replace(facts, parameters=changed)
        else:
            facts = replace(facts, drop_in=change.after)
    return facts


def after_boot(facts: Facts, default: int, bounds: tuple[int, int]) -> int:
    """Boot the node: systemd-sysctl reads all files, and the kernel refuses what it does not accept."""
    own = sysctl_d.parse(facts.drop_in or "", sysctl_d.drop_in(TRAP))[0]
    everything = sorted([*facts.assignments, *own], key=lambda a: a.path.rpartition("/")[2])
    line = sysctl_d.winner(everything, PID_MAX)
    return int(line.value or "") if line and bounds[0] <= int(line.value or "") <= bounds[1] else default


@given(any_facts(), floors)
def test_a_second_run_changes_nothing(facts, floor):
    plan = sysctl_floors.plan(facts, [floor], TRAP, WHY)
    if not plan.refusals:
        assert sysctl_floors.plan(simulate(facts, plan), [floor], TRAP, WHY).changes == ()


@given(any_facts(), floors)
def test_nothing_is_lowered_unless_exact(facts, floor):
    plan = sysctl_floors.plan(facts, [floor], TRAP, WHY)
    then = simulate(facts, plan)
    if not floor.exact:
        assert then.values[PID_MAX] >= facts.values[PID_MAX]
        assert after_boot(then, floor.default, floor.bounds) >= min(
            after_boot(facts, floor.default, floor.bounds), then.values[PID_MAX]
        )


@given(any_facts(), floors)
def test_the_floor_is_met_now_and_after_a_boot_or_a_finding_says_why_not(facts, floor):
    plan = sysctl_floors.plan(facts, [floor], TRAP, WHY)
    then = simulate(facts, plan)
    if plan.refusals or not facts.parameters[PID_MAX].writable:
        assert then == facts
        return
    assert floor.met_by(then.values[PID_MAX])
    if not floor.met_by(after_boot(then, floor.default, floor.bounds)):
        assert ("pid_limits.overridden", "high") in {(f.id, f.severity) for f in plan.findings}


# --- observe ----------------------------------------------------------------------------------------


def observed(files: Mapping[str, str], **more: Any) -> Facts:
    return sysctl_floors.observe(FakeHost({sysctl_path(PID_MAX): "49152\n", **files}, **more), [PID_MAX], TRAP)


def test_observing_reads_the_parameter_the_files_and_our_own():
    facts = observed(
        {
            SYSTEMD: "kernel.pid_max = 4194304\nkernel.panic = 10\n",
            KUBESPRAY: "kernel.pid_max = 49152\noops\n",
            "/etc/sysctl.conf": "kernel.pid_max = 49152\nnever read at boot\n",
            sysctl_d.drop_in(TRAP): drop_in(4194304),
        }
    )
    assert facts.parameters == {PID_MAX: Parameter(49152, writable=True)}
    assert [(a.path, a.value) for a in facts.assignments] == [(SYSTEMD, "4194304"), (KUBESPRAY, "49152")]
    assert [(g.path, g.line, g.text) for g in facts.garbled] == [(KUBESPRAY, 2, "oops")]
    assert [(a.path, a.value) for a in facts.sysctl_conf] == [("/etc/sysctl.conf", "49152")]
    assert facts.drop_in == drop_in(4194304)
    assert facts.drop_in_link is None


def test_observing_a_container():
    facts = observed({}, read_only=("/proc/sys",))
    assert facts.parameters == {PID_MAX: Parameter(49152, writable=False)}
    assert facts.drop_in is None


def test_observing_a_kernel_without_the_parameter():
    assert sysctl_floors.observe(FakeHost(), [PID_MAX], TRAP).parameters == {PID_MAX: Parameter(0, writable=False)}


def test_observing_a_masked_drop_in():
    facts = observed({"/dev/null": ""}, links={sysctl_d.drop_in(TRAP): "/dev/null"})
    assert facts.drop_in_link == "/dev/null"


def test_the_line_of_a_parameter_that_is_read_only_now_stays_for_the_next_boot():
    other = replace(FLOOR, name="kernel.threads-max", value=100000, bounds=(1, 2**30))
    text = sysctl_d.render({PID_MAX: 65536, "kernel.threads-max": 100000}, MANAGED_BY)
    facts = Facts({PID_MAX: Parameter(65536, True), "kernel.threads-max": Parameter(100000, False)}, drop_in=text)
    *_value, file = sysctl_floors.plan(facts, [replace(FLOOR, value=131072), other], TRAP, WHY).changes
    assert file.after == text.replace("65536", "131072")
