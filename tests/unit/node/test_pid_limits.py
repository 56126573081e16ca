"""The trap pid_limits: which floors a node gets, and what a person is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.limits_d import Line
from ansible_collections.nodeward.calico.plugins.module_utils._core.sysctl_d import Assignment
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import SetSysctl, WriteFile, sysctl_path
from ansible_collections.nodeward.calico.plugins.module_utils._node import login_limits, pid_limits
from ansible_collections.nodeward.calico.plugins.module_utils._node.kernel_pids import PID_MAX, THREADS_MAX, Machine
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_limits import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_use import Limit, Use
from ansible_collections.nodeward.calico.plugins.module_utils._node.sysctl_floors import Parameter
from ansible_collections.nodeward.calico.plugins.module_utils._node.top import Holder
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost
from tests.unit.node.cgroup_trees import V1_SYSTEMD
from tests.unit.node.pid_nodes import DEFAULTS, GIB, SYSTEMD, node

# auto, by hand: 110 pods x 4096 + 2048 = 452608; 16 GiB carry 16 GiB / 2 / 32 KiB = 262144
AUTO_UNLIMITED = 452608
FIT_16 = 262144


def changed(facts: Facts, policy: Policy = DEFAULTS) -> dict[str, str]:
    plan = pid_limits.plan(facts, policy)
    assert plan.refusals == ()
    assert all(change.reason.trap == "pid_limits" and not change.reason.disrupts for change in plan.changes)
    return {change.target: str(change.after) for change in plan.changes if isinstance(change, (SetSysctl, WriteFile))}


def lines_of_drop_in(changes: dict[str, str]) -> list[str]:
    return changes.get(f"file {sysctl_d.drop_in('pid_limits')}", "").splitlines()[1:]


def test_the_node_of_incident_b():
    """49152 process ids, threads-max generous: pid_max is raised now and for the next boot."""
    changes = changed(node())
    assert list(changes) == ["sysctl kernel.pid_max", f"file {sysctl_d.drop_in('pid_limits')}"]
    assert changes["sysctl kernel.pid_max"] == "4194304"
    assert lines_of_drop_in(changes) == ["kernel.pid_max = 4194304"]


def test_a_node_with_systemd_s_own_file_needs_threads_max_only():
    changes = changed(node(4194304, 192731, memory=24 * GIB, assignments=(SYSTEMD,)))
    assert list(changes) == ["sysctl kernel.threads-max", f"file {sysctl_d.drop_in('pid_limits')}"]
    assert lines_of_drop_in(changes) == ["kernel.threads-max = 393216"]  # 24 GiB / 2 / 32 KiB


def test_a_node_that_has_all_it_needs():
    enough = Assignment(THREADS_MAX, "500000", "/etc/sysctl.d/50-threads.conf", 1)
    assert changed(node(4194304, 500000, assignments=(SYSTEMD, enough))) == {}


def test_kubespray_s_file_that_lowers_systemd_s():
    kubespray = Assignment(PID_MAX, "49152", "/etc/sysctl.d/99-sysctl.conf", 9)
    changes = changed(node(49152, assignments=(SYSTEMD, kubespray)))
    assert lines_of_drop_in(changes) == ["kernel.pid_max = 4194304"]


AUTO: list[tuple[str, Facts, Policy, int]] = [
    ("pods without a limit: 4096 each", node(kubelet=Kubelet(True)), DEFAULTS, AUTO_UNLIMITED),
    ("no kubelet: its defaults", node(kubelet=Kubelet()), DEFAULTS, AUTO_UNLIMITED),
    ("what the kubelet was told", node(kubelet=Kubelet(True, 250, 1024)), DEFAULTS, 258048),
    ("max_pods given", node(), replace(DEFAULTS, max_pods=250), 1026048),
    ("pids_per_pod given", node(), replace(DEFAULTS, pids_per_pod=100), 13048),
    ("pids_per_pod given as no limit", node(kubelet=Kubelet(True, 110, 100)), replace(DEFAULTS, pids_per_pod=-1),
     AUTO_UNLIMITED),
    ("both given", node(), replace(DEFAULTS, max_pods=1, pids_per_pod=1), 2049),
    ("capped by memory", node(memory=16 * GIB), DEFAULTS, FIT_16),
    ("just within memory", node(memory=AUTO_UNLIMITED * 65536), DEFAULTS, AUTO_UNLIMITED),
    ("just not within memory", node(memory=AUTO_UNLIMITED * 65536 - 1), DEFAULTS, AUTO_UNLIMITED - 1),
    ("a number is taken as it is", node(memory=GIB), replace(DEFAULTS, threads_max="300000"), 300000),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "floor"), [c[1:] for c in AUTO], ids=[c[0] for c in AUTO])
def test_the_floor_of_threads_max(facts, policy, floor):
    assert pid_limits.threads_floor(facts, policy) == floor


def test_auto_stays_a_floor_where_the_rest_is_exact():
    """The formula is an estimate; nobody asked to lower the node to it."""
    changes = changed(node(4194304, 6000000), replace(DEFAULTS, pid_max=100000, exact=True))
    assert changes["sysctl kernel.pid_max"] == "100000"
    assert "sysctl kernel.threads-max" not in changes


@pytest.mark.parametrize(("exact", "nproc"), [(False, "4194304"), (True, "1000000")])
def test_logins_may_have_what_the_kernel_allows_also_where_that_is_more_than_the_policy(exact, nproc):
    logins = login_limits.Facts(
        applied=True, may_raise=True, lines=(Line("*", ("soft", "hard"), 5000, "/etc/security/limits.conf", 1),)
    )
    facts = replace(node(4194304, assignments=(SYSTEMD,)), logins=logins)
    changes = changed(facts, replace(DEFAULTS, pid_max=1000000, exact=exact))
    [text] = [text for target, text in changes.items() if "limits.d" in target]
    assert {line.split()[-1] for line in text.splitlines() if line.startswith("*")} == {nproc}


def test_logins_may_have_what_the_kernel_is_about_to_allow():
    """A file raises kernel.pid_max above the policy: the second run finds nothing more to do for logins."""
    logins = login_limits.Facts(applied=True, may_raise=True, inherited={"soft": 60000, "hard": 60000})
    first = changed(replace(node(49152, assignments=(SYSTEMD,)), logins=logins), replace(DEFAULTS, pid_max=100000))
    assert first["sysctl kernel.pid_max"] == "4194304"
    [text] = [text for target, text in first.items() if "limits.d" in target]
    assert {line.split()[-1] for line in text.splitlines() if line.startswith("*")} == {"4194304"}


def test_exact_lowers_a_number():
    changes = changed(node(threads_max=6000000), replace(DEFAULTS, threads_max="500000", exact=True))
    assert changes["sysctl kernel.threads-max"] == "500000"


REFUSED: list[tuple[str, Facts, Policy, str, str]] = [
    ("pid_max below 8 per processor", node(cpus=48), replace(DEFAULTS, pid_max=383), PID_MAX, "pid_limits_pid_max"),
    ("pid_max too high", node(), replace(DEFAULTS, pid_max=4194305), PID_MAX, "(384 to 4194304)"),
    ("pid_max too high for 32 bits", node(machine="i686"), replace(DEFAULTS, pid_max=32769), PID_MAX, "(384 to 32768)"),
    ("threads_max 0", node(), replace(DEFAULTS, threads_max="0"), THREADS_MAX, "pid_limits_threads_max"),
    ("threads_max too high", node(), replace(DEFAULTS, threads_max="1073741824"), THREADS_MAX, "(1 to 1073741823)"),
    ("threads_max no number", node(), replace(DEFAULTS, threads_max="lots"), "pid_limits_threads_max", '"auto"'),
    ("threads_max negative", node(), replace(DEFAULTS, threads_max="-1"), "pid_limits_threads_max", '"auto"'),
    ("threads_max empty", node(), replace(DEFAULTS, threads_max=""), "pid_limits_threads_max", '"auto"'),
    ("threads_max in other digits", node(), replace(DEFAULTS, threads_max="\u0663"), "pid_limits_threads_max", "auto"),
    ("threads_max endless", node(), replace(DEFAULTS, threads_max="9" * 5000), "pid_limits_threads_max", '"auto"'),
    ("tasks_max no number", node(), replace(DEFAULTS, tasks_max="15%"), "pid_limits_tasks_max", '"infinity"'),
    ("tasks_max 0", node(), replace(DEFAULTS, tasks_max="0"), "pid_limits_tasks_max", '"infinity"'),
    ("max_pods 0", node(), replace(DEFAULTS, max_pods=0), "pid_limits_max_pods", "1 or more"),
    ("pids_per_pod 0", node(), replace(DEFAULTS, pids_per_pod=0), "pid_limits_pids_per_pod", "or -1"),
    ("pids_per_pod -2", node(), replace(DEFAULTS, pids_per_pod=-2), "pid_limits_pids_per_pod", "or -1"),
    ("exact below twice the use", node(threads=25000), replace(DEFAULTS, pid_max=49000, exact=True), PID_MAX,
     "to 50000 or more"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "policy", "where", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refusals(facts, policy, where, told):
    plan = pid_limits.plan(facts, policy)
    (refusal,) = plan.refusals
    assert refusal.where == where
    assert told in str(refusal)
    assert plan.changes == ()


@pytest.mark.parametrize("machine", ["armv7l", "i686"])
def test_a_32_bit_kernel_gets_what_it_can_have_where_nobody_asked_for_more(machine):
    limits = login_limits.Facts(applied=True, may_raise=True, inherited={"soft": 5000, "hard": 5000})
    changes = changed(replace(node(20000, machine=machine, cpus=4), logins=limits))
    assert changes["sysctl kernel.pid_max"] == "32768"
    [text] = [text for target, text in changes.items() if "limits.d" in target]
    assert {line.split()[-1] for line in text.splitlines() if line.startswith("*")} == {"32768"}


def test_every_bad_option_is_named_at_once():
    plan = pid_limits.plan(node(), Policy(1, "x", 0, 0))
    assert [refusal.where for refusal in plan.refusals] == [
        "pid_limits_threads_max",
        "pid_limits_max_pods",
        "pid_limits_pids_per_pod",
    ]


def test_a_container_is_left_alone():
    plan = pid_limits.plan(node(writable=False), DEFAULTS)
    assert plan.changes == ()
    assert plan.refusals == ()
    assert [finding.id for finding in plan.findings] == ["pid_limits.read_only"] * 2


FULL = Limit("/kubepods.slice", 4194304, 4000000)
OLD = Limit("/kubepods.slice", 49152 - 2048, 900)
FINDINGS: list[tuple[str, Facts, Policy, list[tuple[str, str, str]]]] = [
    ("all well", node(), DEFAULTS, []),
    ("just below half in use", node(threads=24575), DEFAULTS, []),
    ("half in use", node(threads=24576), DEFAULTS, [("pid_limits.in_use", "medium", PID_MAX)]),
    ("just below 80 % in use", node(threads=39321), DEFAULTS, [("pid_limits.in_use", "medium", PID_MAX)]),
    ("80 % in use", node(threads=39322), DEFAULTS, [("pid_limits.in_use", "high", PID_MAX)]),
    ("both nearly used up, the nearer first", node(threads=46210, threads_max=60000), DEFAULTS,
     [("pid_limits.in_use", "high", PID_MAX), ("pid_limits.in_use", "medium", THREADS_MAX)]),
    ("the pods' cgroup", node(cgroups=(FULL,)), DEFAULTS, [("pid_limits.in_use", "high", "/kubepods.slice")]),
    ("pods under a limit of the time before", node(4194304, cgroups=(OLD,)), DEFAULTS,
     [("pid_limits.kubelet_capacity", "medium", "/kubepods.slice")]),
    ("pods under a limit that this run raises", node(cgroups=(OLD,)), DEFAULTS,
     [("pid_limits.kubelet_capacity", "medium", "/kubepods.slice")]),
    ("pods under the limit of now", node(49152, cgroups=(OLD,)), replace(DEFAULTS, pid_max=49152), []),
    ("pods without a limit", node(kubelet=Kubelet(True)), DEFAULTS,
     [("pid_limits.kubelet_flags", "medium", "kubelet"),
      ("pid_limits.unlimited_pods", "medium", "kubelet podPidsLimit")]),
    ("no kubelet, nobody to limit pods", node(kubelet=Kubelet()), DEFAULTS, []),
    ("memory too small for what the kubelet was told", node(memory=16 * GIB), DEFAULTS,
     [("pid_limits.memory", "low", THREADS_MAX)]),
    ("memory too small for what was assumed only", node(memory=16 * GIB, kubelet=Kubelet()), DEFAULTS, []),
    ("memory too small for the number given", node(memory=16 * GIB), replace(DEFAULTS, threads_max="262145"),
     [("pid_limits.memory", "low", THREADS_MAX)]),
    ("memory just enough for the number given", node(memory=16 * GIB), replace(DEFAULTS, threads_max="262144"), []),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "found"), [c[1:] for c in FINDINGS], ids=[c[0] for c in FINDINGS])
def test_findings(facts, policy, found):
    assert [(f.id, f.severity, f.where) for f in pid_limits.plan(facts, policy).findings] == found


HOLDERS = (
    Holder("shop/cart-7d9f (container cart)", "/kubepods.slice/kubepods-pod1.slice", 31000, None),
    Holder("containerd.service", "/system.slice/containerd.service", 700, None),
)


def test_a_limit_that_is_nearly_used_up_is_told_with_who_holds_the_threads():
    plan = pid_limits.plan(node(threads=46210, cgroups=(FULL,), top=HOLDERS), DEFAULTS)
    assert [finding.observed for finding in plan.findings] == [
        "4000000 of 4194304 threads (95%), held by shop/cart-7d9f (container cart) 31,000",
        "46210 of 49152 threads (94%), held by shop/cart-7d9f (container cart) 31,000, containerd.service 700",
    ]


def test_a_limit_that_is_raised_is_mended_and_one_that_is_not_is_none():
    plan = pid_limits.plan(node(threads=46210, cgroups=(FULL,)), DEFAULTS)
    assert {f.where: f.mended for f in plan.findings} == {PID_MAX: True, "/kubepods.slice": False}


@pytest.mark.parametrize(("threads", "severity"), [(24575, "medium"), (24576, "high")])
def test_a_node_that_is_half_full_needs_the_change_more(threads, severity):
    pid_max, threads_max, *_ = pid_limits.plan(node(threads=threads, threads_max=100000), DEFAULTS).changes
    assert (pid_max.reason.severity, threads_max.reason.severity) == (severity, "medium")


# --- whatever the node ------------------------------------------------------------------------------

nodes = st.builds(
    node,
    st.integers(384, 4194304),
    st.integers(1, 2**30 - 1),
    memory=st.integers(2**28, 2**42),
    threads=st.integers(0, 100000),
    kubelet=st.builds(Kubelet, st.booleans(), st.integers(0, 1000), st.sampled_from([-1, 1, 1024, 10**6])),
    writable=st.booleans(),
    machine=st.sampled_from(["x86_64", "aarch64", "i686"]),
    cpus=st.integers(1, 48),
    assignments=st.sampled_from([(), (SYSTEMD,), (Assignment(THREADS_MAX, "77", "/etc/sysctl.d/x.conf", 1),)]),
)
policies = st.builds(
    Policy,
    pid_max=st.integers(1, 5 * 10**6),
    threads_max=st.just("auto") | st.integers(0, 2**31).map(str),
    max_pods=st.none() | st.integers(0, 1000),
    pids_per_pod=st.none() | st.sampled_from([-1, 0, 1, 4096]),
    exact=st.booleans(),
)


@given(nodes, policies)
def test_a_second_run_changes_nothing_and_nothing_is_lowered_unless_exact(facts, policy):
    plan = pid_limits.plan(facts, policy)
    kernel = facts.kernel
    for change in plan.changes:
        if isinstance(change, SetSysctl):
            assert policy.exact or int(change.after) > int(change.before)
            kernel = replace(kernel, parameters={**kernel.parameters, change.name: Parameter(int(change.after), True)})
        else:
            kernel = replace(kernel, drop_in=change.after)
    again = pid_limits.plan(replace(facts, kernel=kernel), policy)
    assert plan.refusals or again.changes == ()
    assert not (plan.refusals and plan.changes)


@given(nodes, policies)
def test_a_plan_never_asks_for_what_the_kernel_refuses_nor_starves_what_runs(facts, policy):
    for change in pid_limits.plan(facts, policy).changes:
        if isinstance(change, SetSysctl):
            assert 1 <= int(change.after) <= (4194304 if change.name == PID_MAX else 0x3FFFFFFF)
            assert int(change.after) >= min(int(change.before), 2 * facts.use.threads)


# --- observe and show -------------------------------------------------------------------------------

OBSERVED = {
    **V1_SYSTEMD,
    sysctl_path(PID_MAX): "49152\n",
    sysctl_path(THREADS_MAX): "192731\n",
    "/sys/devices/system/cpu/possible": "0-3,8\n",
    "/proc/meminfo": "MemFree:  1 kB\nMemTotal:       24684100 kB\n",
    "/usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
}

SHOW = "systemctl show --property=Id,MainPID,TasksMax,FragmentPath,DropInPaths containerd.service kubelet.service"


def test_observing_a_whole_node():
    shown = "Id=containerd.service\nTasksMax=infinity\n\nId=kubelet.service\nMainPID=712\n"
    host = FakeHost(OBSERVED, commands={SHOW: shown})
    facts = pid_limits.observe(host)
    assert facts.machine == Machine("x86_64", 5, 24684100 * 1024, 4096)
    assert facts.kernel.values == {PID_MAX: 49152, THREADS_MAX: 192731}
    assert [line.value for line in facts.kernel.assignments] == ["4194304"]
    assert (facts.kubelet.running, facts.kubelet.unit) == (True, "kubelet.service")
    assert facts.busiest_pod == 30500
    assert facts.use.threads == 46210
    assert [unit.name for unit in facts.services.units] == ["containerd.service", "kubelet.service"]
    assert host.calls == [("run", SHOW)]


def test_observing_a_node_that_shows_nothing():
    facts = pid_limits.observe(FakeHost())
    assert facts.machine == Machine("x86_64", 1, 0, 4096)
    assert facts.kernel.values == {PID_MAX: 0, THREADS_MAX: 0}
    assert facts.use == Use(0)


@pytest.mark.parametrize(("ranges", "count"), [("0", 1), ("0-95", 96), ("0-3,8,10-11\n", 7)])
def test_possible_processors(ranges, count):
    facts = pid_limits.observe(FakeHost({"/sys/devices/system/cpu/possible": ranges}))
    assert facts.machine.possible_cpus == count


def test_facts_as_they_are_shown_begin_with_the_limit_that_binds():
    shown = pid_limits.shown(pid_limits.observe(FakeHost(OBSERVED)))
    assert shown["binding"] == {"name": PID_MAX, "limit": 49152, "used": 46210, "share": 0.9401}
    assert shown["limits"][0] == shown["binding"]
    assert shown["kernel"]["parameters"][PID_MAX] == {"value": 49152, "writable": True}
    assert set(shown) == {
        "machine", "kernel", "kubelet", "use", "busiest_pod", "pods_unseen", "logins", "services", "top", "limits",
        "binding",
    }  # fmt: skip
    assert shown["top"][0] == {
        "name": "pod 1",
        "cgroup": "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
        "threads": 30500,
        "limit": 4096,
    }
    wanted = pid_limits.shown(pid_limits.observe(FakeHost(OBSERVED)), DEFAULTS)["kubelet"]["wanted"]
    assert wanted == {"podPidsLimit": 122000, "systemReserved.pid": 1024, "kubeReserved.pid": 1024}
