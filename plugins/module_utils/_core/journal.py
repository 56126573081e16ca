# Private to the collection nodeward.calico: may change in any release.
"""What every place looked like before our first change to it, kept on the node itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace

from .errors import NodewardError
from .files import BYTES_SURVIVE, ENCODING
from .formats import FORMATS
from .verbs import Change

FOLDER = "/var/lib/nodeward"
PATH = f"{FOLDER}/journal.json"
KEPT = "journal-unreadable-"  # what the names of texts that could not be read begin with
MODE = 0o600
FORMAT = 1

# Kinds of places whose states are whole numbers, those that are files, and those that are keys in files.
_NUMBERS = ("sysctl", "link", "peer")
_FILES = ("file", "folder")
_KEYS = tuple(FORMATS)


@dataclass(frozen=True)
class Entry:
    """One place: its state before our first change and after our last one; None means absent.

    ``disrupts`` is the word of consent that going back needs. A follow-up (FOLLOW_UPS: a unit that was reloaded
    or restarted) has no state: both are None. ``earlier`` is what we gave it before that: a run may have been killed
    between writing ``after`` down and doing it. None for nothing, so a place that we had emptied is not known by it.
    """

    trap: str
    before: str | None
    after: str | None
    disrupts: str = ""
    earlier: str | None = None

    @property
    def ours(self) -> tuple[str | None, ...]:
        """Return the states that are from us."""
        return (self.after,) if self.earlier is None else (self.after, self.earlier)

    def is_ours(self, state: str | None) -> bool:
        """Tell whether a place that is like this still has what we gave it, and had something else before."""
        return state != self.before and state in self.ours

    def changed(self, present: str | None, after: str | None) -> Entry:
        """Return the entry of a place that gets another state; ``present`` tells whether the last run was killed."""
        if after == self.after:
            return self
        return replace(self, after=after, earlier=self.earlier if present == self.earlier else self.after)


@dataclass(frozen=True)
class Journal:
    """Entries by target (as ``Change.target`` names it), in the order of their first change."""

    entries: tuple[tuple[str, Entry], ...] = ()

    def record(self, changes: Iterable[Change]) -> Journal:
        """Return the journal with these changes in it. The oldest ``before`` of a place is kept.

        Of several changes at one place the first one meets what an earlier run left.
        """
        first, entries = dict(self.entries), dict(self.entries)
        for change in changes:
            known = entries.get(change.target)
            before, after = (None, None) if change.follows else (change.before, change.after)
            word = change.reason.way_back or change.reason.disrupts
            if known is None:
                entries[change.target] = Entry(change.reason.trap, before, after, word)
            elif known != first.get(change.target):
                entries[change.target] = replace(known, after=after, disrupts=known.disrupts or word)
            else:
                entries[change.target] = replace(known.changed(before, after), disrupts=known.disrupts or word)
        return Journal(tuple(entries.items()))

    def without(self, targets: Collection[str]) -> Journal:
        """Return the journal with nothing in it about these places."""
        return Journal(tuple((target, entry) for target, entry in self.entries if target not in targets))

    def encode(self) -> str:
        body = {"format": FORMAT, "entries": {target: _shown(entry) for target, entry in self.entries}}
        return json.dumps(body, indent=1) + "\n"


def _shown(entry: Entry) -> dict[str, str | None]:
    return {name: text for name, text in asdict(entry).items() if name != "earlier" or text is not None}


class UnreadableJournalError(NodewardError):
    """A journal whose text makes no sense; one of a newer release is no such."""


def decode(text: str | None) -> Journal:
    """Read a journal; None (no file yet) is an empty one.

    Raises UnreadableJournalError on garbage, NodewardError on the format of another release.
    """
    if text is None:
        return Journal()
    try:
        body = json.loads(text)
        _require_known(body["format"])
        entries = tuple((target, Entry(**entry)) for target, entry in body["entries"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(str(error)) from error
    for target, entry in entries:
        if not _is_sound(target, entry):
            raise _unreadable(f"the entry {target!r} holds something else than it should")
    return Journal(entries)


def aside(text: str) -> str:
    """Return the name under which an unreadable journal is kept: the same text always under the same."""
    digest = hashlib.sha256(text.encode(ENCODING, BYTES_SURVIVE)).hexdigest()
    return f"{FOLDER}/{KEPT}{digest[:12]}.json"


def _require_known(number: object) -> None:
    if type(number) is not int:  # True is an int, and equal to 1
        raise TypeError(f"its format is {number!r}")
    if number != FORMAT:
        raise NodewardError(
            what=f"the journal's format is {number}, this release knows {FORMAT}",
            where=PATH,
            remedy="Use the release that wrote it",
        )


def _is_sound(target: str, entry: Entry) -> bool:
    """Tell whether verbs can be made of an entry; the kinds of a later release are not judged."""
    states = (entry.before, entry.after)
    if not all(isinstance(text, str) for text in (entry.trap, entry.disrupts)):
        return False
    if not all(state is None or _can_be_written(state) for state in (*states, entry.earlier)):
        return False
    kind, _space, place = target.partition(" ")
    if not _can_be_written(place) or "\0" in place:
        return False
    if kind in _NUMBERS:
        return all(state is not None and _is_number(state) for state in states)
    if kind in _KEYS and "#" not in place:
        return False
    return kind not in (*_FILES, *_KEYS) or (place.startswith("/") and not place.endswith("/"))


def _can_be_written(text: object) -> bool:
    """Tell whether it is a text that a file can hold: half of a surrogate pair, which JSON can carry, is not."""
    if not isinstance(text, str):
        return False
    try:
        text.encode(ENCODING, BYTES_SURVIVE)
    except UnicodeEncodeError:
        return False
    return True


def _is_number(state: str) -> bool:
    return state.isdecimal() and len(state) < 20


def _unreadable(what: str) -> UnreadableJournalError:
    return UnreadableJournalError(
        what=f"the journal of earlier changes cannot be read ({what})",
        where=PATH,
        remedy="Put back a good copy of it, or set by hand what its text still tells and move it away",
    )
