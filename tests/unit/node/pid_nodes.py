"""Facts of nodes for the trap pid_limits, as its observe() would make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._core.sysctl_d import Assignment
from ansible_collections.nodeward.calico.plugins.module_utils._node import login_limits
from ansible_collections.nodeward.calico.plugins.module_utils._node.kernel_pids import PID_MAX, THREADS_MAX, Machine
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet, Reservation
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_limits import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_use import Limit, Use
from ansible_collections.nodeward.calico.plugins.module_utils._node.sysctl_floors import Facts as KernelFacts
from ansible_collections.nodeward.calico.plugins.module_utils._node.sysctl_floors import Parameter
from ansible_collections.nodeward.calico.plugins.module_utils._node.top import Holder

GIB = 2**30
SYSTEMD = Assignment(PID_MAX, "4194304", "/usr/lib/sysctl.d/50-pid-max.conf", 5)
ENOUGH = {"systemReserved.pid": Reservation(1024), "kubeReserved.pid": Reservation(1024)}
DEFAULTS = Policy(pid_max=4194304, threads_max="auto")


def node(
    pid_max: int = 49152,
    threads_max: int = 6000000,
    *,
    memory: int = 256 * GIB,
    threads: int = 900,
    kubelet: Kubelet | None = None,
    cgroups: tuple[Limit, ...] = (),
    writable: bool = True,
    machine: str = "x86_64",
    cpus: int = 48,
    top: tuple[Holder, ...] = (),
    reserved: Mapping[str, Reservation] | None = None,
    **files: Any,
) -> Facts:
    """Describe a node; as it is here, with 256 GiB of memory and 48 processors, that of incident B."""
    parameters = {PID_MAX: Parameter(pid_max, writable), THREADS_MAX: Parameter(threads_max, writable)}
    return Facts(
        machine=Machine(machine, cpus, memory, 4096),
        kernel=KernelFacts(parameters, **files),
        kubelet=replace(kubelet or Kubelet(running=True, pod_pids_limit=4096), reserved=reserved or ENOUGH),
        use=Use(threads, cgroups),
        logins=login_limits.Facts(applied=True, may_raise=True),
        top=top,
    )
