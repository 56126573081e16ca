# Private to the collection nodeward.calico: may change in any release.
"""Apply a plan's changes: look, journal, act, read back; on a failure put back what was done."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from . import journal
from .errors import NodewardError
from .host import Host
from .verbs import Change, Reason, WriteFile


def check(changes: Sequence[Change], host: Host) -> None:
    """Raise NodewardError for whatever can be known to fail, having only looked."""
    for step in _steps(changes, host):
        step.check(host)


def apply(changes: Sequence[Change], host: Host) -> None:
    """Make the changes, in order, all or none of them.

    The journal is on disk before the first change is made, and a run that is killed at any point
    leaves every file old or new, so that the next run can finish the job.
    Raises NodewardError when nothing, or nothing any more, is changed; if putting back failed too,
    the error says what is left.
    """
    steps = _steps(changes, host)
    for step in steps:
        step.check(host)
    done: list[Change] = []
    where = ""
    try:
        for step in steps:
            where = step.target
            done.append(step)
            step.act(host)
        for step in steps:
            where = step.target
            step.verify(host)
    except (OSError, NodewardError) as error:
        raise _failed(error, where, _put_back(done, host)) from error


def _steps(changes: Sequence[Change], host: Host) -> tuple[Change, ...]:
    """Return the writing of the journal, and then the changes."""
    if not changes:
        return ()
    before = host.read_text(journal.PATH)
    after = journal.decode(before).record(changes).encode()
    reason = Reason("journal", "what restore goes by")
    return WriteFile(journal.PATH, before, after, reason, journal.MODE), *changes


def _put_back(done: Sequence[Change], host: Host) -> list[str]:
    """Undo in reverse order; return what could not be undone. Then the journal, done first, is kept for it."""
    left: list[str] = []
    for step in reversed(done):
        if left and step is done[0]:
            break
        try:
            _undo(step, host)
        except (OSError, NodewardError) as error:
            left.append(f"{step.target} ({error})")
    return left


def _undo(step: Change, host: Host) -> None:
    """Make it as it was before. What never happened is left alone: undoing might be refused for the same reason."""
    inverse = step.inverse()
    with contextlib.suppress(NodewardError):
        inverse.verify(host)
        return
    inverse.act(host)
    inverse.verify(host)


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
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return error.what if isinstance(error, NodewardError) else str(error)
