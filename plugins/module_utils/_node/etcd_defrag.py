# Private to the collection nodeward.calico: may change in any release.
"""Trap etcd_defrag: etcd's database grows into its quota, and etcd takes no more writes.

The playbook defrag.yml and the module etcd_defrag do it when somebody asks. Here it is a timer on the nodes with
members, where one is asked for: it runs the same code, with the same checks and the same lock in etcd.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import bundle
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.host_processes import on_the_host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import MANAGED_BY, Change, Reason, RemoveFile, StartUnit
from .._core.verbs.units import active_state
from .._etcd import access, quorum, running, thresholds
from .._etcd.api import Etcd
from .._etcd.flavours import foreign
from .._etcd.thresholds import LEAST_BYTES, MOST_IN_USE
from . import restore, timers
from .timers import UNITS

TRAP = "etcd_defrag"
ALLOWS: tuple[str, ...] = ()

OPTIONS: dict[str, dict[str, Any]] = {
    "timer": {"type": "str", "default": ""},
    **thresholds.OPTIONS,
}

PROGRAM = "/usr/local/lib/nodeward/etcd_defrag.py"
CONFIG = "/etc/nodeward/etcd_defrag.json"
SERVICE, TIMER = "nodeward-etcd-defrag.service", "nodeward-etcd-defrag.timer"
WANTS, _WANTS = timers.wants(TIMER, TRAP)
PATHS = (PROGRAM, CONFIG, f"{UNITS}/{SERVICE}", f"{UNITS}/{TIMER}", WANTS)

# systemd.time(7), "CALENDAR EVENTS": systemd itself judges the rest when the timer is started.
_CALENDAR = r"[A-Za-z0-9*/.,:~ _+-]{1,100}"

_SERVICE = f"""\
# {MANAGED_BY}.
[Unit]
Description=Defragment the etcd of this node where that pays
[Service]
Type=oneshot
ExecStart={{python}} -I {PROGRAM} {CONFIG}
# a leader waits an hour for the others; then its copy, the lock and what it waits for afterwards
TimeoutStartSec=2h
"""
_TIMER = f"""\
# {MANAGED_BY}.
[Unit]
Description=Defragment the etcd of this node where that pays
[Timer]
OnCalendar={{calendar}}
# the members of a cluster take turns by a lock, and need not come at the same moment
RandomizedDelaySec=15min
"""

_REASON = Reason(
    TRAP, "what deleted keys have left counts towards etcd's quota, at which it takes no more writes", "low"
)
_ABSENT = Reason(TRAP, "no timer is wanted on this node", "info")


@dataclass(frozen=True)
class Policy:
    """``timer``: when, as systemd's OnCalendar= takes it, '' for no timer. The rest as the module etcd_defrag's."""

    timer: str = ""
    least_bytes: int = LEAST_BYTES
    most_in_use: float = MOST_IN_USE
    any_version: bool = False
    allow_outage: bool = False


@dataclass(frozen=True)
class Facts:
    """Whether a member of etcd runs on the node, and the texts of our files that are there, by path.

    ``is_waiting``: the timer is active. ``has_failed``: its last turn went wrong. ``defrags_itself``: what runs etcd
    here defragments it, too. ``is_outage``: there is a timer, and a cluster that cannot miss its member on this node.
    """

    has_member: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    is_waiting: bool = False
    has_failed: bool = False
    defrags_itself: bool = False
    is_outage: bool = False
    python: str = "/usr/bin/python3"


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    texts = {path: text for path in PATHS for text in [host.read_text(path)] if text is not None}
    return Facts(
        # by name alone: a configuration that cannot be read is a matter of etcd_timing
        has_member=bool(on_the_host(host, running.NAMES)),
        texts=texts,
        is_waiting=bool(texts) and timers.is_waiting(host, TIMER),
        has_failed=bool(texts) and active_state(host, SERVICE) == "failed",
        defrags_itself=foreign.defrags_itself(host),
        is_outage=bool(texts) and _is_outage(host),
        python=host.interpreter(),
    )


def _is_outage(host: Host) -> bool:
    with contextlib.suppress(NodewardError):  # one that cannot be asked is a matter of etcd_timing
        members = [Etcd(host, access.of(each, host)).members() for each in running.find(host)]
        return any(not quorum.is_spare(len(each.voters)) for each in members)
    return False


def shown(facts: Facts, _policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results."""
    return {"timer": f"{UNITS}/{TIMER}" in facts.texts}


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide whether the timer comes, goes, or stays; pure."""
    refusals = tuple(_refusals(policy))
    if refusals:
        return Plan(refusals=refusals)
    findings = (*_findings(facts), *_without_consent(facts, policy))
    if policy.timer and facts.defrags_itself:
        return Plan(tuple(_absent(facts)), (*findings, _needless()))
    if not policy.timer:
        return Plan(tuple(_absent(facts)), findings)
    if not facts.has_member:
        return Plan(findings=findings)  # one that is down for a while keeps its timer
    return Plan(tuple(_present(facts, policy)), findings)


def _present(facts: Facts, policy: Policy) -> Iterator[Change]:
    from .._etcd import defrag_service  # noqa: PLC0415 - 40 modules, for the few nodes that are asked for it

    config = {name: getattr(policy, name) for name in thresholds.OPTIONS}
    wanted = (
        bundle.program(defrag_service),
        json.dumps(config, indent=1) + "\n",
        _SERVICE.format(python=facts.python),
        _TIMER.format(calendar=policy.timer.strip()),
        _WANTS,
    )
    start = StartUnit(TIMER, _REASON, calendar=policy.timer.strip())
    return timers.installed(dict(zip(PATHS, wanted)), facts.texts, facts.is_waiting, start, _REASON)


def _absent(facts: Facts) -> Iterator[Change]:
    for path in reversed(PATHS):
        if path in facts.texts:
            yield RemoveFile(path, facts.texts[path], _ABSENT)
    if facts.texts:
        yield StartUnit(TIMER, _ABSENT)


def _findings(facts: Facts) -> Iterator[Finding]:
    if facts.has_failed:
        yield Finding(
            id=f"{TRAP}.turn_failed",
            severity="medium",
            where=SERVICE,
            observed="failed",
            wanted="a turn that did it, or had nothing to do",
            why="what the timer refuses or fails at, nobody else does",
            remedy=f"journalctl -u {SERVICE}, mend that, then systemctl start {SERVICE}",
        )
    if facts.texts and not facts.has_member:
        yield Finding(
            id=f"{TRAP}.no_member",
            severity="low",
            where=TIMER,
            observed="no etcd runs on this node",
            wanted="a member of etcd, or no timer",
            why="there is nothing that it could defragment",
            remedy=f"Start etcd, or run harden with {TRAP}_timer empty for this node",
        )


def _without_consent(facts: Facts, policy: Policy) -> Iterator[Finding]:
    if facts.is_outage and policy.timer and not policy.allow_outage:
        yield Finding(
            id=f"{TRAP}.needs_consent",
            severity="medium",
            where=TIMER,
            observed="a cluster that cannot miss the member of this node (it has one or two)",
            wanted=f"the consent {TRAP}_allow_outage",
            why="the cluster takes no write while this member copies, so the timer refuses",
            remedy=f"Set {TRAP}_allow_outage, or run defrag.yml with harden_allow=etcd_outage, or add members",
        )


def _needless() -> Finding:
    return Finding(
        id=f"{TRAP}.defragments_itself",
        severity="medium",
        where=TIMER,
        observed=foreign.DEFRAGS_ITSELF,
        wanted="one that does it",
        why="two at once would leave the cluster without a quorum; no timer was installed",
        remedy=f"Leave {TRAP}_timer empty for this node",
    )


def _refusals(policy: Policy) -> Iterator[Refusal]:
    if policy.timer and not re.fullmatch(_CALENDAR, policy.timer.strip(" ")):
        yield Refusal(
            TRAP,
            f"{policy.timer!r} is no time that a timer of systemd takes",
            f"{TRAP}_timer",
            "Give one as in `systemd-analyze calendar weekly`, such as 'Sun *-*-* 03:00', or '' for no timer",
        )
    wrong = thresholds.wrong(policy.least_bytes, policy.most_in_use)
    if wrong:
        yield Refusal(TRAP, wrong, f"the variables {TRAP}_*", "Mend them")


going_back = restore.in_order  # the timer is stopped once its file is gone
guard = restore.refuse_nothing
