# Private to the collection nodeward.calico: may change in any release.
"""Defragmentation where it pays: one member, under the cluster's lock, and never when anything speaks against it.

etcd answers nothing, not even /livez, while it copies its database (server/storage/backend/backend.go defrag), so a
member whose copy takes too long is killed by the kubelet.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import Finding
from . import health, lock, members, quorum, seen, thresholds, version
from .evidence import Evidence
from .flavours import foreign
from .lock import Lock, LockLostError, LockTakenError
from .member import OUTAGE, Member, Wanted
from .members import NotWellError
from .quorum import Cluster
from .seen import Seen
from .verdict import Policy, budget, judge, patience

TRAP = "etcd_defrag"

ARGUMENTS: dict[str, dict[str, Any]] = {
    **thresholds.OPTIONS,
    "allow": {"type": "bool", "default": False},
}


@dataclass
class Result:
    """What the module returns, for all members of this node."""

    members: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    changed: bool = False

    def shown(self) -> dict[str, Any]:
        findings = [_finding(member).describe() for member in self.members]
        return {"changed": self.changed, "members": self.members, "changes": self.changes, "findings": findings}


def _finding(told: dict[str, Any]) -> Finding:
    """Say what a defragmentation of one member wins, or would, and why; and, early, what will speak against it."""
    refused = f"; once it pays it is refused: {told['refused']}" if told["refused"] else ""
    return Finding(
        id=f"{TRAP}.pays" if told["pays"] else f"{TRAP}.does_not_pay",
        severity="info",
        where=f"etcd member {told['name']}",
        observed=f"{told['why']}{refused}",
        wanted=f"{told['before'] - told['in_use']} bytes given back, in about {told['predicted_seconds']:.0f} s"
        if told["pays"]
        else "more to win",
        why="what deleted keys have left counts towards etcd's quota",
        remedy=f"ansible-playbook nodeward.calico.defrag, where it pays ({TRAP}_least_bytes, {TRAP}_most_in_use)",
    )


def run(host: Host, policy: Policy, check_mode: bool) -> dict[str, Any]:
    """Defragment the members of this node that are worth it. Raises NodewardError where one is and may not be."""
    _require_sane(policy)
    result = Result()
    errors: dict[str, NodewardError] = {}
    for found in seen.look(host):
        cluster = found.membership.cluster_id if found.membership else found.name
        if cluster in errors:
            continue  # where one member has failed no further one is touched
        try:
            _one(host, found, policy, check_mode, result)
        except NodewardError as error:
            errors[cluster] = error
    if errors:
        # first what passes: the timer waits for that, and meets the others once more
        raise min(errors.values(), key=lambda error: not isinstance(error, (NotWellError, LockTakenError)))
    return result.shown()


def _require_sane(policy: Policy) -> None:
    wrong = thresholds.wrong(policy.least_bytes, policy.most_in_use)
    if wrong:
        raise NodewardError(wrong, "the variables etcd_defrag_*", "Mend them, then run again")


def _one(host: Host, found: Seen, policy: Policy, check_mode: bool, result: Result) -> None:
    name = found.name
    if foreign.defrags_itself(host):
        raise NodewardError(
            foreign.DEFRAGS_ITSELF, f"etcd member {name}", "Leave it to that; oc get co etcd shows how it is"
        )
    if found.unseen:
        raise NodewardError(found.unseen, f"etcd member {name}", "See whether etcd is well, then run again")
    evidence = found.evidence
    is_spare = found.membership is not None and quorum.is_spare(len(found.membership.voters))
    verdict = judge(
        evidence.db_size, evidence.db_in_use, version.parse(evidence.version), policy, budget(found), is_spare
    )
    consent = "" if is_spare or policy.allow_outage else _NEEDS_CONSENT
    told: dict[str, Any] = {
        "name": name, "before": evidence.db_size, "in_use": evidence.db_in_use, "after": None, "seconds": None,
        "pays": verdict.pays, "why": verdict.why, "refused": verdict.refused or consent,
        "predicted_seconds": verdict.seconds,
    }  # fmt: skip
    result.members.append(told)
    if not verdict.pays:
        return
    if verdict.refused:
        raise NodewardError(
            what=f"is not defragmented: {verdict.refused}", where=f"etcd member {name}", remedy="Mend that first"
        )
    if check_mode or not policy.allow:
        result.changed = result.changed or (policy.allow and not consent)
        return
    if consent:
        raise NodewardError(
            what=f"is not defragmented: {consent}",
            where=f"etcd member {name}",
            remedy=f"Allow it (harden_allow={OUTAGE} for the playbook, {TRAP}_allow_outage for the timer too)",
        )
    told.update(_defragment(Member(host, found, _wanted(found)), evidence.db_in_use))
    result.changed = True
    result.changes.append(
        {
            "trap": TRAP,
            "target": f"database of etcd member {name}",
            "before": f"{told['before']} bytes",
            "after": f"{told['after']} bytes",
            "why": "what deleted keys have left counts towards etcd's quota",
            "disrupts": "",
        }
    )


_NEEDS_CONSENT = f"the cluster takes no write meanwhile, as it cannot miss this member: that needs the consent {OUTAGE}"


def due_before_leader(host: Host, found: Seen, policy: Policy) -> list[str]:
    """Return the names of the others that are worth it where this member leads: it is the last one.

    Also of those that copy just now, or answer nothing, which is what a copy looks like from outside.
    """
    if found.unseen or not found.evidence.is_leader:
        return []
    cluster = Member(host, found, _wanted(found)).look()
    others = {member: look.evidence for member, look in cluster.looks.items() if member != cluster.own}
    return [cluster.name(member) for member, evidence in others.items() if _is_due(evidence, policy)]


def _is_due(evidence: Evidence | None, policy: Policy) -> bool:
    if evidence is None or evidence.defrag_runs:
        return True
    verdict = judge(evidence.db_size, evidence.db_in_use, version.parse(evidence.version), policy)
    return verdict.pays and not verdict.refused


def _wanted(found: Seen) -> Wanted:
    cluster = found.membership.cluster_id if found.membership else ""
    return Wanted(cluster, {}, with_snapshot=False)


def _defragment(target: Member, in_use: int) -> dict[str, Any]:
    """Do it under the lock: the cluster well before and after, the leader moved away."""
    host = target.host
    name = (host.read_text("/proc/sys/kernel/hostname") or "").strip()
    holder = lock.holder(name, f"defragmentation of etcd {target.seen.name}")
    # no look at how they are before: one that copies just now has the lock, and is waited for
    with lock.held(host, target.others(target.look()), holder) as kept:
        with kept.alive():  # looks at members that are slow to answer may take longer than the lease
            cluster = target.well()
            moved = target.hand_over(cluster)
        kept.keep()
        began = host.clock()
        try:
            with kept.alive():
                target.etcd.call("/v3/maintenance/defragment", {}, patience=patience(in_use))
        except NodewardError:
            # it goes on all the same (etcd-io/etcd#8260): the lock is kept until the member answers again
            with contextlib.suppress(NodewardError):
                _wait(target, kept, cluster)
            raise
        seconds = round(host.clock() - began, 2)
        _wait(target, kept, cluster)
        return {"after": target.etcd.evidence().db_size, "seconds": seconds, "moved_leader_to": moved}


def _wait(target: Member, kept: Lock, cluster: Cluster) -> None:
    deadline = target.host.clock() + health.PATIENCE
    while True:
        try:
            kept.keep()
        except LockLostError:
            # of a single member nobody could keep it alive meanwhile, nor take it
            if len(cluster.looks) > 1:
                raise
        try:
            found = quorum.obstacles(target.look())
        except NodewardError as error:  # it does not tell the list of members yet
            found = [f"{error.where}: {error.what}"]
        status = target.etcd.status() if not found else None
        if status is not None and status.applied >= cluster.index:
            return
        if target.host.clock() >= deadline:
            raise NodewardError(
                what=f"is not well after its defragmentation: {'; '.join(found) or 'it is behind'}",
                where=f"etcd member {target.seen.name}",
                remedy="See its log",
            )
        target.host.sleep(members.INTERVAL)
