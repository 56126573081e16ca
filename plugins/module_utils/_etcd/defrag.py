# Private to the collection nodeward.calico: may change in any release.
"""Defragmentation where it pays: one member, under the cluster's lock, and never when anything speaks against it.

etcd answers nothing, not even /livez, while it copies its database (server/storage/backend/backend.go defrag), so a
member whose copy takes too long is killed by the kubelet. Source of the thresholds: the alerts of etcd's mixin.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from .._core.errors import NodewardError
from .._core.formats import UnsureError
from .._core.formats.yaml_lines import scalars
from .._core.host import Host
from .._core.plan import Finding
from . import health, lock, quorum, seen, thresholds, version
from .evidence import Evidence
from .flavours import foreign
from .lock import Lock
from .member import OUTAGE, RESTART, Member, Wanted
from .quorum import Cluster
from .seen import Seen
from .thresholds import LEAST_BYTES, MOST_IN_USE

TRAP = "etcd_defrag"

# Bytes a second that a copy manages on a slow disk; etcd's own metric says "about 1 second per 100 MB".
SPEED = 100 * 1024**2 / 2
# kubeadm's liveness probe of etcd: every 10 s, 8 failures (util/staticpod/utils.go). For a pod that tells of no other.
BUDGET = 80.0
# Seconds that a copy is given beyond what is predicted, before the answer is no longer waited for.
EXTRA = 30.0

ARGUMENTS: dict[str, dict[str, Any]] = {
    **thresholds.OPTIONS,
    "allow": {"type": "bool", "default": False},
}


@dataclass(frozen=True)
class Policy:
    """When it pays: at least so many bytes to win, of a database that is in use by no more than this share."""

    least_bytes: int = LEAST_BYTES
    most_in_use: float = MOST_IN_USE
    allow: bool = False
    any_version: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether a member is worth it, and what it would take: ``wins`` in bytes, ``seconds`` predicted.

    ``refused`` says why it is not done, or would not be if it were worth it.
    """

    pays: bool
    wins: int
    seconds: float
    why: str
    refused: str = ""


def judge(size: int, in_use: int, running: version.Version, policy: Policy, budget: float | None = BUDGET) -> Verdict:
    """Decide by the sizes of one member's database, in bytes; pure.

    ``budget`` are the seconds without an answer after which the kubelet kills the member, None where it does not.
    """
    # what is copied is what is in use
    wins, seconds = max(size - in_use, 0), predicted(min(in_use, size))
    share = in_use / size if size else 1.0
    told = f"{size} bytes, {share:.0%} in use"
    refused = _refused(seconds, running, policy.any_version, budget)
    if wins < policy.least_bytes:
        return Verdict(False, wins, seconds, f"{told}: {wins} bytes to win, below {policy.least_bytes}", refused)
    if share > policy.most_in_use:
        return Verdict(False, wins, seconds, f"{told}: more than {policy.most_in_use:.0%}", refused)
    return Verdict(True, wins, seconds, told, refused)


def predicted(in_use: int) -> float:
    """Return how long a copy of so many bytes may take, in seconds."""
    return round(in_use / SPEED, 1)


def patience(in_use: int) -> float:
    """Return how long its answer is waited for, in seconds."""
    return 2 * predicted(in_use) + EXTRA


def budget(found: Seen) -> float | None:
    """Return after how many seconds without an answer the kubelet kills a member, None where it does not look."""
    place = next((place for place in found.site.places if place.format == "pod-flags"), None)
    if place is None:
        return BUDGET if found.running.is_pod else None
    try:
        probe = {path[3:]: value for path, value in scalars(place.text).items() if path[:2] == ("spec", "containers")}
    except UnsureError:
        return BUDGET
    given = {path[-1]: value for path, value in probe.items() if path[:1] == ("livenessProbe",)}
    if not given:
        return None
    # the kubelet's own defaults (core/v1 Probe): every 10 s, 3 failures
    period, failures = (given.get(name, str(usual)) for name, usual in (("periodSeconds", 10), ("failureThreshold", 3)))
    return float(int(period) * int(failures)) if period.isdecimal() and failures.isdecimal() else BUDGET


def _refused(seconds: float, running: version.Version, any_version: bool, budget: float | None) -> str:
    if not any_version and not version.defrag_is_safe(running):
        number = ".".join(map(str, running))
        return (
            f"etcd {number} can corrupt a database that is defragmented while it takes a snapshot from the leader "
            "(etcd-io/etcd#20271, mended in 3.4.38, 3.5.23 and 3.6.5)"
        )
    if budget is not None and seconds > budget / 2:
        return (
            f"it may take {seconds:.0f} s, more than half of what the kubelet gives etcd before it kills it "
            f"({budget:.0f} s); raise the liveness probe's failureThreshold, or delete what fills it first"
        )
    return ""


class NotWellError(NodewardError):
    """The cluster is not well, which may pass: a member that copies answers nothing."""


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
    for found in seen.look(host):
        _one(host, found, policy, check_mode, result)
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
    verdict = judge(evidence.db_size, evidence.db_in_use, version.parse(evidence.version), policy, budget(found))
    told: dict[str, Any] = {
        "name": name, "before": evidence.db_size, "in_use": evidence.db_in_use, "after": None, "seconds": None,
        "pays": verdict.pays, "why": verdict.why, "refused": verdict.refused, "predicted_seconds": verdict.seconds,
    }  # fmt: skip
    result.members.append(told)
    if not verdict.pays:
        return
    if verdict.refused:
        raise NodewardError(
            what=f"is not defragmented: {verdict.refused}", where=f"etcd member {name}", remedy="Mend that first"
        )
    if check_mode or not policy.allow:
        result.changed = result.changed or policy.allow
        return
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
    return Wanted(cluster, {}, allow=(RESTART, OUTAGE), with_snapshot=False)


def _defragment(target: Member, in_use: int) -> dict[str, Any]:
    """Do it under the lock: the cluster well before and after, the leader moved away."""
    host = target.host
    name = (host.read_text("/proc/sys/kernel/hostname") or "").strip()
    holder = lock.holder(name, f"defragmentation of etcd {target.seen.name}")
    # no look at how they are before: one that copies just now has the lock, and is waited for
    with lock.held(host, target.others(target.look()), holder) as kept:
        cluster = _require_well(target)
        moved = target.hand_over(cluster)
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


def _require_well(target: Member) -> Cluster:
    cluster = target.look()
    found = quorum.obstacles(cluster)
    if found:
        raise NotWellError(
            what=f"the cluster is not well: {'; '.join(found)}. Nothing was touched",
            where=f"etcd member {target.seen.name}",
            remedy="Mend that first (etcdctl endpoint status --cluster), then run again",
        )
    return cluster


def _wait(target: Member, kept: Lock, cluster: Cluster) -> None:
    deadline = target.host.clock() + health.PATIENCE
    while True:
        kept.keep()
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
        target.host.sleep(health.INTERVAL)
