# Private to the collection nodeward.calico: may change in any release.
"""How many processes a login may have (nproc, ``ulimit -u``): a floor under what limits.d gives everybody.

Where no file says anything a login has the limits of process 1, which the kernel gives half of the threads
it takes the memory to carry (kernel/fork.c fork_init). A limit that was set for one user or group is somebody's
purpose and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .._core import limits_d
from .._core.host import Host
from .._core.limits_d import UNLIMITED, Line
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import MANAGED_BY, Reason, WriteFile
from . import pods

# Whom the floor is for; ``*`` leaves root out on Debian (limits.conf(5)).
EVERYBODY, ROOT = DOMAINS = ("*", "root")

_CAP_SYS_RESOURCE = 24  # bit; linux/capability.h
_WHOLE_RANGE = ["0", "0", "4294967295"]

_WHY = "a login that may have fewer processes than the node has ids for fails before the node is full (incident B)"


@dataclass(frozen=True)
class Facts:
    """What a login gets and from where.

    ``applied``: logins ask pam_limits. ``may_raise``: root may raise a hard limit here; else one above that
    of process 1 would shut people out. ``inherited`` are soft and hard limit of process 1. ``lines`` are those
    of all files but ours. ``busiest`` are the threads of the login user with most of them, root left out.
    """

    applied: bool = False
    may_raise: bool = False
    inherited: Mapping[str, int] | None = None
    lines: tuple[Line, ...] = ()
    drop_in: str | None = None
    drop_in_link: str | None = None
    busiest: int = 0

    def without_ours(self, domain: str, kind: str) -> int:
        """Return what the files but ours give."""
        line = limits_d.winner(self.lines, domain, kind)
        return line.value if line else self.given(kind)

    def given(self, kind: str) -> int:
        """Return what a login has from process 1."""
        return (self.inherited or {}).get(kind, UNLIMITED)


def observe(host: Host, mount: str, trap: str) -> Facts:
    """Read the files and what stands behind them; below ``mount`` are the cgroups. Reads only."""
    own = limits_d.drop_in(trap)
    return Facts(
        applied=limits_d.is_applied(host),
        may_raise=_may_raise(host),
        inherited=_inherited(host.read_text("/proc/1/limits") or ""),
        lines=tuple(limits_d.observe(host, own)),
        drop_in=host.read_text(own),
        drop_in_link=host.link_target(own),
        busiest=_busiest(host, mount),
    )


def _may_raise(host: Host) -> bool:
    """Tell whether root has CAP_SYS_RESOURCE of the whole machine; a container may have taken it away."""
    status = re.search(r"^CapBnd:\s*([0-9a-f]+)$", host.read_text("/proc/1/status") or "", re.MULTILINE)
    users = (host.read_text("/proc/1/uid_map") or "").split()
    return bool(status and int(status.group(1), 16) >> _CAP_SYS_RESOURCE & 1) and users == _WHOLE_RANGE


def _inherited(limits: str) -> dict[str, int] | None:
    found = re.search(r"^Max processes\s+(\S+)\s+(\S+)", limits, re.MULTILINE)
    if not found:
        return None
    return {kind: int(text) if text.isdecimal() else UNLIMITED for kind, text in zip(limits_d.KINDS, found.groups())}


def _busiest(host: Host, mount: str) -> int:
    names = (n for n in host.list_folder(f"{mount}/user.slice") if re.fullmatch(r"user-[1-9][0-9]*\.slice", n))
    return max((pods.threads(host, mount, f"/user.slice/{name}") or 0 for name in names), default=0)


def plan(facts: Facts, floor: int, trap: str) -> Plan:
    """Decide which lines our file needs; pure."""
    if not facts.applied or (floor > facts.given(limits_d.HARD) and not facts.may_raise):
        return Plan(findings=(_untouched(facts, trap),))
    wanted = _wanted(facts, floor, trap)
    text = limits_d.render(wanted, MANAGED_BY)
    if not wanted or text == facts.drop_in:
        changes: tuple[WriteFile, ...] = ()
    elif facts.drop_in_link is not None:
        return Plan(refusals=(_masked(facts, trap),))
    else:
        changes = (WriteFile(limits_d.drop_in(trap), facts.drop_in, text, Reason(trap, _WHY)),)
    return Plan(changes=changes, findings=(*_overridden(facts, floor, trap), *_capped(facts, floor, trap)))


def guard(facts: Facts, trap: str) -> Iterator[Refusal]:
    """Refuse to take our file away where a login user has more than half of what is left then."""
    left = facts.without_ours(EVERYBODY, limits_d.SOFT)
    if left < 2 * facts.busiest:
        yield Refusal(
            trap=trap,
            what=f"without it logins may have {left} processes, below twice the {facts.busiest} that one user has",
            where=limits_d.drop_in(trap),
            remedy=f"See who that is (systemd-cgtop), or leave this trap as it is (--skip-tags {trap})",
        )


def _wanted(facts: Facts, floor: int, trap: str) -> dict[tuple[str, str], int]:
    """Return our lines: where the limit is too low and ours would count; one that is there stays."""
    own = limits_d.parse(facts.drop_in or "", limits_d.drop_in(trap))
    wanted: dict[tuple[str, str], int] = {}
    for domain in DOMAINS:
        for kind in limits_d.KINDS:
            line, present = limits_d.winner(own, domain, kind), facts.without_ours(domain, kind)
            if line or (present < floor and not _behind_ours(facts, domain, kind, trap)):
                wanted[domain, kind] = max(floor, present, line.value if line else 0)
    return wanted


def _behind_ours(facts: Facts, domain: str, kind: str, trap: str) -> Line | None:
    """Return the line that counts where it is read after our file."""
    line = limits_d.winner(facts.lines, domain, kind)
    is_drop_in = line is not None and not line.path.endswith(f"/{limits_d.CONF}")
    return line if line and is_drop_in and _file_name(line.path) > _file_name(limits_d.drop_in(trap)) else None


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _untouched(facts: Facts, trap: str) -> Finding:
    return Finding(
        id=f"{trap}.logins_untouched",
        severity="info",
        where="process 1" if facts.applied else "/etc/pam.d",
        observed="root may not raise hard limits here" if facts.applied else "no service uses pam_limits",
        wanted="logins whose limit on processes can be set",
        why="nothing was done about logins: a file would do nothing, or shut people out",
        remedy="Give the container CAP_SYS_RESOURCE, if logins need more"
        if facts.applied
        else "Have sshd's PAM configuration use pam_limits.so",
    )


def _masked(facts: Facts, trap: str) -> Refusal:
    return Refusal(
        trap=trap,
        what=f"is a link to {facts.drop_in_link}: someone has masked or moved our drop-in",
        where=limits_d.drop_in(trap),
        remedy=f"Remove the link, or leave logins alone ({trap}_nproc: false)",
    )


def _overridden(facts: Facts, floor: int, trap: str) -> Iterator[Finding]:
    behind = [_behind_ours(facts, domain, kind, trap) for domain in DOMAINS for kind in limits_d.KINDS]
    for line in dict.fromkeys(behind):
        if line and line.value < floor:
            yield _finding(
                line,
                floor,
                f"{trap}.overridden",
                "high",
                f"this file is read after {limits_d.drop_in(trap)} at a login, so it wins",
                "Remove the line, or have the tool that writes it set the wanted value",
            )


def _capped(facts: Facts, floor: int, trap: str) -> Iterator[Finding]:
    for line in facts.lines:
        # '%' limits numbers of logins, not processes
        if line.value < floor and line.domain not in DOMAINS and not line.domain.startswith("%"):
            yield _finding(
                line,
                floor,
                f"{trap}.login_cap",
                "info",
                "it is for this user or group alone, so it is taken for a purpose and left",
                "Remove the line where it is not meant",
            )


def _finding(line: Line, floor: int, name: str, severity: str, why: str, remedy: str) -> Finding:
    return Finding(
        id=name,
        severity=severity,
        where=f"{line.path} line {line.line}",
        observed=f"{line.domain} {'-' if len(line.kinds) > 1 else line.kinds[0]} nproc {limits_d.shown(line.value)}",
        wanted=f"{floor} or more",
        why=why,
        remedy=remedy,
    )
