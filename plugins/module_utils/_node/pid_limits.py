# Private to the collection nodeward.calico: may change in any release.
"""Trap pid_limits: the node runs out of process ids while its per-user limits look generous (incident B).

Every thread takes a process id. kernel.pid_max and kernel.threads-max are floors here: raised to at least
the policy, never lowered unless ``exact``.

threads_max "auto" is max_pods x pids_per_pod + RESERVE, at most what memory can carry
(``kernel_pids.threads_that_fit``), and never below the present value. KubeMarine computes kernel.pid_max
from the same product and reserve (kubemarine/sysctl.py: maxPods x podPidsLimit + 2048). Where the kubelet
puts no limit on a pod, no number of threads is enough; PIDS_PER_POD_ASSUMED then stands in for the limit
that is missing, and a finding says that it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import SetSysctl
from . import kernel_pids, kubelet, pid_use, processes, sysctl_floors
from .kernel_pids import PARAMETERS, PID_MAX, THREADS_MAX, Machine
from .sysctl_floors import Floor

TRAP = "pid_limits"
AUTO = "auto"

OPTIONS: dict[str, dict[str, Any]] = {
    "pid_max": {"type": "int", "default": 4194304},
    "threads_max": {"type": "str", "default": AUTO},
    "max_pods": {"type": "int"},
    "pids_per_pod": {"type": "int"},
    "exact": {"type": "bool", "default": False},
}

# Threads beside those of the pods: the kernel's own, system services, logins.
RESERVE = 2048

# What the kubelet guides of KubeMarine and kubespray set where they set a limit.
PIDS_PER_POD_ASSUMED = 4096

# Shares of a limit in use from which on they are worth a word.
USE_MEDIUM = 0.5
USE_HIGH = 0.8

_WHY = "every thread takes a process id; when they run out, nothing new can start on the node (incident B)"


@dataclass(frozen=True)
class Policy:
    """What is wanted. ``threads_max`` is a number or AUTO; None means: what the kubelet was told."""

    pid_max: int
    threads_max: str
    max_pods: int | None = None
    pids_per_pod: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Facts:
    """What observe saw of one node."""

    machine: Machine
    kernel: sysctl_floors.Facts
    kubelet: kubelet.Kubelet
    use: pid_use.Use


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    names = processes.names(host)
    return Facts(
        machine=Machine(
            name=host.machine(),
            possible_cpus=_count(host.read_text("/sys/devices/system/cpu/possible") or "0"),
            memory=_memory(host.read_text("/proc/meminfo") or ""),
            page_size=host.page_size(),
        ),
        kernel=sysctl_floors.observe(host, PARAMETERS, TRAP),
        kubelet=kubelet.observe(host, names),
        use=pid_use.observe(host, names),
    )


def _count(ranges: str) -> int:
    """Count '0-3,8' as 5."""
    bounds = (part.split("-") for part in ranges.strip().split(","))
    return sum(int(bound[-1]) - int(bound[0]) + 1 for bound in bounds)


def _memory(meminfo: str) -> int:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def shown(facts: Facts) -> dict[str, Any]:
    """Shape the facts for results: ``limits`` as Use.limits sorts them, the first of them as ``binding``."""
    limits = [{**asdict(limit), "share": round(limit.share, 4)} for limit in facts.use.limits(facts.kernel.values)]
    return {**asdict(facts), "limits": limits, "binding": limits[0]}


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node needs; pure, so that captured facts give the same plan anywhere."""
    refusals = tuple(_bad_options(policy))
    if refusals:
        return Plan(refusals=refusals)
    floors = sysctl_floors.plan(facts.kernel, _floors(facts, policy), TRAP, _WHY)
    raised = {change.name: int(change.after) for change in floors.changes if isinstance(change, SetSysctl)}
    return floors + Plan(
        findings=(*_nearly_used_up(facts, raised), *_unlimited_pods(facts), *_short_of_memory(facts, policy))
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
            severity="high" if facts.use.threads >= USE_MEDIUM * facts.kernel.parameters[name].value else "medium",
        )

    return [
        floor(PID_MAX, policy.pid_max, policy.exact),
        floor(THREADS_MAX, threads_floor(facts, policy), policy.exact and policy.threads_max != AUTO),
    ]


def _threads_for_pods(facts: Facts, policy: Policy) -> int:
    max_pods = facts.kubelet.max_pods if policy.max_pods is None else policy.max_pods
    pids_per_pod = _pids_per_pod(facts, policy)
    return max_pods * (PIDS_PER_POD_ASSUMED if pids_per_pod < 1 else pids_per_pod) + RESERVE


def _pids_per_pod(facts: Facts, policy: Policy) -> int:
    return facts.kubelet.pod_pids_limit if policy.pids_per_pod is None else policy.pids_per_pod


def _bad_options(policy: Policy) -> Iterator[Refusal]:
    pods, per_pod = policy.max_pods, policy.pids_per_pod
    checks = (
        ("threads_max", policy.threads_max, _is_number(policy.threads_max), 'a whole number or "auto"'),
        ("max_pods", pods, pods is None or pods >= 1, "1 or more"),
        ("pids_per_pod", per_pod, per_pod in (None, kubelet.UNLIMITED) or per_pod >= 1, "1 or more, or -1"),
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


def _nearly_used_up(facts: Facts, raised: Mapping[str, int]) -> Iterator[Finding]:
    """Find limits that are nearly hit; ``raised`` are the new values of those that this plan raises."""
    for limit in facts.use.limits(facts.kernel.values):
        if limit.share >= USE_MEDIUM:
            yield Finding(
                id=f"{TRAP}.in_use",
                severity="high" if limit.share >= USE_HIGH else "medium",
                where=limit.name,
                observed=f"{limit.used} of {limit.limit} threads ({limit.share:.0%})",
                wanted=f"below {USE_MEDIUM:.0%}",
                why=_WHY,
                remedy="See what holds the threads (ps -eLo pid,comm | sort | uniq -c | sort -n) and stop it",
                mended=limit.used < USE_MEDIUM * raised.get(limit.name, limit.limit),
            )


def _unlimited_pods(facts: Facts) -> Iterator[Finding]:
    if facts.kubelet.running and facts.kubelet.pod_pids_limit < 1:
        yield Finding(
            id=f"{TRAP}.unlimited_pods",
            severity="medium",
            where="kubelet podPidsLimit",
            observed="no limit",
            wanted=f"a limit, {PIDS_PER_POD_ASSUMED} for example",
            why="one leaking container can take every process id of the node (incident B)",
            remedy="Set podPidsLimit in the kubelet's configuration",
        )


def _short_of_memory(facts: Facts, policy: Policy) -> Iterator[Finding]:
    """Find a number that somebody gave, here or to the kubelet; one that we assumed is not worth a word."""
    fit = kernel_pids.threads_that_fit(facts.machine)
    if policy.threads_max != AUTO:
        wanted, remedy = (
            int(policy.threads_max),
            f"Set {TRAP}_threads_max to {fit} or less, or give the node more memory",
        )
    elif _pids_per_pod(facts, policy) >= 1:
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
