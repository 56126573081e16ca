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

from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from .._core import sysctl_d
from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import MANAGED_BY, Change, Reason, SetSysctl, WriteFile, sysctl_path
from . import kernel_pids, kubelet, pid_use, processes
from .kernel_pids import PARAMETERS, PID_MAX, THREADS_MAX, Machine

TRAP = "pid_limits"
AUTO = "auto"

OPTIONS: Dict[str, Dict[str, Any]] = {
    "pid_max": {"type": "int", "default": 4194304},
    "threads_max": {"type": "str", "default": AUTO},
    "max_pods": {"type": "int"},
    "pids_per_pod": {"type": "int"},
    "exact": {"type": "bool", "default": False},
}

RESERVE = 2048
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
    max_pods: Optional[int] = None
    pids_per_pod: Optional[int] = None
    exact: bool = False

    def is_exact(self, parameter: str) -> bool:
        return self.exact and not (parameter == THREADS_MAX and self.threads_max == AUTO)


@dataclass(frozen=True)
class Parameter:
    """A kernel parameter as /proc/sys has it."""

    value: int
    writable: bool


@dataclass(frozen=True)
class Facts:
    """What observe saw of one node.

    ``parameters`` by name. ``assignments`` are the lines for them in all sysctl.d files but ours, in
    reading order, ``sysctl_conf`` those in /etc/sysctl.conf; ``garbled`` are lines no one can read.
    ``drop_in`` is the text of our own file, ``drop_in_link`` where it points if it is a link.
    """

    parameters: Mapping[str, Parameter]
    machine: Machine
    kubelet: kubelet.Kubelet
    use: pid_use.Use
    assignments: Tuple[sysctl_d.Assignment, ...] = ()
    garbled: Tuple[sysctl_d.Garbled, ...] = ()
    sysctl_conf: Tuple[sysctl_d.Assignment, ...] = ()
    drop_in: Optional[str] = None
    drop_in_link: Optional[str] = None

    def at_boot(self, parameter: str) -> int:
        """Return what the parameter would be after a boot without our drop-in."""
        last = sysctl_d.winner(self.assignments, parameter)
        return int(last.value) if last else kernel_pids.default(self.machine, parameter)


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    names = processes.names(host)
    assignments, garbled = sysctl_d.observe(host, PARAMETERS)
    conf, _not_read_at_boot = sysctl_d.numbers(host, sysctl_d.PROCPS_FILE, PARAMETERS)
    return Facts(
        parameters={name: _parameter(host, name) for name in PARAMETERS},
        machine=Machine(
            name=host.machine(),
            possible_cpus=_count(host.read_text("/sys/devices/system/cpu/possible") or "0"),
            memory=_memory(host.read_text("/proc/meminfo") or ""),
            page_size=host.page_size(),
        ),
        kubelet=kubelet.observe(host, names),
        use=pid_use.observe(host, names),
        assignments=tuple(assignments),
        garbled=tuple(garbled),
        sysctl_conf=tuple(conf),
        drop_in=host.read_text(sysctl_d.DROP_IN),
        drop_in_link=host.link_target(sysctl_d.DROP_IN),
    )


def _parameter(host: Host, name: str) -> Parameter:
    path = sysctl_path(name)
    return Parameter(value=int(host.read_text(path) or "0"), writable=host.is_writable(path))


def _count(ranges: str) -> int:
    """Count '0-3,8' as 5."""
    bounds = (part.split("-") for part in ranges.strip().split(","))
    return sum(int(bound[-1]) - int(bound[0]) + 1 for bound in bounds)


def _memory(meminfo: str) -> int:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def shown(facts: Facts) -> Dict[str, Any]:
    """Shape the facts for results; ``limits`` begins with the one that would refuse a thread first."""
    values = {name: parameter.value for name, parameter in facts.parameters.items()}
    limits = [{**asdict(limit), "share": round(limit.share, 4)} for limit in facts.use.limits(values)]
    return {**asdict(facts), "limits": limits}


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node needs; pure, so that captured facts give the same plan anywhere."""
    refusals = tuple(_refusals(facts, policy))
    if refusals:
        return Plan(refusals=refusals)
    floors = {PID_MAX: policy.pid_max, THREADS_MAX: threads_floor(facts, policy)}
    floors = {name: floor for name, floor in floors.items() if facts.parameters[name].writable}
    targets = {name: _target(facts, policy, name, floor) for name, floor in floors.items()}
    return Plan(
        changes=(*_changes_now(facts, targets), *_changes_at_boot(facts, policy, floors, targets)),
        findings=(
            *_read_only(facts),
            *_overridden(facts, policy, targets),
            *_nearly_used_up(facts, targets),
            *_unlimited_pods(facts),
            *_short_of_memory(facts, policy),
        ),
    )


def threads_floor(facts: Facts, policy: Policy) -> int:
    """Return the floor of kernel.threads-max; "auto" by the formula at the top of this file."""
    if policy.threads_max != AUTO:
        return int(policy.threads_max)
    return min(_threads_for_pods(facts, policy), kernel_pids.threads_that_fit(facts.machine))


def _threads_for_pods(facts: Facts, policy: Policy) -> int:
    max_pods = facts.kubelet.max_pods if policy.max_pods is None else policy.max_pods
    pids_per_pod = _pids_per_pod(facts, policy)
    return max_pods * (PIDS_PER_POD_ASSUMED if pids_per_pod < 1 else pids_per_pod) + RESERVE


def _pids_per_pod(facts: Facts, policy: Policy) -> int:
    return facts.kubelet.pod_pids_limit if policy.pids_per_pod is None else policy.pids_per_pod


def _target(facts: Facts, policy: Policy, name: str, floor: int) -> int:
    """Return the value that is right now and after a boot: the floor, or what is higher already."""
    if policy.is_exact(name):
        return floor
    set_by_others = sysctl_d.winner(facts.assignments, name)
    return max(floor, facts.parameters[name].value, int(set_by_others.value) if set_by_others else 0)


def _changes_now(facts: Facts, targets: Mapping[str, int]) -> Iterator[Change]:
    for name, target in targets.items():
        value = facts.parameters[name].value
        if value != target:
            severity = "high" if facts.use.threads / max(value, 1) >= USE_MEDIUM else "medium"
            yield SetSysctl(name, str(value), str(target), Reason(TRAP, _WHY, severity))


def _changes_at_boot(
    facts: Facts, policy: Policy, floors: Mapping[str, int], targets: Mapping[str, int]
) -> Iterator[Change]:
    """Own a drop-in for what a boot would otherwise undo; a line stays in it once it is there."""
    text = facts.drop_in or ""
    kept = {a.name for a in sysctl_d.parse(text, sysctl_d.DROP_IN)[0]}
    needed = {n: t for n, t in targets.items() if n in kept or _undone(facts, policy, n, floors[n])}
    wanted = sysctl_d.render(needed, MANAGED_BY)
    if needed and wanted != text:
        why = "the next boot would otherwise set a value below the floor"
        yield WriteFile(sysctl_d.DROP_IN, facts.drop_in, wanted, Reason(TRAP, why))


def _undone(facts: Facts, policy: Policy, name: str, wanted: int) -> bool:
    at_boot = facts.at_boot(name)
    return at_boot != wanted if policy.is_exact(name) else at_boot < wanted


# --- what stops us ----------------------------------------------------------------------------------


def _refusals(facts: Facts, policy: Policy) -> Iterator[Refusal]:
    yield from _bad_numbers(policy)
    if policy.threads_max == AUTO or policy.threads_max.isdecimal():
        yield from _out_of_bounds(facts, policy)
    for line in facts.garbled:
        yield Refusal(
            trap=TRAP,
            what=f"line {line.line} is no assignment ({line.text!r}), so what the next boot sets cannot be told",
            where=line.path,
            remedy="Mend or remove that line (sysctl.d(5): name = value), then run again",
        )
    if facts.drop_in_link is not None:
        yield Refusal(
            trap=TRAP,
            what=f"is a link to {facts.drop_in_link}: someone has masked or moved our drop-in",
            where=sysctl_d.DROP_IN,
            remedy="Remove the link, or leave this trap out with --skip-tags pid_limits",
        )


def _bad_numbers(policy: Policy) -> Iterator[Refusal]:
    if policy.threads_max != AUTO and not policy.threads_max.isdecimal():
        yield _bad_option("threads_max", policy.threads_max, 'Give a whole number or "auto"')
    if policy.max_pods is not None and policy.max_pods < 1:
        yield _bad_option("max_pods", policy.max_pods, "Give 1 or more, or leave it out")
    if policy.pids_per_pod is not None and policy.pids_per_pod < 1 and policy.pids_per_pod != kubelet.UNLIMITED:
        yield _bad_option("pids_per_pod", policy.pids_per_pod, "Give 1 or more, -1 for unlimited pods, or leave it out")


def _bad_option(option: str, value: object, remedy: str) -> Refusal:
    return Refusal(TRAP, what=f"{value!r} is not possible here", where=f"{TRAP}.{option}", remedy=remedy)


def _out_of_bounds(facts: Facts, policy: Policy) -> Iterator[Refusal]:
    wanted = {PID_MAX: policy.pid_max, THREADS_MAX: threads_floor(facts, policy)}
    for name, value in wanted.items():
        smallest, largest = kernel_pids.bounds(facts.machine, name)
        if not smallest <= value <= largest:
            yield Refusal(
                trap=TRAP,
                what=f"{value} is outside of what this kernel accepts ({smallest} to {largest})",
                where=name,
                remedy=f"Set {TRAP}_{_option(name)} to a number from {smallest} to {largest}",
            )
        elif policy.is_exact(name) and value < min(2 * facts.use.threads, facts.parameters[name].value):
            yield Refusal(
                trap=TRAP,
                what=f"exactly {value} is below twice the {facts.use.threads} threads that run now",
                where=name,
                remedy=f"Set {TRAP}_{_option(name)} to {2 * facts.use.threads} or more, or leave out {TRAP}_exact",
            )


def _option(parameter: str) -> str:
    return "pid_max" if parameter == PID_MAX else "threads_max"


# --- what a person should know ----------------------------------------------------------------------


def _read_only(facts: Facts) -> Iterator[Finding]:
    for name, parameter in facts.parameters.items():
        if not parameter.writable:
            yield Finding(
                id=f"{TRAP}.read_only",
                severity="info",
                where=name,
                observed=f"{parameter.value}, and {sysctl_path(name)} cannot be written here",
                wanted="a node that owns its kernel",
                why="in a container the kernel is the host's; nothing was done about this parameter",
                remedy="Run the trap on the machine that owns the kernel",
            )


def _overridden(facts: Facts, policy: Policy, targets: Mapping[str, int]) -> Iterator[Finding]:
    """Find what is read after our drop-in, at boot or when somebody runs ``sysctl --system``."""
    ours = sysctl_d.DROP_IN.rpartition("/")[2]
    for name, target in targets.items():
        at_boot = sysctl_d.winner([a for a in facts.assignments if a.path.rpartition("/")[2] > ours], name)
        by_procps = sysctl_d.winner(facts.sysctl_conf, name)
        for line, severity, when in ((at_boot, "high", "at boot"), (by_procps, "low", "by 'sysctl --system'")):
            if line and (int(line.value) < target or policy.is_exact(name) and int(line.value) != target):
                yield Finding(
                    id=f"{TRAP}.overridden",
                    severity=severity,
                    where=f"{line.path} line {line.line}",
                    observed=f"{name} = {line.value}",
                    wanted=str(target),
                    why=f"this file is read after {sysctl_d.DROP_IN} {when}, so its value wins then",
                    remedy=f"Remove the line, or ask who writes it for {target}",
                )


def _nearly_used_up(facts: Facts, targets: Mapping[str, int]) -> Iterator[Finding]:
    values = {name: targets.get(name, parameter.value) for name, parameter in facts.parameters.items()}
    for limit in facts.use.limits(values):
        if limit.share >= USE_MEDIUM:
            yield Finding(
                id=f"{TRAP}.in_use",
                severity="high" if limit.share >= USE_HIGH else "medium",
                where=limit.name,
                observed=f"{limit.used} of {limit.limit} threads ({limit.share:.0%})",
                wanted=f"below {USE_MEDIUM:.0%}",
                why=_WHY,
                remedy="Find what holds the threads (ps -eLo pid,comm | sort | uniq -c | sort -n | tail) and stop the leak",
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
    if policy.threads_max == AUTO and _pids_per_pod(facts, policy) < 1:
        return
    wanted = _threads_for_pods(facts, policy) if policy.threads_max == AUTO else int(policy.threads_max)
    fit = kernel_pids.threads_that_fit(facts.machine)
    if wanted > fit:
        yield Finding(
            id=f"{TRAP}.memory",
            severity="low",
            where=THREADS_MAX,
            observed=f"memory for about {fit} threads",
            wanted=f"{wanted}",
            why="that many threads would take more than half of the memory before they do anything",
            remedy="Run fewer pods on the node (kubelet maxPods) or limit them lower (podPidsLimit)",
        )
