# Private to the collection nodeward.calico: may change in any release.
"""Trap etcd_timing: elections on slow disks and networks stall the cluster (incident A1).

On the node this looks only: one node does not know what all members are to run with. What they are to have is
decided on the controller (`_etcd/decision.py`), and the module etcd_member alone writes it. The one thing that is
done here is what disrupts nothing and concerns one member alone: its I/O priority, and that the note of a killed run
goes once the member is well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import Change, Reason, RemoveFile
from .._etcd import decision, note, seen, timing, unfinished, version
from .._etcd.decision import DEFAULT_ELECTION, DEFAULT_HEARTBEAT, FIXED, MODES, Policy
from .._etcd.evidence import Evidence
from .._etcd.seen import Seen
from .._etcd.settings import Value
from .._etcd.timing import Problem
from .._etcd.unfinished import Unfinished
from . import etcd_io, restore

__all__ = ["ALLOWS", "OPTIONS", "TRAP", "Facts", "Policy", "going_back", "guard", "observe", "plan", "shown"]

TRAP = "etcd_timing"
# What Go's strconv.ParseBool takes for true, and a bare flag.
_TRUE = ("", "1", "t", "T", "true", "True", "TRUE")
# Nothing that the node does here disrupts anything; a member is restarted by etcd_member alone.
ALLOWS: tuple[str, ...] = ()

OPTIONS: dict[str, dict[str, Any]] = {
    "mode": {"type": "str", "choices": list(MODES), "default": FIXED},
    "heartbeat_interval": {"type": "int", "default": DEFAULT_HEARTBEAT},
    "election_timeout": {"type": "int", "default": DEFAULT_ELECTION},
    "snapshot_count": {"type": "int"},
    "auto_compaction_mode": {"type": "str", "choices": ["periodic", "revision"]},
    "auto_compaction_retention": {"type": "str"},
    "quota_backend_bytes": {"type": "int"},
    "io_priority": {"type": "bool", "default": True},
    "measured_after": {"type": "int", "default": timing.LEAST_RUNNING},
}


@dataclass(frozen=True)
class Facts:
    """The members that run on the node, most often one or none, and our files for their I/O priority.

    ``left`` is one that a killed run of etcd_member has left down, and ``note`` the text of what it has left behind.
    """

    members: tuple[Seen, ...] = ()
    io: etcd_io.Facts = field(default_factory=etcd_io.Facts)
    left: Unfinished | None = None
    note: str | None = None

    @property
    def stranded(self) -> str:
        """Return the name of one that has to be brought up again, '' mostly."""
        return self.left.name if self.left and not self.left.stopped else ""


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    members = tuple(seen.look(host))
    left = unfinished.find(host, [each.name for each in members])
    return Facts(members, etcd_io.observe(host, members), left, host.read_text(note.PATH))


def shown(facts: Facts, policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results: what the controller decides by."""
    stranded = {"stranded": facts.stranded} if facts.stranded else {}
    if not facts.members:
        return {"members": [], **stranded}
    policy = policy or Policy()
    wanted = _wanted(policy)
    return {**stranded, "members": [each.shown(wanted) for each in facts.members], "policy": asdict(policy)}


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node itself does, and say what one member can say of itself; pure."""
    lost = tuple(_lost(facts))
    if not facts.members:
        return Plan(findings=lost)
    refusals = tuple(_refusals(policy))
    if refusals:
        return Plan(refusals=refusals)
    findings = lost + tuple(finding for each in facts.members for finding in _findings(each, policy))
    own = etcd_io.plan(facts.io, facts.members, TRAP) if policy.io_priority else Plan()
    return Plan(tuple(_forgotten(facts)), findings) + own


def going_back(facts: Facts, changes: Sequence[Change], _policy: Policy) -> Plan:
    """Leave the way back as it is: what a member runs with waits for etcd_member, the node never does it."""
    return Plan((*changes, *_forgotten(facts)))


guard = restore.refuse_nothing  # an I/O priority that goes back harms nobody


def _forgotten(facts: Facts) -> Iterator[Change]:
    """Remove the note of a killed run whose member is well: later it would undo what others did with the member."""
    if facts.note is not None and any(each.is_settled for each in facts.members):
        why = "a run that was killed has left it, and the member is well with what was written"
        yield RemoveFile(note.PATH, facts.note, Reason(TRAP, why, "low"), note.MODE)


def _lost(facts: Facts) -> Iterator[Finding]:
    if facts.left and facts.left.stopped:
        yield unfinished.stopped(facts.left)
    elif facts.left:
        yield Finding(
            id=f"{TRAP}.stranded",
            severity="high",
            where=f"etcd member {facts.left.name}",
            observed="it does not run",
            wanted="its configuration of before, and a start",
            why=unfinished.WHY,
            remedy=f"ansible-playbook nodeward.calico.harden --tags {TRAP} -e harden_allow=etcd_restart",
            mended=True,
        )


def _wanted(policy: Policy) -> dict[str, Value]:
    return {**timing.pair(policy.heartbeat_interval, policy.election_timeout), **policy.others}


def _refusals(policy: Policy) -> Iterator[Refusal]:
    """Refuse variables that no member could run with, before anything else is done."""
    after = [Problem("measured_after must not be below 0", refused=True)] * (policy.measured_after < 0)
    for problem in [*after, *decision.value_problems(_wanted(policy))]:
        if problem.refused:
            yield Refusal(
                trap=TRAP,
                what=problem.what,
                where=f"the variables {TRAP}_*",
                remedy=f"Mend them, or leave this trap out (--skip-tags {TRAP})",
            )


def _findings(each: Seen, policy: Policy) -> Iterator[Finding]:
    where = f"etcd member {each.name}"
    wanted = _wanted(policy)
    if each.unseen:
        yield Finding(
            id=f"{TRAP}.unseen",
            severity="medium",
            where=where,
            observed=each.unseen,
            wanted="an answer",
            why="nothing is changed in a cluster of which a member could not be asked",
            remedy="See whether etcd is well and what it listens on",
        )
    obstacle = each.site.obstacle(wanted)
    if obstacle and each.effective.differs(wanted):
        yield Finding(
            id=f"{TRAP}.obstacle",
            severity="medium",
            where=where,
            observed=obstacle,
            wanted="a configuration that can be edited",
            why="its timing cannot be written, and the values have to be equal on all members",
            remedy=each.site.flavour.remedy or "Mend that, or set the values by hand",
        )
    yield from _harm(each.evidence, where)
    running = version.parse(each.evidence.version)
    if (
        running != version.UNKNOWN
        and not version.pre_votes_by_default(running)
        and each.running.options.get("pre-vote") not in _TRUE
    ):
        yield Finding(
            id=f"{TRAP}.pre_vote",
            severity="low",
            where=where,
            observed=f"etcd {each.evidence.version} without pre-vote",
            wanted="pre-vote=true, the default from 3.5 on",
            why="a member that comes back and is behind makes one election after the other until it has caught up",
            remedy="Set pre-vote (ETCD_PRE_VOTE=true) on all members, or move to a newer etcd",
        )


def _harm(evidence: Evidence, where: str) -> Iterator[Finding]:
    """Tell of heartbeats that came too late: the proof that the timing does not fit disk and network."""
    if evidence.heartbeat_failures:
        yield Finding(
            id=f"{TRAP}.late_heartbeats",
            severity="medium",
            where=where,
            observed=f"{evidence.heartbeat_failures} heartbeats sent more than two intervals late since it started",
            wanted="0",
            why="a leader whose disk or processor keeps it waiting loses its followers: an election stalls the cluster",
            remedy="Raise the heartbeat interval, or let it be measured (etcd_timing_mode); mostly it is a slow disk",
        )
