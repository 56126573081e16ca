# Private to the collection nodeward.calico: may change in any release.
"""Trap pid_limits: the node runs out of process ids while its per-user limits look generous (incident B).

Every thread takes a process id. kernel.pid_max and kernel.threads-max are floors here: raised to at least
the policy, never lowered unless ``exact``. What stands before them is raised as well: the processes that a
login may have (``login_limits``) and the tasks of the units that carry pods (``unit_limits``).

threads_max "auto" is max_pods x pids_per_pod + RESERVE, at most what memory can carry
(``kernel_pids.threads_that_fit``), and never below the present value. KubeMarine computes kernel.pid_max
from the same product and reserve (kubemarine/sysctl.py: maxPods x podPidsLimit + 2048). Where the kubelet
puts no limit on a pod, no number of threads is enough; PIDS_PER_POD_ASSUMED then stands in for the limit
that is missing, and a finding says that it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._core import limits_d
from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import Change, SetSysctl
from . import (
    in_use,
    kernel_pids,
    kubelet,
    kubelet_capacity,
    kubelet_obstacles,
    kubelet_plan,
    login_limits,
    pid_use,
    pods,
    processes,
    restore,
    sysctl_floors,
    top,
    unit_limits,
)
from .kernel_pids import PARAMETERS, PID_MAX, THREADS_MAX, Machine
from .sysctl_floors import Floor

TRAP = "pid_limits"
AUTO = "auto"
ALLOWS: tuple[str, ...] = (kubelet_plan.CONSENT,)

OPTIONS: dict[str, dict[str, Any]] = {
    "pid_max": {"type": "int", "default": 4194304},
    "threads_max": {"type": "str", "default": AUTO},
    "max_pods": {"type": "int"},
    "pids_per_pod": {"type": "int"},
    "system_reserved_pids": {"type": "int", "default": 1024},
    "kube_reserved_pids": {"type": "int", "default": 1024},
    "exact": {"type": "bool", "default": False},
    "nproc": {"type": "bool", "default": True},
    "tasks_max": {"type": "str", "default": unit_limits.INFINITY},
}

# Threads beside those of the pods: the kernel's own, system services, logins.
RESERVE = 2048

_WHY = "every thread takes a process id; when they run out, nothing new can start on the node (incident B)"


@dataclass(frozen=True)
class Policy:
    """What is wanted. ``threads_max`` is a number or AUTO; None means: what the kubelet was told."""

    pid_max: int
    threads_max: str
    max_pods: int | None = None
    pids_per_pod: int | None = None
    system_reserved_pids: int = 1024
    kube_reserved_pids: int = 1024
    exact: bool = False
    nproc: bool = True
    tasks_max: str = unit_limits.INFINITY


@dataclass(frozen=True)
class Facts:
    """What observe saw of one node."""

    machine: Machine
    kernel: sysctl_floors.Facts
    kubelet: kubelet.Kubelet
    use: pid_use.Use
    busiest_pod: int = 0  # threads
    pods_unseen: bool = False
    logins: login_limits.Facts = field(default_factory=login_limits.Facts)
    services: unit_limits.Facts = field(default_factory=unit_limits.Facts)
    top: tuple[top.Holder, ...] = ()


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    names = processes.names(host)
    mount = pid_use.mount(host)
    services = unit_limits.observe(host, names, mount)
    agent = kubelet.observe(host, names, services.mains)
    cgroups = pid_use.pod_cgroups(agent.cgroup_root)
    running = pods.observe(host, mount, cgroups)
    return Facts(
        machine=kernel_pids.observe(host),
        kernel=sysctl_floors.observe(host, PARAMETERS, TRAP),
        kubelet=agent,
        use=pid_use.observe(host, names, cgroups),
        busiest_pod=max((pod.threads for pod in running), default=0),
        pods_unseen=agent.running and pods.are_unseen(host, mount, agent.cgroup_root),
        logins=login_limits.observe(host, mount, TRAP),
        services=services,
        top=top.observe(host, mount, running),
    )


def shown(facts: Facts, policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results: ``limits`` as Use.limits sorts them, the first of them as ``binding``.

    With a ``policy`` the kubelet's part holds what is ``wanted`` of it, for a cluster's own configuration.
    """
    limits = [{**asdict(limit), "share": round(limit.share, 4)} for limit in facts.use.limits(facts.kernel.values)]
    told = kubelet.shown(facts.kubelet)
    if policy is not None and facts.kubelet.running:
        told["wanted"] = kubelet_plan.wanted(facts.kubelet, facts.busiest_pod, _wishes(facts, policy))
    return {**asdict(facts), "kubelet": told, "limits": limits, "binding": limits[0]}


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node needs; pure, so that captured facts give the same plan anywhere."""
    refusals = tuple(_bad_options(policy))
    if refusals:
        return Plan(refusals=refusals)
    floors = sysctl_floors.plan(facts.kernel, _floors(facts, policy), TRAP, _WHY)
    raised = {change.name: int(change.after) for change in floors.changes if isinstance(change, SetSysctl)}
    floors += _around(facts, policy, {**facts.kernel.values, **raised}[PID_MAX])
    if floors.refusals:
        return Plan(refusals=floors.refusals)
    limits = facts.use.limits(facts.kernel.values)
    of_the_kubelet = kubelet_plan.plan(facts.kubelet, facts.busiest_pod, _wishes(facts, policy), TRAP)
    capacity = min({**facts.kernel.values, **raised}.values())
    of_all_pods = kubelet_capacity.plan(facts.kubelet, facts.use, of_the_kubelet.changes, capacity, TRAP)
    if of_all_pods.refusals:
        return Plan(refusals=of_all_pods.refusals)
    if facts.pods_unseen and policy.pids_per_pod != kubelet.UNLIMITED:
        of_all_pods += Plan(findings=tuple(kubelet_capacity.unseen(facts.kubelet, TRAP)))
    return (
        floors
        + Plan(findings=(*in_use.findings(limits, facts.top, raised, TRAP, _WHY), *_short_of_memory(facts, policy)))
        + of_the_kubelet
        + of_all_pods
    )


def _around(facts: Facts, policy: Policy, pid_max: int) -> Plan:
    """Raise what stands before the kernel's limits, on a node that owns its kernel; ``pid_max`` is that to come."""
    if not any(parameter.writable for parameter in facts.kernel.parameters.values()):
        return Plan()
    floor = _pid_max(facts, policy)
    promised = floor if policy.exact else max(floor, pid_max)
    logins = login_limits.plan(facts.logins, promised, TRAP) if policy.nproc else Plan()
    return logins + unit_limits.plan(facts.services, policy.tasks_max, TRAP)


going_back = restore.in_order  # none of these limits depends on another


def guard(
    facts: Facts, changes: Sequence[Change], _policy: Policy | None = None, _pending: Sequence[Change] = ()
) -> Iterator[Refusal]:
    """Refuse to go back below twice the threads that run."""
    yield from kubelet_plan.guard(facts.kubelet, facts.busiest_pod, changes, TRAP)
    now = facts.kernel.values
    then = {**now, **{change.name: int(change.after) for change in changes if isinstance(change, SetSysctl)}}
    yield from unit_limits.guard(facts.services, changes, min(now.values()), min(then.values()), TRAP)
    if any(change.target == f"file {limits_d.drop_in(TRAP)}" for change in changes):
        yield from login_limits.guard(facts.logins, TRAP)
    for change in changes:
        if isinstance(change, SetSysctl) and change.name in PARAMETERS and int(change.after) < 2 * facts.use.threads:
            yield Refusal(
                trap=TRAP,
                what=f"going back to {change.after} would be below twice the {facts.use.threads} threads that run",
                where=change.name,
                remedy=f"Stop what holds the threads, or leave this trap as it is (--skip-tags {TRAP})",
            )


def threads_floor(facts: Facts, policy: Policy) -> int:
    """Return the floor of kernel.threads-max; "auto" by the formula at the top of this file."""
    if policy.threads_max != AUTO:
        return int(policy.threads_max)
    return min(_threads_for_pods(facts, policy), kernel_pids.threads_that_fit(facts.machine))


def _floors(facts: Facts, policy: Policy) -> list[Floor]:
    def floor(name: str, value: int, exact: bool) -> Floor:
        return Floor(
            name=name,
            value=value,
            variable=f"{TRAP}_{name.partition('.')[2].replace('-', '_')}",
            bounds=kernel_pids.bounds(facts.machine, name),
            default=kernel_pids.default(facts.machine, name),
            exact=exact,
            least=2 * facts.use.threads,
            severity="high"
            if facts.use.threads >= in_use.USE_MEDIUM * facts.kernel.parameters[name].value
            else "medium",
        )

    return [
        floor(PID_MAX, _pid_max(facts, policy), policy.exact),
        floor(THREADS_MAX, threads_floor(facts, policy), policy.exact and policy.threads_max != AUTO),
    ]


def _pid_max(facts: Facts, policy: Policy) -> int:
    """Return the floor of kernel.pid_max; the default is more than 32-bit kernels allow, and nobody asked for it."""
    if policy.pid_max != OPTIONS["pid_max"]["default"]:
        return policy.pid_max
    return min(policy.pid_max, kernel_pids.bounds(facts.machine, PID_MAX)[1])


def _threads_for_pods(facts: Facts, policy: Policy) -> int:
    max_pods = facts.kubelet.max_pods if policy.max_pods is None else policy.max_pods
    return max_pods * (_pids_per_pod(facts, policy) or kubelet_plan.LEAST_CAP) + RESERVE


def _wishes(facts: Facts, policy: Policy) -> kubelet_plan.Wishes:
    """Return what is wanted of the kubelet: no cap where there is none, and it cannot be told what pods have."""
    untold = facts.pods_unseen and facts.kubelet.pod_pids_limit < 1
    floors = {key: getattr(policy, option) for key, option in kubelet_obstacles.FLOOR_OPTIONS.items()}
    return kubelet_plan.Wishes(kubelet.UNLIMITED if untold else policy.pids_per_pod, floors)


def _pids_per_pod(facts: Facts, policy: Policy) -> int | None:
    """Return the cap as given, else as the kubelet has it or will have it; None for no cap."""
    if policy.pids_per_pod is not None:
        return policy.pids_per_pod if policy.pids_per_pod >= 1 else None
    return kubelet_plan.wanted(facts.kubelet, facts.busiest_pod, _wishes(facts, policy))[kubelet.POD_LIMIT]


def _bad_options(policy: Policy) -> Iterator[Refusal]:
    pods, per_pod = policy.max_pods, policy.pids_per_pod
    checks = (
        ("threads_max", policy.threads_max, _is_number(policy.threads_max), 'a whole number or "auto"'),
        ("tasks_max", policy.tasks_max, bool(unit_limits.number(policy.tasks_max)), '1 or more, or "infinity"'),
        ("max_pods", pods, pods is None or pods >= 1, "1 or more"),
        ("pids_per_pod", per_pod, per_pod in (None, kubelet.UNLIMITED) or per_pod >= 1, "1 or more, or -1"),
        ("system_reserved_pids", policy.system_reserved_pids, policy.system_reserved_pids >= 0, "0 or more"),
        ("kube_reserved_pids", policy.kube_reserved_pids, policy.kube_reserved_pids >= 0, "0 or more"),
    )
    for option, value, good, wanted in checks:
        if not good:
            yield Refusal(
                trap=TRAP,
                what=f"{value!r} is no value for it",
                where=f"{TRAP}_{option}",
                remedy=f"Give {wanted}, or leave it out",
            )


def _is_number(text: str) -> bool:
    return text == AUTO or re.fullmatch(r"[0-9]{1,18}", text) is not None


# --- what a person should know ----------------------------------------------------------------------


def _short_of_memory(facts: Facts, policy: Policy) -> Iterator[Finding]:
    """Find a number that somebody gave, here or to the kubelet; one that we assumed is not worth a word."""
    fit = kernel_pids.threads_that_fit(facts.machine)
    if policy.threads_max != AUTO:
        wanted, remedy = (
            int(policy.threads_max),
            f"Set {TRAP}_threads_max to {fit} or less, or give the node more memory",
        )
    elif policy.pids_per_pod is not None or facts.kubelet.pod_pids_limit >= 1:
        wanted = _threads_for_pods(facts, policy)
        remedy = "Run fewer pods on the node (kubelet maxPods) or limit them lower (podPidsLimit)"
    else:
        return
    if wanted > fit:
        yield Finding(
            id=f"{TRAP}.memory",
            severity="low",
            where=THREADS_MAX,
            observed=f"memory for about {fit} threads",
            wanted=f"{wanted}",
            why="that many threads would take more than half of the memory before they do anything",
            remedy=remedy,
        )
