# Private to the collection nodeward.calico: may change in any release.
"""What there is to say of the journal itself; reads only."""

from __future__ import annotations

from collections.abc import Iterator

from .._core import journal
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import Finding


def unreadable(host: Host) -> Iterator[Finding]:
    """Tell of a journal whose text makes no sense, before a change keeps it aside."""
    text = host.read_text(journal.PATH)
    try:
        journal.decode(text)
    except NodewardError as error:
        if not isinstance(error, journal.UnreadableJournalError):
            return  # of another release: whoever has something to write will be refused
        yield Finding(
            id="journal.unreadable",
            severity="high",
            where=journal.PATH,
            observed=error.what,
            wanted="a journal that restore can go by",
            why=f"a change keeps this text aside, as {journal.aside(text or '')}, and begins a new journal",
            remedy="Put back a good copy before a change is made. After one leave the new journal alone, and set by "
            "hand what the text that was kept still tells",
        )


def kept(host: Host) -> Iterator[Finding]:
    """Name what was kept aside until somebody has read it: restore knows nothing of it."""
    for name in host.list_folder(journal.FOLDER):
        if name.startswith(journal.KEPT):
            yield Finding(
                id="journal.kept_aside",
                severity="medium",
                where=f"{journal.FOLDER}/{name}",
                observed="a journal that could not be read",
                wanted="none: what it tells of is not brought back by restore",
                why="the values before the first changes stand in it alone",
                remedy="Set by hand what its text still tells (before), then remove the file",
            )
