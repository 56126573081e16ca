# Private to the collection nodeward.calico: may change in any release.
"""Apply a plan's changes: look, journal, act, read back; on a failure put back what was done."""

from __future__ import annotations

from collections.abc import Sequence

from . import journal
from .errors import NodewardError
from .host import Host
from .verbs import BLOCK, Change, require_writable


def check(changes: Sequence[Change], host: Host) -> None:
    """Raise NodewardError for whatever can be known to fail, having only looked."""
    if not changes:
        return
    recorded = journal.decode(host.read_text(journal.PATH)).record(changes)
    require_writable(host, journal.PATH, len(recorded.encode()) + BLOCK)
    for change in changes:
        change.check(host)


def apply(changes: Sequence[Change], host: Host) -> None:
    """Make the changes, in order, all or none of them.

    The journal is on disk before the first change is made, and a run that is killed at any point
    leaves every file old or new, so that the next run can finish the job.
    Raises NodewardError when nothing, or nothing any more, is changed; if putting back failed too,
    the error says what is left.
    """
    if not changes:
        return
    check(changes, host)
    old_journal = host.read_text(journal.PATH)
    done: list[Change] = []
    try:
        host.write_file(journal.PATH, journal.decode(old_journal).record(changes).encode(), journal.MODE)
        for change in changes:
            done.append(change)
            change.act(host)
        for change in changes:
            change.verify(host)
    except (OSError, NodewardError) as error:
        where = done[-1].target if done else journal.PATH
        left = _put_back(done, old_journal, host)
        raise _failed(error, where, left) from error


def _put_back(done: Sequence[Change], old_journal: str | None, host: Host) -> list[str]:
    """Undo in reverse order, the journal last; return what could not be undone."""
    left = []
    for change in reversed(done):
        try:
            change.inverse().act(host)
            change.inverse().verify(host)
        except (OSError, NodewardError) as error:
            left.append(f"{change.target} ({error})")
    if not left and old_journal is not None:
        host.write_file(journal.PATH, old_journal, journal.MODE)
    elif not left:
        host.remove_file(journal.PATH)
    return left


def _failed(error: Exception, where: str, left: Sequence[str]) -> NodewardError:
    if left:
        return NodewardError(
            what=f"{_sentence(error)}; could not be put back: {', '.join(left)}",
            where=where,
            remedy=f"Put those back by hand, the values before are in {journal.PATH}",
        )
    return NodewardError(
        what=f"{_sentence(error)}; what this run had changed was put back",
        where=where,
        remedy="Mend the cause, then run again",
    )


def _sentence(error: Exception) -> str:
    return error.what if isinstance(error, NodewardError) else str(error)
