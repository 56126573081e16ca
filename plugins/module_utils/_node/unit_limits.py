# Private to the collection nodeward.calico: may change in any release.
"""TasksMax of the units that carry pods: a floor under what systemd lets the kubelet and the runtime start.

containerd, docker and CRI-O ship TasksMax=infinity in their units, the kubelet's packages say nothing: systemd
then gives 15 % of what the node had when it was asked (systemd-system.conf(5) DefaultTasksMax=). systemd
writes a changed TasksMax into the cgroup of the running unit when it is told to read its files anew (seen
with systemd 252 on cgroup v2: the same process before and after).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import MANAGED_BY, Change, Reason, ReloadUnit, WriteFile
from . import pods, processes
from .pid_use import POD_SERVICES

INFINITY = "infinity"
UNLIMITED = 2**64 - 1  # CGROUP_LIMIT_MAX, which some versions of systemd print

_UNIT = re.compile(r"/(?!user\.slice/)(?:.*?/)?([A-Za-z0-9:_.\\@-]+\.service)(?:/|$)")
_TASKS_MAX = re.compile(r"TasksMax\s*=\s*(.*?)\s*")

_WHY = "a kubelet or runtime that may start no more threads fails as the node does in incident B"


@dataclass(frozen=True)
class Setting:
    """TasksMax as one file has it; '' takes back what was said before."""

    path: str
    value: str


@dataclass(frozen=True)
class Unit:
    """One unit that runs, as systemd has it; ``settings`` are those of all its files but ours, in reading order.

    ``used`` are its threads, None where its cgroup is not seen, and ``main`` is its main process, 0 for none.
    """

    name: str
    tasks_max: int
    settings: tuple[Setting, ...] = ()
    used: int | None = None
    drop_in: str | None = None
    drop_in_link: str | None = None
    main: int = 0

    @property
    def own(self) -> str:
        return f"/etc/systemd/system/{self.name}.d/99-zz-nodeward-pid_limits.conf"


@dataclass(frozen=True)
class Facts:
    """``unseen`` says why the units could not be looked at. ``default`` is systemd's DefaultTasksMax."""

    units: tuple[Unit, ...] = ()
    default: int = UNLIMITED
    unseen: str = ""

    @property
    def mains(self) -> dict[str, int]:
        """The main process of each unit, as it was asked anyway."""
        return {unit.name: unit.main for unit in self.units}


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host, names: Mapping[int, str], mount: str) -> Facts:
    """Ask systemd for the units of the processes ``names`` that carry pods. Reads only.

    On a node without free process ids no program can be started: then the rest of the trap must go on.
    """
    paths = _paths(host, names)
    if not paths:
        return Facts()
    try:
        shown = _shown(host, "Id,MainPID,TasksMax,FragmentPath,DropInPaths", *paths)
        units = tuple(_unit(host, mount, unit, paths) for unit in shown if unit.get("Id") in paths)
        drop_ins = any(unit.drop_in is not None for unit in units)
        default = _shown(host, "DefaultTasksMax")[0] if drop_ins else {}  # what restore goes back to
        return Facts(units, number(default.get("DefaultTasksMax", INFINITY)) or UNLIMITED)
    except NodewardError as error:
        return Facts(unseen=error.what)


def _paths(host: Host, names: Mapping[int, str]) -> dict[str, str]:
    """Return the cgroups of the units that carry pods, by unit."""
    found: dict[str, str] = {}
    for pid in processes.of_root(host, names, POD_SERVICES):
        # systemd's own tree tells the unit, also where it may not use the controllers (a container on cgroup v1)
        lines = (host.read_text(f"/proc/{pid}/cgroup") or "").splitlines()
        for line in sorted(lines, key=lambda line: ":name=systemd:" not in line):
            path = line.split(":", 2)[-1]
            unit = _UNIT.match(path)
            if unit:
                found[unit.group(1)] = path[: unit.end(1)]
                break
    return dict(sorted(found.items()))


def _shown(host: Host, properties: str, *units: str) -> list[dict[str, str]]:
    """Return what ``systemctl show`` prints, one dictionary for each unit."""
    blocks = host.run(["systemctl", "show", f"--property={properties}", *units]).strip().split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def _unit(host: Host, mount: str, shown: Mapping[str, str], paths: Mapping[str, str]) -> Unit:
    # a value that cannot be read is no limit that we know of
    unit = Unit(shown["Id"], number(shown.get("TasksMax", "")) or UNLIMITED)
    files = [shown.get("FragmentPath", ""), *shown.get("DropInPaths", "").split()]
    return replace(
        unit,
        settings=tuple(s for path in files if path not in ("", unit.own) for s in _settings(host, path)),
        used=pods.threads(host, mount, paths[unit.name]),
        drop_in=host.read_text(unit.own),
        drop_in_link=host.link_target(unit.own),
        main=int(shown.get("MainPID") or 0),
    )


def _settings(host: Host, path: str) -> Iterator[Setting]:
    for line in (host.read_text(path) or "").splitlines():
        found = _TASKS_MAX.fullmatch(line.strip())
        if found:
            yield Setting(path, found.group(1))


def number(text: str) -> int | None:
    """Read a number of tasks; None for anything else."""
    if text == INFINITY:
        return UNLIMITED
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text) else None


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, tasks_max: str, trap: str) -> Plan:
    """Decide which units need a drop-in, or only have to take up the one that is there; pure."""
    tasks_max = _as_shown(tasks_max)
    low = [unit for unit in facts.units if unit.tasks_max < (number(tasks_max) or 0)]
    ours = [unit for unit in low if not _behind_ours(unit, tasks_max)]
    refusals = tuple(_masked(ours, trap))
    if refusals:
        return Plan(refusals=refusals)
    return Plan(
        changes=tuple(change for unit in ours for change in _raised(unit, tasks_max, trap)),
        findings=(*_unseen(facts, trap), *_overridden(low, tasks_max, trap)),
    )


def _as_shown(tasks_max: str) -> str:
    """Write a number as systemctl shows it, or verification would not know it again."""
    wanted = number(tasks_max)
    return tasks_max if wanted is None else INFINITY if wanted >= UNLIMITED else str(wanted)


def render(tasks_max: str) -> str:
    """Write our drop-in."""
    return f"# {MANAGED_BY}.\n[Service]\nTasksMax={tasks_max}\n"


def guard(facts: Facts, changes: Sequence[Change], system: int, system_then: int, trap: str) -> Iterator[Refusal]:
    """Refuse to take a drop-in away where its unit has more than half of what is left then.

    ``system`` are the threads that the whole node may have now, ``system_then`` after the restore: what
    systemd gives in per cent follows them.
    """
    default = min(facts.default, facts.default * system_then // max(system, 1))
    for unit in facts.units:
        left = _without_ours(unit, default, system_then)
        if any(change.target == f"file {unit.own}" for change in changes) and left < 2 * (unit.used or 0):
            yield Refusal(
                trap=trap,
                what=f"without it {unit.name} may have {left} threads, below twice the {unit.used} that it has",
                where=unit.own,
                remedy=f"Set TasksMax= in the unit's own file, or leave this trap as it is (--skip-tags {trap})",
            )


def _raised(unit: Unit, tasks_max: str, trap: str) -> Iterator[Change]:
    text = render(tasks_max)
    if unit.drop_in != text:
        yield WriteFile(unit.own, unit.drop_in, text, Reason(trap, _WHY))
    # also alone: a run that was killed wrote the file and did not get here
    yield ReloadUnit(
        unit.name, Reason(trap, "systemd gives the running unit its limit then"), (f"TasksMax={tasks_max}",)
    )


def _without_ours(unit: Unit, default: int, system: int) -> int:
    result = default
    for setting in unit.settings:
        share = re.fullmatch(r"([0-9]{1,3})(?:\.[0-9]+)?%", setting.value)
        given = int(share.group(1)) * system // 100 if share else number(setting.value)
        result = default if not setting.value else result if given is None else given
    return result


def _behind_ours(unit: Unit, tasks_max: str) -> Setting | None:
    """Return what is read after our drop-in and sets less: systemd sorts them by name (systemd.unit(5))."""
    later = [s for s in unit.settings if s.path.endswith(".conf") and _name(s.path) > _name(unit.own)]
    return later[-1] if later and number(later[-1].value) != number(tasks_max) else None


def _name(path: str) -> str:
    return posixpath.basename(path)


def _masked(units: Iterable[Unit], trap: str) -> Iterator[Refusal]:
    for unit in units:
        if unit.drop_in_link is not None:
            yield Refusal(
                trap=trap,
                what=f"is a link to {unit.drop_in_link}: someone has masked or moved our drop-in",
                where=unit.own,
                remedy=f"Remove the link, or leave this trap out (--skip-tags {trap})",
            )


def _overridden(units: Iterable[Unit], tasks_max: str, trap: str) -> Iterator[Finding]:
    for unit in units:
        setting = _behind_ours(unit, tasks_max)
        if setting:
            yield Finding(
                id=f"{trap}.overridden",
                severity="high",
                where=setting.path,
                observed=f"TasksMax={setting.value}",
                wanted=f"TasksMax={tasks_max}",
                why=f"this file is read after {unit.own}, so it wins; nothing was written",
                remedy="Remove the line, or have the tool that writes it set the wanted value",
            )


def _unseen(facts: Facts, trap: str) -> Iterator[Finding]:
    if facts.unseen:
        yield Finding(
            id=f"{trap}.units_unseen",
            severity="medium",
            where="systemctl show",
            observed=facts.unseen,
            wanted="systemd's answer about the kubelet and the runtime",
            why="their TasksMax is not known, and nothing was done about it; the rest was done",
            remedy="See whether systemd answers (systemctl status), then run again",
        )
