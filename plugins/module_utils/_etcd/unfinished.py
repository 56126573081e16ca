# Private to the collection nodeward.calico: may change in any release.
"""A member that a killed run has left down, by the note that it left behind (note.py).

A member that runs tells by its files and its options what is left to do. One that a bad value keeps down tells
nothing, and nobody could find out by whom and how it was run. One that somebody has stopped since is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from .._core import journal
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import Finding
from .._core.verbs import Reason, SetKey
from .._core.verbs.units import active_state, start_anew
from . import access, health, members, note, seen
from .api import Etcd

TRAP = "etcd_timing"
WHY = "a run that was killed has left this member with a configuration with which it does not start"


@dataclass(frozen=True)
class Unfinished:
    """The member's name, the unit that runs it ('' for the kubelet), and how what was written goes back.

    ``stopped`` says how it is known that somebody has stopped it, '' where it is down by itself.
    """

    name: str
    unit: str
    back: tuple[SetKey, ...]
    stopped: str = ""


def find(host: Host, running: Collection[str]) -> Unfinished | None:
    """Return what a killed run has left down, None where its member is among those that run."""
    try:
        told = json.loads(host.read_text(note.PATH) or "null")
        if told is None or told["name"] in running:
            return None
        changes = [
            SetKey(str(each["format"]), str(each["path"]), str(each["key"]), each["after"], each["before"],
                   Reason(TRAP, WHY, disrupts=str(each["reason"])))
            for each in told["changes"]
        ]  # fmt: skip
        back = tuple(change for change in changes if change.present(host) == change.before != change.after)
        unit = str(told["unit"])
        return Unfinished(str(told["name"]), unit, back, _stopped(host, unit, [change.path for change in changes]))
    except (ValueError, KeyError, TypeError) as error:
        raise NodewardError(
            what=f"cannot be read ({type(error).__name__})",
            where=note.PATH,
            remedy="See that etcd is well, then remove it",
        ) from error


def _stopped(host: Host, unit: str, paths: Collection[str]) -> str:
    """Tell a stop from an end: a unit that cannot start is failed or activating, a pod's manifest is still there."""
    if unit:
        return f"{unit} is inactive" if active_state(host, unit) == "inactive" else ""
    return "".join(f"{path} is gone" for path in list(paths)[:1] if host.read_text(path) is None)


def stopped(left: Unfinished) -> Finding:
    """Tell of one that somebody has stopped: no run starts it, and none waits for it."""
    return Finding(
        id=f"{TRAP}.stopped",
        severity="medium",
        where=f"etcd member {left.name}",
        observed=f"it does not run: {left.stopped}",
        wanted="that it runs, or that nothing tells of it",
        why="a run that was killed has left a note of it; somebody has stopped it since, so it is not started",
        remedy=f"Start it, then run again; where it is gone for good remove {note.PATH}",
    )


def put_back(host: Host, left: Unfinished) -> None:
    """Put back what the killed run has written, start the member and see it well. Raises NodewardError, OSError."""
    for change in left.back:
        change.check(host)
        change.act(host)
    _forget(host, left)
    if left.unit:
        host.run(["systemctl", "daemon-reload"])
        start_anew(host, left.unit, health.PATIENCE)
    deadline = host.clock() + health.PATIENCE
    while True:
        why = _trouble(host, left)
        if not why:
            note.remove(host)
            return
        health.require_no_failure(host, left.unit)
        if host.clock() >= deadline:
            raise NodewardError(
                what=f"its configuration was put back, and it is not well {health.PATIENCE:.0f} s later: {why}",
                where=f"etcd member {left.name}",
                remedy="See its log",
            )
        host.sleep(members.INTERVAL)


def _forget(host: Host, left: Unfinished) -> None:
    """Bring the journal to what is now: what is as before the first run needs no way back any more."""
    text = host.read_text(journal.PATH)
    known = journal.decode(text)
    entries = dict(known.entries)
    first = [each.target for each in left.back if each.target in entries and entries[each.target].before == each.after]
    after = known.record([each for each in left.back if each.target in entries]).without(first)
    if after != known:
        host.write_file(journal.PATH, after.encode(), journal.MODE)


def _trouble(host: Host, left: Unfinished) -> str:
    for each in seen.look(host):
        if each.name == left.name:
            return each.unseen or members.asked(Etcd(host, access.of(each.running, host))).trouble
    return "it does not run"
