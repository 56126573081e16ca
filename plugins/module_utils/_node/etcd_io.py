# Private to the collection nodeward.calico: may change in any release.
"""The I/O priority of etcd: best-effort, level 0, for every thread, now and after every start.

Where systemd starts etcd a drop-in gives it at the start. Where a container runtime does, a timer of ours sets every
thread once a minute: the runtime has no such setting, and the image no ionice.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core import io_priority
from .._core.host import Host
from .._core.plan import Finding, Plan
from .._core.verbs import MANAGED_BY, Change, Reason, ReloadUnit, SetIoPriority, StartUnit, WriteFile
from .._etcd.seen import Seen
from . import timers
from .timers import UNITS

# Schedulers that look at the level of a priority (kernel Documentation/block/ioprio.rst; mq-deadline knows classes).
HONEST = ("bfq", "cfq")

SCRIPT = "/usr/local/lib/nodeward/etcd_io_priority.py"
SERVICE, TIMER = "nodeward-etcd-io.service", "nodeward-etcd-io.timer"
WANTS, _WANTS = timers.wants(TIMER, "etcd_timing")

_WHY = "what else writes to etcd's disk makes its fsync, and with it the heartbeats, wait (incident A1)"

_DROP_IN = f"# {MANAGED_BY}.\n[Service]\nIOSchedulingClass=best-effort\nIOSchedulingPriority=0\n"
_TIMER_FILES = {
    f"{UNITS}/{SERVICE}": f"""\
# {MANAGED_BY}.
[Unit]
Description=Give every thread of etcd its I/O priority
[Service]
Type=oneshot
ExecStart={{python}} {SCRIPT}
""",
    f"{UNITS}/{TIMER}": f"""\
# {MANAGED_BY}.
[Unit]
Description=Give every thread of etcd its I/O priority, once a minute
[Timer]
OnActiveSec=0
OnUnitActiveSec=60
""",
    WANTS: _WANTS,
}


@dataclass(frozen=True)
class Facts:
    """The texts of our files, by path; whether our timer is active, and the interpreter of its program."""

    texts: Mapping[str, str | None] = field(default_factory=dict)
    is_waiting: bool = False
    python: str = "/usr/bin/python3"


def observe(host: Host, members: Sequence[Seen]) -> Facts:
    """Read our own files."""
    paths = [_drop_in(each.site.unit) for each in members if _by_unit(each)]
    if any(_by_timer(each) for each in members):
        paths += [SCRIPT, *_TIMER_FILES]
    texts = {path: host.read_text(path) for path in paths}
    is_waiting = texts.get(SCRIPT) is not None and timers.is_waiting(host, TIMER)
    return Facts(texts, is_waiting, host.interpreter())


def plan(facts: Facts, members: Sequence[Seen], trap: str) -> Plan:
    """Decide which files are missing, and whether what runs has its priority; pure."""
    changes: list[Change] = []
    for each in members:
        if _by_unit(each):
            changes += _with_drop_in(facts, each, trap)
    timed = [each for each in members if _by_timer(each)]
    if timed:
        changes += _with_timer(facts, timed, trap)
    return Plan(tuple(changes), tuple(finding for each in members for finding in _deaf(each, trap)))


def _drop_in(unit: str) -> str:
    return f"{UNITS}/{unit}.d/99-zz-nodeward-etcd_timing.conf"


def _by_unit(each: Seen) -> bool:
    return each.site.flavour.is_ours and each.site.flavour.priority_by_unit and bool(each.site.unit)


def _by_timer(each: Seen) -> bool:
    """Tell whether a container runtime starts it on this node; k3s is far more than etcd and is left alone."""
    return each.site.flavour.is_ours and not each.site.flavour.priority_by_unit and each.site.flavour.name != "k3s"


def _with_drop_in(facts: Facts, each: Seen, trap: str) -> Iterator[Change]:
    path = _drop_in(each.site.unit)
    if facts.texts.get(path) != _DROP_IN:
        yield WriteFile(path, facts.texts.get(path), _DROP_IN, Reason(trap, _WHY, "low"))
        yield ReloadUnit(each.site.unit, Reason(trap, "systemd gives it to etcd at its next start", "low"))
    if _lacks(each):
        yield SetIoPriority(path, Reason(trap, _WHY, "low"))


def _with_timer(facts: Facts, timed: Sequence[Seen], trap: str) -> Iterator[Change]:
    units = {path: text.format(python=facts.python) for path, text in _TIMER_FILES.items()}
    files = {SCRIPT: f"# {MANAGED_BY}.\n{inspect.getsource(io_priority)}", **units}
    start = StartUnit(TIMER, Reason(trap, "it sets every thread of etcd once a minute", "low"))
    yield from timers.installed(files, facts.texts, facts.is_waiting, start, Reason(trap, _WHY, "low"))
    if any(_lacks(each) for each in timed):
        yield SetIoPriority(SCRIPT, Reason(trap, _WHY, "low"))


def _lacks(each: Seen) -> bool:
    return any(value != io_priority.HIGHEST for value in each.priorities)


def _deaf(each: Seen, trap: str) -> Iterator[Finding]:
    if each.scheduler and each.scheduler not in HONEST:
        yield Finding(
            id=f"{trap}.scheduler",
            severity="info",
            where=f"etcd member {each.name}",
            observed=f"the disk's I/O scheduler is {each.scheduler}",
            wanted=" or ".join(HONEST),
            why="it looks at no level of a priority, so best-effort 0 changes nothing there",
            remedy="Give etcd a disk of its own, or set that scheduler (/sys/block/DISK/queue/scheduler)",
        )
