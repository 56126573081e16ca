"""What the kubelet leaves to all pods together, and where they are looked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._node import pid_limits
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet, Reservation
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_file import ConfigFile
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_limits import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_use import Limit

from tests.unit.node.kubelet_nodes import KUBEADM
from tests.unit.node.kubelet_nodes import node as kubelet_node
from tests.unit.node.pid_nodes import DEFAULTS, SYSTEMD, node

# A kubelet whose file we may edit, on a node of a host that owns its kernel: 40000 process ids, whatever is asked for.
CONFIG = ConfigFile("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\npodPidsLimit: 4096\n")
EDITABLE = Kubelet(True, 110, 4096, "kubelet.service", "a1", 1.0, CONFIG)


def reserving(system: int | None, kube: int | None, used: int, threads_max: int = 6000000, **given: Any) -> Facts:
    """Describe a node of 40000 process ids with these reservations, None for none, and threads in its pods."""
    reserved = {"systemReserved.pid": Reservation(system), "kubeReserved.pid": Reservation(kube)}
    pods = Limit("/kubepods.slice", 30000, used)
    facts = {"kubelet": EDITABLE, "cgroups": (pods,), "writable": False, "cpus": 8, **given}
    return node(40000, threads_max, reserved=reserved, **facts)


SYSTEM, KUBE = "kubelet systemReserved.pid", "kubelet kubeReserved.pid"
BOTH = f"{SYSTEM}, {KUBE}"
TOO_MUCH: list[tuple[str, Facts, Policy, str, str]] = [
    ("one too many", reserving(None, None, 18977), DEFAULTS, BOTH, "leave 37952 to all pods together, and they need"),
    ("what may be had is told", reserving(None, None, 18977), DEFAULTS, BOTH, "to 2046 or less together, or to 0"),
    ("more than there are", reserving(None, 1024, 0), replace(DEFAULTS, system_reserved_pids=9000000), SYSTEM,
     "pid_limits_system_reserved_pids to 38975 or less, or"),
    ("all that there are", reserving(None, 1024, 0), replace(DEFAULTS, system_reserved_pids=38976), SYSTEM,
     "leave 0 to"),
    ("threads-max is what counts", reserving(None, 1024, 10000, 22000), DEFAULTS, SYSTEM, "leave 19952 to"),
    ("a limit that this run lowers", reserving(None, 1024, 10000, writable=True, threads=9000),
     replace(DEFAULTS, pid_max=22000, exact=True), SYSTEM, "of the 22000 process ids"),
    ("most of it is there already", reserving(39000, None, 0), DEFAULTS, KUBE, "kube_reserved_pids to 999 or"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "policy", "where", "told"), [case[1:] for case in TOO_MUCH], ids=[case[0] for case in TOO_MUCH]
)
def test_reservations_that_leave_the_pods_too_little_are_refused(facts, policy, where, told):
    plan = pid_limits.plan(facts, policy)
    (refusal,) = plan.refusals
    assert refusal.where == where
    assert told in str(refusal)
    assert plan.changes == ()


LEFT = [
    ("just enough", reserving(None, None, 18976), DEFAULTS, 3, []),
    ("all but one", reserving(None, 1024, 0), replace(DEFAULTS, system_reserved_pids=38975), 2, []),
    ("what this run raises counts", reserving(None, None, 18977, writable=True), DEFAULTS, 3, []),
    ("there already, and too much", reserving(21000, 1024, 10000), DEFAULTS, 0, [("medium", BOTH)]),
    ("there already, and less than there are threads", reserving(28000, 1024, 10000), DEFAULTS, 0, [("high", BOTH)]),
    ("there already, and nothing left", reserving(50000, 1024, 0), DEFAULTS, 0, [("high", BOTH)]),
    ("there already, and enough", reserving(18976, 1024, 10000), DEFAULTS, 0, []),
    ("a node that is full without them", reserving(2000, 1024, 25000), DEFAULTS, 0, []),
    ("nothing reserved", reserving(None, None, 25000),
     replace(DEFAULTS, system_reserved_pids=0, kube_reserved_pids=0), 0, []),
    ("no kubelet", reserving(50000, None, 0, kubelet=Kubelet()), DEFAULTS, 0, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "policy", "disrupting", "found"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT]
)
def test_what_may_be_reserved_and_what_is_told_of_what_is_there(facts, policy, disrupting, found):
    plan = pid_limits.plan(facts, policy)
    assert plan.refusals == ()
    assert len([change for change in plan.changes if change.reason.disrupts]) == disrupting
    assert [(each.severity, each.where) for each in plan.findings if each.id == "pid_limits.reserved"] == found


# --- where pods are looked for ------------------------------------------------------------------------

# The kubelet's own cgroupRoot, where it is given, and the folder of the one pod, with 20000 threads
ROOTS: list[tuple[str, str, str, int]] = [
    ("none", "", "/kubepods.slice/kubepods-pod1.slice", 20000),
    ("the root", "/", "/kubepods/burstable/pod1", 20000),
    ("kind's", "/kubelet", "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice", 20000),
    ("one of its own", "/workload", "/workload.slice/workload-kubepods.slice/workload-kubepods-pod1.slice", 20000),
    ("two levels, by cgroupfs", "/a/b-c", "/a/b-c/kubepods/besteffort/pod1", 20000),
    ("two levels, by systemd", "/a/b-c", "/a.slice/a-b_c.slice/a-b_c-kubepods.slice/a-b_c-kubepods-pod1.slice", 20000),
    ("elsewhere", "/workload", "/other/kubepods/pod1", 0),
    ("pods of before, and elsewhere", "/workload", "/kubepods.slice/kubepods-pod1.slice", 0),
    ("none, and the pods elsewhere", "", "/other/kubepods/pod1", 0),
]


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize(("root", "cgroup", "busiest"), [c[1:] for c in ROOTS], ids=[c[0] for c in ROOTS])
def test_a_kubelet_with_a_cgroup_root_gets_no_cap_that_stops_what_runs(root, cgroup, busiest, flag):
    config = KUBEADM if flag or not root else f"{KUBEADM}cgroupRoot: {root}\n"
    host = kubelet_node(config, *([f"--cgroup-root={root}"] if flag and root else []))
    host.files |= {"/proc/712/comm": "kubelet\n", f"/sys/fs/cgroup{cgroup}/pids.current": "20000\n",
                   "/var/log/pods/shop_cart-7d9f_1/cart/0.log": ""}  # fmt: skip
    facts = pid_limits.observe(host)
    assert (facts.busiest_pod, facts.pods_unseen) == (busiest, not busiest)
    for cap in (None, 4096):
        plan = kubelet_part(facts, cap)
        caps = [change.after for change in plan.changes if change.target.endswith("podPidsLimit")]
        assert caps == (["80000"] if busiest and cap is None else [])
        assert bool(plan.refusals) == bool(busiest and cap)
        assert [f.id for f in plan.findings if f.where == "kubelet podPidsLimit"] == (
            [] if busiest else ["pid_limits.pods_unseen"]
        )
    assert kubelet_part(facts, -1).findings == ()


def kubelet_part(facts: Facts, cap: int | None) -> Plan:
    """Return what is planned for such a kubelet on a node that has all else."""
    well = replace(node(4194304, assignments=(SYSTEMD,)), kubelet=facts.kubelet)
    seen = replace(well, busiest_pod=facts.busiest_pod, pods_unseen=facts.pods_unseen)
    return pid_limits.plan(seen, replace(DEFAULTS, pids_per_pod=cap))


def test_pods_that_are_unseen_under_a_cap_of_the_kubelet_s_own_are_no_matter():
    host = kubelet_node(KUBEADM + "podPidsLimit: 500\ncgroupRoot: /workload\n")
    host.files["/proc/712/comm"] = "kubelet\n"
    facts = pid_limits.observe(host)
    assert facts.pods_unseen
    assert kubelet_part(facts, None).findings == ()
