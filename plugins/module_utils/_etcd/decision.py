# Private to the collection nodeward.calico: may change in any release.
"""What all members of a cluster are to run with: decided once over all of them, never by one alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import timing
from .evidence import Evidence
from .settings import (
    COMPACTION_MODE,
    COMPACTION_RETENTION,
    ELECTION,
    HEARTBEAT,
    NAMES,
    QUOTA,
    SNAPSHOT_COUNT,
    Effective,
    Value,
    Values,
    seconds,
)
from .timing import Choice, Problem

FIXED, MEASURED = MODES = ("fixed", "measured")

# Defaults of the policy, in milliseconds.
DEFAULT_HEARTBEAT, DEFAULT_ELECTION = 250, 5000

# So many entries of the log a member keeps in its memory; nobody has a use for more.
LARGEST_COUNT = 10**9

# etcd warns above (server/storage/quota.go MaxQuotaBytes); the largest that is asked for here, in bytes.
LARGEST_QUOTA = 8 * 1024**3


@dataclass(frozen=True)
class Policy:
    """What is wanted; None leaves a setting alone. The first two are milliseconds, for mode ``fixed``."""

    mode: str = FIXED
    heartbeat_interval: int = DEFAULT_HEARTBEAT
    election_timeout: int = DEFAULT_ELECTION
    snapshot_count: int | None = None
    auto_compaction_mode: str | None = None
    auto_compaction_retention: str | None = None
    quota_backend_bytes: int | None = None
    io_priority: bool = True
    measured_after: int = timing.LEAST_RUNNING

    @property
    def others(self) -> dict[str, Value]:
        """Return what is wanted beside heartbeat and election timeout."""
        given = {
            SNAPSHOT_COUNT: self.snapshot_count,
            COMPACTION_MODE: self.auto_compaction_mode,
            COMPACTION_RETENTION: self.auto_compaction_retention,
            QUOTA: self.quota_backend_bytes,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Member:
    """One member as its node saw it. Ids are hexadecimal; ``peers`` are the ids in etcd's own list of members.

    ``configured`` is what its next start would give it, None where that is not known. ``obstacle`` says why its
    configuration cannot be written, '' where it can. ``places`` are where its settings stand, as journals name them.
    ``stale``: its file has changed since it started. ``runs_on``: with what was there before a killed run wrote.
    ``errors`` are its alarms and complaints.
    """

    host: str
    name: str
    member_id: str
    cluster_id: str
    effective: Effective
    configured: Values | None = None
    evidence: Evidence = field(default_factory=Evidence)
    peers: tuple[str, ...] = ()
    peer_names: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    flavour: str = ""
    obstacle: str = ""
    unseen: str = ""
    places: tuple[str, ...] = ()
    stale: bool = False
    runs_on: bool = False
    errors: tuple[str, ...] = ()

    def differs(self, wanted: Values) -> bool:
        """Tell whether it runs with other values, or would after its next start."""
        then = self.effective if self.configured is None else Effective(self.configured)
        return bool(self.stale or self.effective.differs(wanted) or then.differs(wanted))

    @classmethod
    def read(cls, host: str, told: Mapping[str, Any]) -> Member:
        """Read what a node returned of one member (`site.shown`)."""
        return cls(
            host=host,
            name=str(told.get("name") or ""),
            member_id=str(told.get("member_id") or ""),
            cluster_id=str(told.get("cluster_id") or ""),
            effective=Effective(dict(told.get("values") or {}), frozenset(told.get("given") or ())),
            configured=told.get("configured"),
            evidence=Evidence.read(told.get("evidence") or {}),
            peers=tuple(told.get("peers") or ()),
            peer_names=tuple(told.get("peer_names") or ()),
            learners=tuple(told.get("learners") or ()),
            flavour=str(told.get("flavour") or ""),
            obstacle=str(told.get("obstacle") or ""),
            unseen=str(told.get("unseen") or ""),
            places=tuple(told.get("places") or ()),
            stale=bool(told.get("stale")),
            runs_on=bool(told.get("runs_on")),
            errors=tuple(told.get("errors") or ()),
        )


@dataclass(frozen=True)
class Decision:
    """For one cluster: the values for all members, who needs them (followers first, the leader last), or why not.

    ``choice`` is what `measured` would choose, in either mode.
    """

    cluster_id: str
    members: tuple[Member, ...]
    wanted: Values = field(default_factory=dict)
    due: tuple[Member, ...] = ()
    choice: Choice = field(default_factory=lambda: Choice(None, ""))
    problems: tuple[Problem, ...] = ()

    @property
    def listed(self) -> frozenset[str]:
        """The ids in etcd's own list of members, as any of those that were seen has it."""
        return frozenset(peer for member in self.members for peer in member.peers)

    def called(self, member_id: str) -> str:
        """Return a listed member's name with its id, or the id alone where none of those that were seen knows it."""
        names = {peer: name for member in self.members for peer, name in zip(member.peers, member.peer_names) if name}
        return f"{names[member_id]} ({member_id})" if member_id in names else member_id

    @property
    def missing(self) -> list[str]:
        """The ids of those that are listed and were not seen."""
        return sorted(self.listed - {member.member_id for member in self.members})

    @property
    def refused(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.refused)


def decide(members: Sequence[Member], policies: Mapping[str, Policy]) -> list[Decision]:
    """Decide for every cluster that was seen; ``policies`` are by host, and have to agree within a cluster."""
    return [_decide(name, group, policies) for name, group in grouped(members).items()]


def grouped(members: Sequence[Member]) -> dict[str, list[Member]]:
    """Return the members by their cluster."""
    clusters: dict[str, list[Member]] = {}
    for member in members:
        # a member that could not be asked belongs to no cluster that is known: it must not pass for a whole one
        clusters.setdefault(member.cluster_id or f"unknown on {member.host}", []).append(member)
    return dict(sorted(clusters.items()))


def in_order(members: Sequence[Member]) -> tuple[Member, ...]:
    """Return them as they are to be changed: followers first, the leader last."""
    return tuple(sorted(members, key=lambda member: (member.evidence.is_leader, member.host)))


def _decide(name: str, members: Sequence[Member], policies: Mapping[str, Policy]) -> Decision:
    evidence = [member.evidence for member in members]
    decision = Decision(name, tuple(members))
    policy = policies[members[0].host]
    choice = timing.measured(evidence, len(decision.listed) == 1, policy.measured_after)
    decision = replace(decision, choice=choice)
    problems = [*partial(decision), *_disagreeing(members, policies)]
    if problems:
        return replace(decision, problems=tuple(problems))
    pair, doubt = _pair(members, policy, choice)
    if pair is None:
        return replace(decision, problems=doubt)
    wanted: dict[str, Value] = {**pair, **policy.others}
    problems = [*doubt, *value_problems(wanted, timing.usual_round_trip(evidence)), *_too_small(wanted, evidence)]
    problems += timing.stalls(int(wanted[ELECTION]), evidence)
    due = [member for member in members if member.differs(wanted)]
    if due:
        problems += timing.mixed([member.effective.values for member in members], wanted)
        problems += [Problem(f"{member.host}: {member.obstacle}", refused=True) for member in due if member.obstacle]
    return replace(decision, wanted=wanted, due=in_order(due), problems=tuple(problems))


def _pair(members: Sequence[Member], policy: Policy, choice: Choice) -> tuple[Values | None, tuple[Problem, ...]]:
    """Return heartbeat and election timeout for all, None where there are none to be had, and what is to be said."""
    if policy.mode != MEASURED:
        return timing.pair(policy.heartbeat_interval, policy.election_timeout), ()
    values = members[0].effective.values
    present = {name: values[name] for name in (HEARTBEAT, ELECTION)}
    is_equal = not any(member.differs(present) for member in members)
    told = f"etcd_timing_mode is measured, and {choice.why}"
    if choice.is_thin and is_equal:
        return present, (Problem(f"{told}; the members keep what they have", severity="info", id="thin"),)
    if choice.values is None:
        return None, (Problem(told, refused=True),)
    return (present if is_equal and choice.keeps(present) else choice.values), ()


def value_problems(wanted: Values, round_trip: float | None = None) -> Iterable[Problem]:
    """Find what speaks against the values that are wanted, before anything is written."""
    if HEARTBEAT in wanted or ELECTION in wanted:
        yield from timing.problems(int(wanted[HEARTBEAT]), int(wanted[ELECTION]), round_trip)
    if not 0 < int(wanted.get(SNAPSHOT_COUNT, 1)) <= LARGEST_COUNT:
        yield Problem(f"the snapshot count must be above 0 and at most {LARGEST_COUNT}", refused=True)
    if wanted.get(COMPACTION_MODE, "periodic") not in ("periodic", "revision"):
        yield Problem("the auto-compaction mode must be periodic or revision", refused=True)
    yield from _compaction_problems(wanted)
    quota = int(wanted.get(QUOTA, 0))
    if quota < 0:
        yield Problem("the quota must not be below 0 (0 is etcd's default of 2 GiB)", refused=True)
    if quota > LARGEST_QUOTA:
        yield Problem(
            f"a quota of {quota} bytes is above the 8 GiB that etcd is made for; it starts and warns", severity="low"
        )


def _compaction_problems(wanted: Values) -> Iterable[Problem]:
    if (COMPACTION_MODE in wanted) != (COMPACTION_RETENTION in wanted):
        # what a member has may be meant for the other mode, and etcd would take it
        yield Problem(
            "auto-compaction mode and retention have to be given together: 8 are hours with periodic, and with "
            "revision eight revisions, with which every watch of the API server breaks",
            refused=True,
        )
        return
    retention = str(wanted.get(COMPACTION_RETENTION, "0"))
    if seconds(retention) is None:
        yield Problem(f"the retention {retention!r} is neither a number nor a duration such as 5m or 8h", refused=True)
    elif wanted.get(COMPACTION_MODE) == "revision" and not retention.isdecimal():
        yield Problem(f"with the mode revision the retention is a number of revisions, not {retention!r}", refused=True)


def _too_small(wanted: Values, evidence: Sequence[Evidence]) -> Iterable[Problem]:
    """Refuse a quota that the database is near to: at the quota etcd takes no more writes (alarm NOSPACE)."""
    quota, size = int(wanted.get(QUOTA, 0)), max((each.db_size for each in evidence), default=0)
    if 0 < quota < 2 * size:
        yield Problem(f"a quota of {quota} bytes is below twice the largest database ({size} bytes)", refused=True)


def partial(decision: Decision) -> Iterable[Problem]:
    """Refuse to decide for all members where not all were seen."""
    unseen = [member for member in decision.members if member.unseen]
    for member in unseen:
        yield Problem(f"{member.host}: {member.unseen}", refused=True, id="unseen")
    if not unseen and not decision.listed:
        yield Problem("no member told the list of members", refused=True, id="unseen")
    ids_seen = [member.member_id for member in decision.members if not member.unseen]
    for member in decision.members:
        if not member.unseen and (ids_seen.count(member.member_id) > 1 or member.member_id not in decision.listed):
            yield Problem(
                f"{member.host}: {member.name} is member {member.member_id or 'of no id'}, "
                "which another host is too, or which is not in etcd's own list",
                refused=True,
                id="partial",
            )
    errors = sorted({error.strip() for member in decision.members for error in member.errors})
    if errors:
        way_out = ": docs/etcd_defrag.md has the way out" if any("NOSPACE" in error for error in errors) else ""
        yield Problem(f"etcd reports {', '.join(errors)}{way_out}", refused=True, id="alarm")
    learners = sorted({each for member in decision.members for each in member.learners})
    if learners:
        yield Problem(f"a member is being added (learner {', '.join(learners)})", refused=True, id="partial")
    if decision.missing:
        told = ", ".join(map(decision.called, decision.missing))
        yield Problem(
            f"{len(decision.missing)} of {len(decision.listed)} members were not seen ({told}), and "
            "the values have to be equal on all of them",
            refused=True,
            id="partial",
        )


def _disagreeing(members: Sequence[Member], policies: Mapping[str, Policy]) -> Iterable[Problem]:
    kinds = {policies[member.host] for member in members}
    if len(kinds) > 1:
        yield Problem("the variables etcd_timing_* differ between its members' hosts", refused=True)


def unequal(members: Sequence[Member]) -> list[str]:
    """Return the settings in which the members of a cluster differ."""
    return [name for name in NAMES if len({str(member.effective.values.get(name)) for member in members}) > 1]
