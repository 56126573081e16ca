# Private to the collection nodeward.calico: may change in any release.
"""The way back to what members ran with before the first run: decided over all of them, as the way there is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core.formats.several import parted
from .._core.formats.yaml_lines import unquoted
from . import timing, version
from .decision import Decision, Member, grouped, in_order, partial
from .settings import ELECTION, HEARTBEAT, NAMES, Value, Values, defaults, read
from .timing import Problem

TRAP = "etcd_timing"

# What waits for consent on a host, as changes are described in results.
Waiting = Sequence[Mapping[str, Any]]


def decide_back(members: Sequence[Member], waiting: Mapping[str, Waiting], every: bool = False) -> list[Decision]:
    """Decide for every cluster of which a member has something to go back to; ``waiting`` is by host.

    Also where a killed run has put a file back, and the member runs on with what was in it before. With ``every``
    the other clusters are told too, with nobody due.
    """
    decisions = (_decide(name, group, waiting) for name, group in grouped(members).items())
    return [decision for decision in decisions if decision.due or every]


def _decide(name: str, members: Sequence[Member], waiting: Mapping[str, Waiting]) -> Decision:
    own = [(member, _own(member, waiting.get(member.host, ()))) for member in members]
    due = in_order([member for member, waits in own if waits or member.runs_on])
    decision = Decision(name, tuple(members), due=due)
    found = list(partial(decision))
    if due and not found:
        found = list(_problems([(member, _then(member, waits)) for member, waits in own]))
    return replace(decision, problems=tuple(found))


def _own(member: Member, waiting: Waiting) -> Waiting:
    return [each for each in waiting if each.get("trap") == TRAP and each.get("target") in member.places]


def _then(member: Member, own: Waiting) -> dict[str, Value]:
    """Return what a member would run with, of what its files say now and what waits."""
    values = dict(member.configured or member.effective.values)
    usual = defaults(version.parse(member.evidence.version))
    for change in own:
        keys = str(change["target"]).rpartition("#")[2].split(",")
        before, after = parted(change.get("before")), parted(change.get("after"))
        for name, key in zip(NAMES, keys):
            value = read(name, unquoted(after.get(key, "")))
            if value is not None or key in before:
                values[name] = usual[name] if value is None else value
    return values


def _problems(then: Sequence[tuple[Member, Values]]) -> Iterator[Problem]:
    pairs = [(int(values[HEARTBEAT]), int(values[ELECTION])) for _member, values in then]
    if len(set(pairs)) > 1:
        told = ", ".join(f"{member.name} {pair[0]}/{pair[1]} ms" for (member, _values), pair in zip(then, pairs))
        yield Problem(
            f"going back would leave the members unequal ({told}), and the values have to be equal on all of them",
            refused=True,
        )
        return
    yield from (each for each in timing.problems(*pairs[0]) if each.refused)
    yield from timing.mixed([member.effective.values for member, _values in then], then[0][1])
