# Private to the collection nodeward.calico: may change in any release.
"""What the module etcd_member does on a node, and how it tells of it."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any

from .._core.errors import NodewardError
from .._core.host import Host, LocalHost
from .._core.verbs import describe, diff
from . import note, seen, snapshot, unfinished
from .member import OUTAGE, RESTART, TRAP, Member, Wanted
from .seen import Seen
from .settings import ELECTION, HEARTBEAT, NAMES, Value, read
from .unfinished import Unfinished

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
    "clusters": {"type": "dict", "required": True},
    "allow": {"type": "list", "elements": "str", "choices": [RESTART, OUTAGE], "default": []},
    "snapshot": {"type": "bool", "default": True},
    "snapshot_folder": {"type": "path"},
}


def wanted(params: Mapping[str, Any]) -> list[Wanted]:
    """Read the module's parameters. Raises NodewardError."""
    folder = params["snapshot_folder"] or ""
    if folder and not folder.startswith("/"):
        raise NodewardError(
            what=f"{folder!r} is no absolute path, and a snapshot holds every Secret",
            where="etcd_timing_snapshot_folder",
            remedy="Name the folder from / on",
        )
    if f"{posixpath.normpath(folder)}/".startswith("/etc/"):
        raise NodewardError(
            what=f"{folder} is in /etc, whose folders are read by others: in that of static pods each file is a pod",
            where="etcd_timing_snapshot_folder",
            remedy="Name another one, such as /var/backups/etcd",
        )
    return [
        Wanted(
            cluster_id=cluster_id,
            values=_values(given),
            allow=tuple(params["allow"]),
            restore=params["state"] == "restored",
            with_snapshot=params["snapshot"],
            snapshot_folder=folder,
        )
        for cluster_id, given in params["clusters"].items()
    ]


def _values(given: Any) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if given is not None and not isinstance(given, Mapping):
        raise NodewardError(f"{given!r} is no mapping of values", "etcd_member clusters", "Give each cluster a mapping")
    for name, value in (given or {}).items():
        told = read(name, str(value)) if name in NAMES else None
        if told is None:
            raise NodewardError(
                what=f"{value!r} is no value of {name!r}",
                where="etcd_member clusters",
                remedy=f"Give values of {', '.join(NAMES)}",
            )
        values[name] = told
    if (HEARTBEAT in values) != (ELECTION in values):
        raise NodewardError(
            what=f"{HEARTBEAT} and {ELECTION} go together, and only one of them is given",
            where="etcd_member clusters",
            remedy="Give both or none",
        )
    return values


def run(host: LocalHost, wanted: list[Wanted], check_mode: bool, allow: Collection[str] = ()) -> dict[str, Any]:
    """Do it under the node's lock, so that no other run of the collection meets it."""
    with nullcontext() if check_mode else host.lock():
        return _run(host, wanted, check_mode, allow)


def _run(host: Host, wanted: list[Wanted], check_mode: bool, allow: Collection[str]) -> dict[str, Any]:
    """Bring the members of this node to what is wanted, one after the other; return the module's result."""
    result: dict[str, Any] = {"changed": False, "changes": [], "pending": [], "findings": [], "diff": [], "members": []}
    if not check_mode:
        for folder in {each.snapshot_folder for each in wanted} or {""}:
            snapshot.age(host, folder)
    found_now = seen.look(host)
    left = unfinished.find(host, [each.name for each in found_now])
    if left is not None and left.stopped:
        result["findings"].append(unfinished.stopped(left).describe())
        left = None
    if left is not None:
        _mend(host, left, allow, result, check_mode)
        found_now = found_now if check_mode else seen.look(host)
    for each in wanted:
        own = [found for found in found_now if found.membership and found.membership.cluster_id == each.cluster_id]
        if not own and left is None:
            _require_seen(found_now)
        for found in own:
            _one(Member(host, found, each), result, check_mode)
    return result


def _require_seen(found_now: Collection[Seen]) -> None:
    """Refuse to pass over a member that cannot be asked: it may be the one that is meant."""
    for found in found_now:
        if found.unseen:
            raise NodewardError(
                what=f"cannot be asked, and nothing was done: {found.unseen}",
                where=f"etcd member {found.name}",
                remedy="See whether etcd is well and its certificates can be read, then run again",
            )


def _mend(host: Host, left: Unfinished, allow: Collection[str], result: dict[str, Any], check_mode: bool) -> None:
    """Bring a member up again that a killed run has left down."""
    shown = [{**describe(change), "disrupts": RESTART} for change in left.back]
    shown = shown or [_shown_restart(left.unit or left.name, RESTART, unfinished.WHY)]
    if RESTART not in allow:
        result["pending"] += shown
        return
    if not check_mode:
        try:
            unfinished.put_back(host, left)
        except OSError as error:
            raise NodewardError(
                f"cannot be put back: {error.strerror}", str(error.filename), "Mend that, then run again"
            ) from error
    result["changed"] = True
    result["changes"] += shown
    result["diff"] += [diff(change) for change in left.back]


def _one(member: Member, result: dict[str, Any], check_mode: bool) -> None:
    changes, due = member.plan()
    if not due:
        if member.seen.is_settled and not check_mode:
            note.remove(member.host)  # it would have the member started with older values whenever it is down
        return
    word = member.word()
    shown = [describe(change) for change in changes] or [_restart_only(member, word)]
    shown = [{**change, "disrupts": word} for change in shown]
    if word not in member.wanted.allow:
        result["pending"] += shown
        return
    if check_mode:
        member.check(changes)
    else:
        done = member.change(changes)
        result["members"].append({"name": member.seen.name, **done})
    result["changed"] = True
    result["changes"] += shown
    result["diff"] += [diff(change) for change in changes]


def _restart_only(member: Member, word: str) -> dict[str, str | None]:
    place = member.seen.site.unit or member.seen.site.manifest
    return _shown_restart(place, word, "its files say what is wanted, and it runs with something else")


def _shown_restart(place: str, word: str, why: str) -> dict[str, str | None]:
    return {
        "trap": TRAP,
        "target": f"restart {place}",
        "before": None,
        "after": None,
        "why": why,
        "disrupts": word,
    }
