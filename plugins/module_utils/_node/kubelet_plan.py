# Private to the collection nodeward.calico: may change in any release.
"""The kubelet's limits on process ids: a cap for each pod, and floors of what is kept for the node's daemons.

podPidsLimit is a cap: it is set only where there is none, since a lower one may stop a pod that runs and a
higher one undoes what somebody decided. Everything here needs the kubelet's restart, and is written only
with consent to it: a file that is written already arms the next restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._core import file_age
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import MANAGED_BY, Change, Reason, RemoveFile, RestartUnit, SetKey, WriteFile
from .._kube.quantity import quantity
from . import kubelet_file, kubelet_inside
from .kubelet import OVERRIDING, POD_LIMIT, UNLIMITED, Kubelet
from .kubelet_file import ConfigFile
from .kubelet_obstacles import (
    WHY,
    broken_files,
    hindrances,
    not_running,
    obstacles,
    refused_files,
    refused_reservation,
    unread,
)

CONSENT = "kubelet_restart"

# The least cap that is set by default: what the guides of KubeMarine and kubespray set where they set one.
LEAST_CAP = 4096


@dataclass(frozen=True)
class Wishes:
    """What the policy says: ``cap`` of a pod (None: by the busiest one, -1: none), ``floors`` by key, 0: none."""

    cap: int | None
    floors: Mapping[str, int]


def wanted(kubelet: Kubelet, busiest: int, wishes: Wishes) -> dict[str, int | None]:
    """Return what the kubelet should end up with, by key; None where it needs no such key, or has one unread.

    ``busiest`` are the threads of the busiest pod.
    """
    floors: dict[str, int | None] = {}
    for key, floor in wishes.floors.items():
        reservation = kubelet.reserved.get(key)
        floors[key] = max(floor, (reservation.pids if reservation else None) or 0) or None
    values = {POD_LIMIT: _cap(kubelet, busiest, wishes), **floors}
    return {key: None if key in kubelet.unread else value for key, value in values.items()}


def _wished(wishes: Wishes) -> list[str]:
    return [*([] if wishes.cap == UNLIMITED else [POD_LIMIT]), *(key for key, floor in wishes.floors.items() if floor)]


def _is_unlimited(kubelet: Kubelet) -> bool:
    return kubelet.pod_pids_limit < 1 and POD_LIMIT not in kubelet.unread


def _cap(kubelet: Kubelet, busiest: int, wishes: Wishes) -> int | None:
    if kubelet.pod_pids_limit >= 1:
        return kubelet.pod_pids_limit
    if wishes.cap is None:
        return max(LEAST_CAP, 4 * busiest)
    return None if wishes.cap == UNLIMITED else wishes.cap


def plan(kubelet: Kubelet, busiest: int, wishes: Wishes, trap: str) -> Plan:
    """Decide what the kubelet's configuration needs; pure."""
    if kubelet.inside:
        numbers = wanted(kubelet, busiest, wishes)
        return Plan(findings=tuple(kubelet_inside.findings(kubelet.inside, numbers, OVERRIDING, trap)))
    if not kubelet.running:
        return Plan(findings=tuple(not_running(kubelet, trap)))
    refusals = tuple(_refused_cap(kubelet, busiest, wishes, trap))
    needs = _needs(kubelet, wanted(kubelet, busiest, wishes))
    findings = [*_cap_findings(kubelet, busiest, wishes, trap), *unread(kubelet, _wished(wishes), trap)]
    if needs:
        in_the_way = tuple(obstacles(kubelet, needs, trap))
        findings += in_the_way
        refusals += () if in_the_way else tuple(refused_files(kubelet, trap))
        needs = {} if in_the_way or refusals else needs
    elif _wished(wishes):
        findings += broken_files(kubelet, trap)
    for key in list(needs):
        in_its_way = tuple(hindrances(kubelet, key, trap))
        findings += in_its_way
        refusals += () if in_its_way else tuple(refused_reservation(kubelet, key, needs[key], trap))
        if in_its_way:
            del needs[key]
    if POD_LIMIT not in needs and _is_unlimited(kubelet) and wishes.cap != UNLIMITED and not refusals:
        findings.append(_unlimited(trap))
    return Plan(
        changes=() if refusals else tuple(_changes(kubelet, needs, trap)), findings=tuple(findings), refusals=refusals
    )


def guard(kubelet: Kubelet, busiest: int, changes: Sequence[Change], trap: str) -> Iterator[Refusal]:
    """Refuse to go back below twice what is in use."""
    for change in changes:
        for key, number in set_by(kubelet, change).items():
            reservation = kubelet.reserved.get(key)
            in_use = busiest if key == POD_LIMIT else (reservation.used or 0) if reservation else 0
            if 0 < number < 2 * in_use:
                yield Refusal(
                    trap=trap,
                    what=f"going back to {number} would leave less than twice the {in_use} threads that run",
                    where=change.target if isinstance(change, SetKey) else f"{change.target} {key}",
                    remedy=f"Stop what holds the threads, or leave this trap as it is (--skip-tags {trap})",
                )


def set_by(kubelet: Kubelet, change: Change) -> dict[str, int]:
    """Return the numbers that a change gives to keys of the kubelet; what stays as it is is not among them."""
    if isinstance(change, SetKey) and change.key in WHY and change.after:
        number = quantity(change.after.strip("\"'"))
        return {} if number is None else {change.key: number}
    if isinstance(change, (WriteFile, RemoveFile)) and change.path.endswith(f"/{kubelet_file.OWN_NAME}"):
        numbers = {key: quantity(_word_with(kubelet, change.after, key)) for key in WHY}
        present = {POD_LIMIT: kubelet.pod_pids_limit, **{key: kept.pids for key, kept in kubelet.reserved.items()}}
        return {key: number for key, number in numbers.items() if number is not None and number != present.get(key)}
    return {}


def _word_with(kubelet: Kubelet, own: str | None, key: str) -> str | None:
    """Return what the files of the kubelet give a key, with this text as ours; None where a flag gives it."""
    if OVERRIDING[key] in kubelet.flags:
        return None
    place = kubelet.drop_in
    after = [file.text for file in kubelet.others if place and file.is_after(place)]
    before = [file.text for file in kubelet.others if not (place and file.is_after(place))]
    texts = [kubelet.config.text if kubelet.config else None, *before, own, *after]
    words = (kubelet_file.word_at(key, text or "") for text in reversed(texts))
    return next((word for word in words if word is not None), None)


# --- what is to be done -----------------------------------------------------------------------------


def _needs(kubelet: Kubelet, wanted_values: Mapping[str, int | None]) -> dict[str, int]:
    """Return the keys that are to be set."""
    present = {key: reservation.pids for key, reservation in kubelet.reserved.items()}
    if kubelet.pod_pids_limit >= 1:
        present[POD_LIMIT] = kubelet.pod_pids_limit
    return {key: value for key, value in wanted_values.items() if value is not None and present.get(key) != value}


def _changes(kubelet: Kubelet, needs: Mapping[str, int], trap: str) -> Iterator[Change]:
    destination = kubelet.drop_in or kubelet.config
    if destination is None or not kubelet.invocation:
        return
    if needs and kubelet.drop_in:
        write = _own_drop_in(kubelet.drop_in, needs, trap)
        if write.before == write.after:
            needs = {}
        else:
            yield write
    elif needs:
        for key, number in needs.items():
            yield SetKey(
                format="yaml",
                path=destination.path,
                key=key,
                before=destination.get(key),
                after=_written(key, number),
                reason=Reason(trap, WHY[key], "medium" if key == POD_LIMIT else "low", CONSENT),
            )
    why = "the kubelet reads its configuration at its start" if needs else _why_not_read(kubelet, destination)
    if why:
        yield RestartUnit(kubelet.unit, kubelet.invocation, Reason(trap, why, "medium", CONSENT))


def _written(key: str, number: int) -> str:
    """Reservations are strings to the kubelet (map[string]string); a bare number would stop its start."""
    return str(number) if key == POD_LIMIT else f'"{number}"'


def _own_drop_in(file: ConfigFile, needs: Mapping[str, int], trap: str) -> WriteFile:
    """Return the writing of our own file, with what it says already."""
    there = {key: quantity(kubelet_file.word_at(key, file.text or "")) for key in WHY}
    values = {key: needs.get(key, number) for key, number in there.items()}
    lines = [f"# {MANAGED_BY}.", "apiVersion: kubelet.config.k8s.io/v1beta1", "kind: KubeletConfiguration"]
    for key, value in values.items():
        mapping, _dot, name = key.partition(".")
        if value is not None:
            lines += [f"{mapping}:", f"  {name}: {_written(key, value)}"] if name else [f"{key}: {value}"]
    why = "; ".join(WHY[key] for key in needs)
    return WriteFile(file.path, file.text, "\n".join(lines) + "\n", Reason(trap, why, "medium", CONSENT))


def _why_not_read(kubelet: Kubelet, file: ConfigFile) -> str:
    """Say why a kubelet whose files are as they should be does not run with them, '' where it does."""
    is_in_it = any(kubelet_file.word_at(key, file.text or "") is not None for key in WHY)
    if is_in_it and file_age.is_newer(file.modified, kubelet.started):
        return f"{file.path} was written after the kubelet was started, so it runs without what the file says"
    return ""


# --- the cap -----------------------------------------------------------------------------------------


def _refused_cap(kubelet: Kubelet, busiest: int, wishes: Wishes, trap: str) -> Iterator[Refusal]:
    if _is_unlimited(kubelet) and wishes.cap is not None and 1 <= wishes.cap < 2 * busiest:
        yield Refusal(
            trap=trap,
            what=f"a cap of {wishes.cap} would leave less than twice the {busiest} threads of the busiest pod",
            where=f"kubelet {POD_LIMIT}",
            remedy=f"Set {trap}_pids_per_pod to {2 * busiest} or more, or to -1 to leave pods unlimited",
        )


def _cap_findings(kubelet: Kubelet, busiest: int, wishes: Wishes, trap: str) -> Iterator[Finding]:
    cap = kubelet.pod_pids_limit
    if cap < 1:
        return
    if cap < 2 * busiest:
        yield Finding(
            id=f"{trap}.pod_cap",
            severity="high" if cap < 1.25 * busiest else "medium",
            where=f"kubelet {POD_LIMIT}",
            observed=f"{cap}, and the busiest pod has {busiest} threads",
            wanted=f"{2 * busiest} or more, or fewer threads",
            why="at the cap the pod cannot start a thread; whose cap it is decides, so it is not raised here",
            remedy="See what the pod does with its threads; if it needs them, raise podPidsLimit at its source",
        )
    if wishes.cap is not None and wishes.cap != cap:
        yield Finding(
            id=f"{trap}.pod_cap_kept",
            severity="low",
            where=f"kubelet {POD_LIMIT}",
            observed=str(cap),
            wanted="no cap" if wishes.cap == UNLIMITED else str(wishes.cap),
            why="a cap that is there is neither lowered nor raised here",
            remedy=f"Restore first if it is ours, else change it at its source; or set {trap}_pids_per_pod to {cap}",
        )


def _unlimited(trap: str) -> Finding:
    return Finding(
        id=f"{trap}.unlimited_pods",
        severity="medium",
        where=f"kubelet {POD_LIMIT}",
        observed="no limit",
        wanted=f"a limit, {LEAST_CAP} for example",
        why=WHY[POD_LIMIT],
        remedy=f"Set {POD_LIMIT} in the kubelet's configuration",
    )
