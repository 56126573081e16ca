# Private to the collection nodeward.calico: may change in any release.
"""What the kubelet leaves to all pods together: the node's process ids without those that are reserved.

It reads the node's limits once, when it is started (kubelet pkg/kubelet/cm: container_manager_linux.go
internalCapacity), and makes what is left of them the limit of the pods' cgroup. Where nothing is left that is 0, and it
says no word (node_container_manager_linux.go getNodeAllocatableAbsoluteImpl): no pod can start a thread then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import Change
from . import pid_use
from .kubelet import POD_LIMIT, Kubelet
from .kubelet_obstacles import FLOOR_OPTIONS
from .kubelet_plan import set_by


def plan(kubelet: Kubelet, use: pid_use.Use, changes: Collection[Change], capacity: int, trap: str) -> Plan:
    """Refuse changes of the reservations that leave too little, and find what is amiss without them; pure.

    ``capacity`` is what the node allows once all is done.
    """
    if not kubelet.running:
        return Plan()
    given = {key: number for change in changes for key, number in set_by(kubelet, change).items()}
    given = {key: number for key, number in given.items() if key in FLOOR_OPTIONS}
    kept = {**{key: reservation.pids or 0 for key, reservation in kubelet.reserved.items()}, **given}
    used = max((limit.used for limit in _of_pods(kubelet, use)), default=0)
    least = max(2 * used, 1)
    left = capacity - sum(kept.values())
    old = Plan(findings=tuple(_old(kubelet, use, capacity, bool(changes), trap)))
    if left >= least or not any(kept.values()):
        return old
    if given:
        return Plan(refusals=(_too_much(kept, given, capacity, least, trap),))
    if capacity < least:  # not for what is reserved: the node itself is too full, and in_use tells so
        return old
    return old + Plan(findings=(_little_left(kept, capacity, used, trap),))


def _of_pods(kubelet: Kubelet, use: pid_use.Use) -> list[pid_use.Limit]:
    return [limit for limit in use.cgroups if limit.name in pid_use.pod_cgroups(kubelet.cgroup_root)]


def _old(kubelet: Kubelet, use: pid_use.Use, now: int, restarts: bool, trap: str) -> Iterator[Finding]:
    """Find a kubelet that was started before the limits were raised."""
    kept = sum(reservation.pids or 0 for reservation in kubelet.reserved.values())
    for limit in _of_pods(kubelet, use):
        if limit.limit + kept < now:
            yield Finding(
                id=f"{trap}.kubelet_capacity",
                severity="medium",
                where=limit.name,
                observed=f"{limit.limit} for all pods together",
                wanted=f"{now - kept}, what the node allows without what is reserved",
                why="the kubelet reads the node's limits once, when it is started, and these were lower then",
                remedy="Restart the kubelet when it suits; harden does where it changes its configuration",
                mended=restarts,
            )


def _too_much(kept: Mapping[str, int], given: Mapping[str, int], capacity: int, least: int, trap: str) -> Refusal:
    room = max(capacity - least - sum(number for key, number in kept.items() if key not in given), 0)
    options = " and ".join(f"{trap}_{FLOOR_OPTIONS[key]}" for key in given)
    together = " together" if len(given) > 1 else ""
    return Refusal(
        trap=trap,
        what=f"reserving {_told(kept)} of the {capacity} process ids of the node would leave "
        f"{max(capacity - sum(kept.values()), 0)} to all pods together, and they need {_need(least)}",
        where=", ".join(f"kubelet {key}" for key in given),
        remedy=f"Set {options} to {room} or less{together}, or to 0 to leave the reservations alone",
    )


def _little_left(kept: Mapping[str, int], capacity: int, used: int, trap: str) -> Finding:
    left = max(capacity - sum(kept.values()), 0)
    return Finding(
        id=f"{trap}.reserved",
        severity="high" if left < max(1.25 * used, 1) else "medium",
        where=", ".join(f"kubelet {key}" for key, number in kept.items() if number),
        observed=f"{_told(kept)} of the {capacity} process ids of the node, and the pods have {used} threads",
        wanted=f"{_need(max(2 * used, 1))}, left to all pods together",
        why="what is reserved is taken from the limit of all pods together, down to 0, and the kubelet does not say so",
        remedy="Reserve less where the kubelet is configured, or move pods to other nodes",
    )


def _need(least: int) -> str:
    return f"{least} or more, twice the threads that they have" if least > 1 else "1 or more"


def unseen(kubelet: Kubelet, trap: str) -> Iterator[Finding]:
    """Find a kubelet without a cap whose pods are not where they are looked for: what the busiest has is not known."""
    if kubelet.pod_pids_limit >= 1:
        return
    yield Finding(
        id=f"{trap}.pods_unseen",
        severity="medium",
        where=f"kubelet {POD_LIMIT}",
        observed=f"no cgroup of pods below {kubelet.cgroup_root or '/'}, the kubelet's cgroupRoot",
        wanted=" or ".join(pid_use.pod_cgroups(kubelet.cgroup_root)),
        why="a cap may stop a pod that runs; what they use cannot be told, so none was set",
        remedy=f"See with systemd-cgls where the pods are, and set {POD_LIMIT} by hand in the kubelet's configuration",
    )


def _told(kept: Mapping[str, int]) -> str:
    return " and ".join(f"{number} ({key})" for key, number in kept.items() if number)
