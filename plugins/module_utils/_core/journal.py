# Private to the collection nodeward.calico: may change in any release.
"""What every place looked like before our first change to it, kept on the node itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from .errors import NodewardError
from .verbs import Change

PATH = "/var/lib/nodeward/journal.json"
MODE = 0o600
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One place: its state before our first change and after our last one; None means absent."""

    trap: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Journal:
    """Entries by target (as ``Change.target`` names it), in the order of their first change."""

    entries: tuple[tuple[str, Entry], ...] = ()

    def record(self, changes: Iterable[Change]) -> Journal:
        """Return the journal with these changes in it. The oldest ``before`` of a place is kept."""
        entries: dict[str, Entry] = dict(self.entries)
        for change in changes:
            known = entries.get(change.target)
            if known is None:
                entries[change.target] = Entry(change.reason.trap, change.before, change.after)
            else:
                entries[change.target] = replace(known, after=change.after)
        return Journal(tuple(entries.items()))

    def encode(self) -> str:
        body = {"format": FORMAT, "entries": {target: asdict(entry) for target, entry in self.entries}}
        return json.dumps(body, indent=1) + "\n"


def decode(text: str | None) -> Journal:
    """Read a journal; None (no file yet) is an empty one. Raises NodewardError on anything unknown."""
    if text is None:
        return Journal()
    try:
        body = json.loads(text)
        if body["format"] != FORMAT:
            raise _unreadable(f"its format is {body['format']!r}, this release knows {FORMAT}")
        return Journal(tuple((target, Entry(**entry)) for target, entry in body["entries"].items()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(f"it cannot be read ({error})") from error


def _unreadable(what: str) -> NodewardError:
    return NodewardError(
        what=f"the journal of earlier changes is not usable: {what}",
        where=PATH,
        remedy="Use the release that wrote it, or move it away; restore then knows no earlier values",
    )
