# Private to the collection nodeward.calico: may change in any release.
"""A node's plan as it is saved and applied later: the policies that it came from, and every change of it.

Applying plans anew, with the saved policies, and goes on only where the same changes come out. So nothing that stands
in a file is done to a node: the file only says what the fresh plan has to be. Facts are not compared, since numbers of
threads and ages of tokens differ every second: what is, is the state of every place that the plan changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import NodewardError
from .files import BYTES_SURVIVE, ENCODING
from .journal import Journal
from .verbs import Change, describe
from .version import VERSION

FORMAT = 1
NAMED = 5  # differences that an error tells; the others are counted
_LONGEST = 60  # characters of a state in it

_AGAIN = "Save a new plan (harden.yml --check -e harden_save_plan=FOLDER), read it, and apply that one"


@dataclass(frozen=True)
class SavedPlan:
    """What was saved: of which node and when, the policies by trap, and the changes as ``_noted`` shapes them."""

    node: str
    time: str
    policies: Mapping[str, Any]
    changes: tuple[Mapping[str, Any], ...]


def asked(params: Mapping[str, Any]) -> tuple[str, object]:
    """Return what the module's option ``plan`` says: the node's name, '' for no plan at all, and what was saved.

    That is None where the plan is to be returned.
    """
    plan = params.get("plan") or {}
    return plan.get("node") or "", plan.get("saved")


def to_save(
    node: str, policies: Mapping[str, Any], changes: Sequence[Change], missing: Sequence[str]
) -> dict[str, Any]:
    """Shape a plan for its file; ``seal`` completes it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "node": node,
        "policies": dict(policies),
        "changes": [_noted(change) for change in changes],
        "missing": list(missing),
    }


def seal(body: Mapping[str, Any], time: str) -> dict[str, Any]:
    """Return the whole content of a plan's file: with the time, and a sum by which damage is seen."""
    content = {**body, "time": time}
    return {**content, "sum": _sum(content)}


def read(saved: object, node: str) -> SavedPlan:
    """Read what was saved, as text or as what JSON makes of it, for a node.

    Raises NodewardError where there is nothing, where it is damaged, of another release or of another node.
    """
    where = f"the saved plan of {node}"
    if saved in ("", None):
        raise NodewardError("there is none", where, f"{_AGAIN}, or leave the node out with --limit")
    try:
        body: Any = json.loads(saved) if isinstance(saved, str) else saved
        content = {name: value for name, value in body.items() if name != "sum"}
        wrong = "" if body["sum"] == _sum(content) else "its sum is another one"
        release, of = (content["format"], content["version"]), content["node"]
        plan = SavedPlan(of, content["time"], content["policies"], tuple(content["changes"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = f"its {error} is not there" if isinstance(error, KeyError) else str(error)
        raise _damaged(told, where) from error
    if wrong:
        raise _damaged(wrong, where)
    if release != (FORMAT, VERSION):
        raise NodewardError(f"it is of nodeward.calico {release[1]}, this is {VERSION}", where, _AGAIN)
    if of != node:
        raise NodewardError(f"it is the plan of {of}", where, f"{_AGAIN}, under the names that the nodes have now")
    return plan


def _damaged(told: str, where: str) -> NodewardError:
    return NodewardError(f"it is damaged ({told})", where, _AGAIN)


def require_same(saved: SavedPlan, changes: Sequence[Change], done: Journal) -> None:
    """Raise NodewardError unless a fresh plan has the saved changes, without those that were made since.

    ``done`` is the node's journal: a run may end half-way, or what waits for consent may be done later.
    """
    fresh = [_noted(change) for change in changes]
    left = [each for number, each in enumerate(saved.changes) if each in fresh or not _is_done(saved, number, done)]
    if left == fresh:
        return
    told = list(_differences(left, fresh)) or ["the same changes would come in another order"]
    more = f", and {len(told) - NAMED} more" if len(told) > NAMED else ""
    raise NodewardError(
        what=f"the node changed since it was saved at {saved.time}: {'; '.join(told[:NAMED])}{more}",
        where=f"the saved plan of {saved.node}",
        remedy=_AGAIN,
    )


def _is_done(saved: SavedPlan, number: int, done: Journal) -> bool:
    """Tell whether a change was made: its place got what it, or a later one there, was to give it."""
    target = saved.changes[number]["target"]
    entry = dict(done.entries).get(target)
    later = [each for each in saved.changes[number:] if each["target"] == target]
    return entry is not None and any(each["after_sum"] == _state_sum(entry.after) for each in later)


def _differences(left: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    gone, new = [each for each in left if each not in fresh], [each for each in fresh if each not in left]
    for each in gone:
        now = [other for other in new if other["target"] == each["target"]]
        if now:
            yield f"{each['target']} was {_way(each)}, and is {_way(now[0])} now"
        else:
            yield f"{each['target']} ({_way(each)}) need not be changed any more, and it was not us"
    places = {each["target"] for each in gone}
    yield from (f"{each['target']} ({_way(each)}) is new" for each in new if each["target"] not in places)


def _way(noted: Mapping[str, Any]) -> str:
    before, after = (_short(noted[part]) for part in ("before", "after"))
    return f"{before} -> {after}" if (before, after) != ("absent", "absent") else "to be done"


def _short(state: str | None) -> str:
    if state is None:
        return "absent"
    line = " ".join(state.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}... ({_state_sum(state)[:12]})"


def _noted(change: Change) -> dict[str, Any]:
    """Shape a change for people, with the sums that it is compared by; a text may be too long to be told."""
    told = describe(change)
    before, after = (None, None) if change.follows else (change.before, change.after)
    return {
        **{part: _text(told[part]) for part in ("trap", "target", "before", "after", "disrupts")},
        "before_sum": _state_sum(before),
        "after_sum": _state_sum(after),
    }


def _text(told: str | None) -> str | None:
    """Return a text as a result can carry it, so that it is the same when it comes back."""
    return None if told is None else told.encode(ENCODING, BYTES_SURVIVE).decode(ENCODING, "replace")


def _state_sum(state: str | None) -> str:
    return "" if state is None else hashlib.sha256(state.encode(ENCODING, BYTES_SURVIVE)).hexdigest()


def _sum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
