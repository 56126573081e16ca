# Private to the collection nodeward.calico: may change in any release.
"""Kernel parameters as floors: what is right now, what the next boot makes of it, and who else writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._core import sysctl_d
from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import MANAGED_BY, Change, Reason, SetSysctl, WriteFile, sysctl_path


@dataclass(frozen=True)
class Floor:
    """What one parameter should at least be, or exactly.

    ``bounds`` are the smallest and largest value that the kernel accepts, ``default`` is what it sets at
    boot when no file does, ``variable`` is what a user calls the floor. A value below ``least`` would
    starve what runs now; it is refused. ``severity`` is how bad it is to be below the floor.
    """

    name: str
    value: int
    variable: str
    bounds: tuple[int, int]
    default: int
    exact: bool = False
    least: int = 0
    severity: str = "medium"

    def met_by(self, value: int) -> bool:
        return value == self.value if self.exact else value >= self.value

    def takes(self, value: int) -> bool:
        """Tell whether the kernel accepts this value; otherwise it keeps the one it has."""
        return self.bounds[0] <= value <= self.bounds[1]


@dataclass(frozen=True)
class Parameter:
    """A kernel parameter as /proc/sys has it."""

    value: int
    writable: bool


@dataclass(frozen=True)
class Facts:
    """The parameters by name, and what the files of the node say of them.

    ``assignments`` are the lines of all sysctl.d files but ours, in reading order, ``sysctl_conf`` those
    of /etc/sysctl.conf; ``garbled`` are lines that cannot be read. ``drop_in`` is the text of our own
    file, ``drop_in_link`` where it points if it is a link.
    """

    parameters: Mapping[str, Parameter]
    assignments: tuple[sysctl_d.Assignment, ...] = ()
    garbled: tuple[sysctl_d.Garbled, ...] = ()
    sysctl_conf: tuple[sysctl_d.Assignment, ...] = ()
    drop_in: str | None = None
    drop_in_link: str | None = None

    @property
    def values(self) -> dict[str, int]:
        return {name: parameter.value for name, parameter in self.parameters.items()}

    def in_files(self, floor: Floor) -> int | None:
        """Return what the files but ours set at boot, None when they do not or the kernel would refuse it."""
        return _taken(self.assignments, floor)

    def in_drop_in(self, floor: Floor) -> int | None:
        """Return what our own file sets, None when it does not or the kernel would refuse it."""
        return _taken(sysctl_d.numbers(self.drop_in or "", "our drop-in", (floor.name,))[0], floor)


def _taken(assignments: Sequence[sysctl_d.Assignment], floor: Floor) -> int | None:
    last = sysctl_d.winner(assignments, floor.name)
    if last is None or last.value is None:
        return None
    return int(last.value) if floor.takes(int(last.value)) else None


def observe(host: Host, names: Sequence[str], trap: str) -> Facts:
    """Read the parameters and all files that may set them; reads only."""
    own = sysctl_d.drop_in(trap)
    assignments, garbled = sysctl_d.observe(host, names, own)
    procps = host.read_text(sysctl_d.PROCPS_FILE) or ""
    conf, _never_read_at_boot = sysctl_d.numbers(procps, sysctl_d.PROCPS_FILE, names)
    return Facts(
        parameters={name: _parameter(host, name) for name in names},
        assignments=tuple(assignments),
        garbled=tuple(garbled),
        sysctl_conf=tuple(conf),
        drop_in=host.read_text(own),
        drop_in_link=host.link_target(own),
    )


def _parameter(host: Host, name: str) -> Parameter:
    path = sysctl_path(name)
    return Parameter(value=int(host.read_text(path) or "0"), writable=host.is_writable(path))


def plan(facts: Facts, floors: Sequence[Floor], trap: str, why: str) -> Plan:
    """Decide what meets the floors now and after the next boot; pure. ``why`` is the reason for the floors."""
    refusals = (*_out_of_bounds(facts, floors, trap), *_unreadable(facts, trap))
    if refusals:
        return Plan(refusals=refusals)
    ours = [floor for floor in floors if facts.parameters[floor.name].writable]
    targets = {floor.name: _target(facts, floor) for floor in ours}
    return Plan(
        changes=(*_now(facts, ours, targets, trap, why), *_at_boot(facts, floors, targets, trap)),
        findings=(*_read_only(facts, floors, trap), *_overridden(facts, ours, targets, trap)),
    )


def _target(facts: Facts, floor: Floor) -> int:
    """Return the value that is right now and after a boot: the floor, or what is higher already."""
    if floor.exact:
        return floor.value
    present = facts.parameters[floor.name].value
    return max(floor.value, present, facts.in_files(floor) or 0, facts.in_drop_in(floor) or 0)


def _now(facts: Facts, floors: Sequence[Floor], targets: Mapping[str, int], trap: str, why: str) -> Iterator[Change]:
    for floor in floors:
        value, target = facts.parameters[floor.name].value, targets[floor.name]
        if value != target:
            yield SetSysctl(floor.name, str(value), str(target), Reason(trap, why, floor.severity))


def _at_boot(facts: Facts, floors: Sequence[Floor], targets: Mapping[str, int], trap: str) -> Iterator[Change]:
    """Own a drop-in for what a boot would otherwise undo; a line stays in it once it is there."""
    wanted = {floor.name: _line(facts, floor, targets) for floor in floors}
    text = sysctl_d.render({name: value for name, value in wanted.items() if value is not None}, MANAGED_BY)
    if any(wanted[name] is not None for name in targets) and text != facts.drop_in:
        why = "the next boot would otherwise set another value"
        yield WriteFile(sysctl_d.drop_in(trap), facts.drop_in, text, Reason(trap, why))


def _line(facts: Facts, floor: Floor, targets: Mapping[str, int]) -> int | None:
    """Return what our own file says of a parameter, None when it need not."""
    if floor.name not in targets:  # not ours to set now, but perhaps at the next boot
        return facts.in_drop_in(floor)
    own, _garbled = sysctl_d.parse(facts.drop_in or "", "our drop-in")
    is_there = any(sysctl_d.matches(floor.name, line.name) for line in own)
    return targets[floor.name] if is_there or not _met_at_boot(facts, floor) else None


def _met_at_boot(facts: Facts, floor: Floor) -> bool:
    in_files = facts.in_files(floor)
    if in_files is None:
        return not floor.exact and floor.met_by(floor.default)
    return floor.met_by(in_files)


def _out_of_bounds(facts: Facts, floors: Sequence[Floor], trap: str) -> Iterator[Refusal]:
    for floor in floors:
        parameter = facts.parameters[floor.name]
        if not floor.takes(floor.value):
            smallest, largest = floor.bounds
            yield Refusal(
                trap=trap,
                what=f"{floor.value} is outside of what this kernel accepts ({smallest} to {largest})",
                where=floor.name,
                remedy=f"Set {floor.variable} to a number from {smallest} to {largest}",
            )
        elif floor.exact and parameter.writable and floor.value < min(floor.least, parameter.value):
            yield Refusal(
                trap=trap,
                what=f"lowering it to {floor.value} would leave less than twice what is in use now",
                where=floor.name,
                remedy=f"Set {floor.variable} to {floor.least} or more, or do not ask for exact values",
            )


def _unreadable(facts: Facts, trap: str) -> Iterator[Refusal]:
    if not any(parameter.writable for parameter in facts.parameters.values()):
        return  # a container: nothing would be written, so nothing stands in the way
    for path in dict.fromkeys(line.path for line in facts.garbled):
        first, *others = (line for line in facts.garbled if line.path == path)
        more = f", nor can {len(others)} more" if others else ""
        yield Refusal(
            trap=trap,
            what=f"line {first.line} cannot be read ({first.text!r}){more}, so what the next boot sets cannot be told",
            where=path,
            remedy="Mend or remove what is no plain 'name = number', then run again",
        )
    if facts.drop_in_link is not None:
        yield Refusal(
            trap=trap,
            what=f"is a link to {facts.drop_in_link}: someone has masked or moved our drop-in",
            where=sysctl_d.drop_in(trap),
            remedy=f"Remove the link, or leave this trap out (--skip-tags {trap})",
        )


def _read_only(facts: Facts, floors: Sequence[Floor], trap: str) -> Iterator[Finding]:
    for floor in floors:
        parameter = facts.parameters[floor.name]
        if not parameter.writable:
            yield Finding(
                id=f"{trap}.read_only",
                severity="info",
                where=floor.name,
                observed=f"{parameter.value}, and {sysctl_path(floor.name)} cannot be written here",
                wanted="a node that owns its kernel",
                why="in a container the kernel is the host's; nothing was done about this parameter",
                remedy="Run the trap on the machine that owns the kernel",
            )


def _overridden(facts: Facts, floors: Sequence[Floor], targets: Mapping[str, int], trap: str) -> Iterator[Finding]:
    """Find what is read after our drop-in, at boot or when somebody runs ``sysctl --system``."""
    behind_ours = [a for a in facts.assignments if _file_name(a.path) > _file_name(sysctl_d.drop_in(trap))]
    for floor in floors:
        # A pattern behind ours sets nothing that a file names in full, and where it is too low ours does.
        named = [a for a in behind_ours if a.name == floor.name]
        for line, severity, when in (
            (named[-1] if named else None, "high", "at boot"),
            (sysctl_d.winner(facts.sysctl_conf, floor.name), "low", "by 'sysctl --system'"),
        ):
            value = _taken((line,), floor) if line else None
            if line and not (value is not None and floor.met_by(value)):
                yield Finding(
                    id=f"{trap}.overridden",
                    severity=severity,
                    where=f"{line.path} line {line.line}",
                    observed=f"-{floor.name}" if line.value is None else f"{floor.name} = {line.value}",
                    wanted=str(targets[floor.name]),
                    why=f"this file is read after {sysctl_d.drop_in(trap)} {when}, so it wins then",
                    remedy="Remove the line, or have the tool that writes it set the wanted value",
                )


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
