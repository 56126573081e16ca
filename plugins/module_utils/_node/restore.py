# Private to the collection nodeward.calico: may change in any release.
"""The way back: what the journal's places are to become again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core import file_age
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.journal import Entry, Journal
from .._core.links import MissingPackageError
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import FOLLOW_UPS, Change, Reason, RestartUnit, change_at
from .._core.verbs.links import LINK, PEER
from .._core.verbs.units import RESTART

_WHY = "back to what it was before the first run"


def in_order(_facts: object, changes: Sequence[Change], _policy: object) -> Plan:
    """Leave the way back of a trap as it is, the last change first: `going_back` of those that need no other order."""
    return Plan(tuple(changes))


def refuse_nothing(
    _facts: object, _changes: Sequence[Change], _policy: object = None, _pending: Sequence[Change] = ()
) -> Iterable[Refusal]:
    """Refuse nothing: `guard` of traps without which a node is as it was before them."""
    return ()


@dataclass(frozen=True)
class Facts:
    """The journal, and what each of its places is now (absent where no verb of this release knows it).

    ``unreadable`` says of the places that cannot be read why. ``read`` are the restarts (targets) of units that were
    started after all files of theirs were last written.
    """

    journal: Journal
    present: Mapping[str, str | None]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    read: Collection[str] = ()

    @property
    def restored(self) -> list[str]:
        """Return the places that are as they were before, whoever put them back."""
        seen = [(target, entry) for target, entry in self.journal.entries if target in self.present]
        return [
            target
            for target, entry in seen
            if not is_follow_up(target) and (self.present[target] == entry.before or self._is_gone(target))
        ]

    def _is_gone(self, target: str) -> bool:
        """Tell whether it is a link that is no more, as that of a pod that has ended: it has no MTU to go back to."""
        return target.partition(" ")[0] in (LINK, PEER) and self.present.get(target, "") is None


def observe(journal: Journal, host: Host, traps: Collection[str]) -> Facts:
    """Look at every place of the journal that is of these traps; reads only."""
    present: dict[str, str | None] = {}
    unreadable: dict[str, str] = {}
    for target, entry in journal.entries:
        change = _change(target, entry, entry.after) if entry.trap in traps else None
        if change is None:
            continue
        try:
            present[target] = change.present(host)
        except MissingPackageError:
            raise
        except NodewardError as error:
            unreadable[target] = error.what
        except OSError as error:
            unreadable[target] = error.strerror or str(error)
    restarts = [target for target in present if target.startswith(f"{RESTART} ")]
    return Facts(journal, present, unreadable, [target for target in restarts if _is_read(journal, host, target)])


def _is_read(journal: Journal, host: Host, restart: str) -> bool:
    entries = dict(journal.entries)
    places = [
        target for target, entry in entries.items() if _kind(entry) == _kind(entries[restart]) and target != restart
    ]
    paths = [target.partition(" ")[2].partition("#")[0] for target in places if not is_follow_up(target)]
    unit = restart.partition(" ")[2]
    return all(path.startswith("/") and file_age.is_older(host, path, unit) for path in paths)


def is_follow_up(target: str) -> bool:
    """Tell whether it is a unit that was reloaded or restarted, which has no state of its own."""
    return target.partition(" ")[0] in FOLLOW_UPS


def plan(facts: Facts, traps: Collection[str]) -> Plan:
    """Decide what goes back, the last change first; pure. What someone else changed since is left and named."""
    entries = [(target, entry) for target, entry in reversed(facts.journal.entries) if entry.trap in traps]
    return Plan(
        changes=(*_back(facts, entries), *_follow_ups(facts, entries)),
        findings=tuple(_left(facts, entries)),
    )


def forgotten(facts: Facts, planned: Plan, now: Collection[Change]) -> list[str]:
    """Return the places that need no entry any more once the changes of ``now`` are made.

    A follow-up is needed as long as a place of its kind is still to go back, and such a place as long as the
    follow-up waits: a run that is killed between the two must be finished by the next one.
    """
    done = {change.target for change in now}
    waiting = {change.target for change in planned.changes} - done
    kinds_waiting = {_kind(e) for target, e in facts.journal.entries if is_follow_up(target) and target in waiting}
    places = [(target, entry) for target, entry in facts.journal.entries if not is_follow_up(target)]
    over = [
        target
        for target, entry in places
        if target in done or (target in facts.restored and _kind(entry) not in kinds_waiting)
    ]
    kept = {_kind(entry) for target, entry in places if target not in over}
    follow_ups = [target for target, _entry in facts.journal.entries if is_follow_up(target)]
    entries = dict(facts.journal.entries)
    return [*over, *(t for t in follow_ups if t not in waiting and _kind(entries[t]) not in kept)]


def _kind(entry: Entry) -> tuple[str, str]:
    """Return what a place and its follow-up have in common."""
    return entry.trap, entry.disrupts


def _back(facts: Facts, entries: Collection[tuple[str, Entry]]) -> Iterator[Change]:
    for target, entry in entries:
        if not is_follow_up(target) and _is_ours(facts, target, entry):
            change = _change(target, entry, facts.present[target])
            if change is not None:
                yield change


def _follow_ups(facts: Facts, entries: Collection[tuple[str, Entry]]) -> Iterator[Change]:
    """Return what makes the places that go back, or are back already, take effect.

    A unit that does not run reads them at its next start, and one that was started since they are back has read them.
    """
    places = [(target, entry) for target, entry in entries if not is_follow_up(target)]
    written = {_kind(e) for target, e in places if _is_ours(facts, target, e)}
    there = {_kind(e) for target, e in places if target in facts.restored}
    for target, entry in reversed(list(entries)):
        if is_follow_up(target) and _kind(entry) in (written if target in facts.read else written | there):
            change = _change(target, entry, facts.present.get(target))
            if change is not None and not (isinstance(change, RestartUnit) and change.before is None):
                yield change


def _left(facts: Facts, entries: Collection[tuple[str, Entry]]) -> Iterator[Finding]:
    for target, entry in entries:
        if target in facts.restored or is_follow_up(target):
            continue
        if target in facts.unreadable:
            yield _finding(
                target,
                entry,
                f"cannot be read: {facts.unreadable[target]}",
                "See who rewrote it; set it back by hand, or mend it and restore again",
            )
        elif target not in facts.present:
            yield _finding(target, entry, "no verb of this release", "Restore with the release that changed it")
        elif not _is_ours(facts, target, entry):
            yield _finding(
                target,
                entry,
                _shown(target, facts.present[target]),
                "See who set it; if it is not wanted, set it back by hand",
            )


def _is_ours(facts: Facts, target: str, entry: Entry) -> bool:
    return target in facts.present and entry.is_ours(facts.present[target])


def _change(target: str, entry: Entry, present: str | None) -> Change | None:
    return change_at(target, present, entry.before, Reason(entry.trap, _WHY, disrupts=entry.disrupts))


def _finding(target: str, entry: Entry, observed: str, remedy: str) -> Finding:
    return Finding(
        id=f"{entry.trap}.changed_since",
        severity="medium",
        where=target,
        observed=observed,
        wanted=_shown(target, entry.before),
        why="someone else changed it after we did, so it is left as it is",
        remedy=remedy,
    )


def _shown(target: str, state: str | None) -> str:
    """Say what a place holds, of a whole file only that it is there."""
    if state is None:
        return "absent"
    return "another text" if target.startswith("file ") else state
