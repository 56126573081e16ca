# Private to the collection nodeward.calico: may change in any release.
"""May this member be taken away for a moment? Pure, over what all members say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .api import Membership, Status
from .evidence import Evidence

# Entries of the log that a member may be behind the others and still count as caught up: under load it always is a
# few behind, and one that takes a snapshot from the leader is tens of thousands behind.
LAG = 1000


@dataclass(frozen=True)
class Look:
    """What one member said: its status and metrics, or why it could not be asked, or why it is not ready.

    ``url`` is the address at which it answered.
    """

    status: Status | None = None
    evidence: Evidence | None = None
    trouble: str = ""
    url: str = ""


@dataclass(frozen=True)
class Cluster:
    """All members of one cluster at one moment, by id; ``own`` is the one of this node."""

    membership: Membership
    own: str
    looks: Mapping[str, Look]

    @property
    def leader(self) -> str:
        """Return the leader that the own member knows, '' without one."""
        status = self.looks[self.own].status if self.own in self.looks else None
        return status.leader if status else ""

    @property
    def index(self) -> int:
        """Return the last entry that any member knows of."""
        return max((look.status.index for look in self.looks.values() if look.status), default=0)

    def name(self, member: str) -> str:
        return next((each.name for each in self.membership.members if each.id == member), "") or member

    def successor(self) -> str:
        """Return the healthy voter that has applied most, the own member aside; '' where there is none."""
        able = [
            (look.status.applied, member)
            for member, look in self.looks.items()
            if member != self.own and look.status and not look.trouble and not look.status.is_learner
        ]
        return max(able)[1] if able else ""


def is_spare(voters: int) -> bool:
    """Tell whether one of so many voters can be missed: the others are a quorum without it."""
    return voters - 1 >= voters // 2 + 1


def obstacles(cluster: Cluster) -> list[str]:
    """Say what speaks against taking any member away now, each a sentence; [] where nothing does."""
    return [*_members(cluster), *_agreement(cluster), *_lag(cluster)]


def _members(cluster: Cluster) -> Iterator[str]:
    for member in cluster.membership.members:
        name = cluster.name(member.id)
        look = cluster.looks.get(member.id, Look(trouble="was not asked"))
        if member.is_learner:
            yield f"{name} is a learner, so a member is being added"
        reports = ", ".join(error.strip() for error in look.status.errors) if look.status else ""
        if look.status is None or look.trouble:
            # an alarm makes all of them unwell, and not every version says in its health that it is for one
            alarm = f"; it reports {reports}" if reports else ""
            yield f"{name} is not well ({look.trouble or 'it told no status'}{alarm})"
        elif reports:
            yield f"{name} reports {reports}"
        if look.evidence is not None and look.evidence.defrag_runs:
            yield f"{name} is being defragmented"


def _agreement(cluster: Cluster) -> Iterator[str]:
    statuses = [look.status for look in cluster.looks.values() if look.status]
    leaders = {status.leader for status in statuses}
    if leaders == {""} or not leaders:
        yield "there is no leader"
    elif len(leaders) > 1 or len({status.term for status in statuses}) > 1:
        yield "the members do not agree on a leader: an election is going on"


def _lag(cluster: Cluster) -> Iterator[str]:
    for member, look in cluster.looks.items():
        behind = cluster.index - look.status.applied if look.status else 0
        if behind > LAG:
            yield f"{cluster.name(member)} is {behind} entries behind"
