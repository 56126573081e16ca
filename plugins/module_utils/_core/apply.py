# Private to the collection nodeward.calico: may change in any release.
"""Apply a plan's changes: look, journal, act, read back; on a failure put back what was done."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Callable

from . import journal
from .errors import NodewardError
from .host import Host
from .verbs import Change, MakeFolder, Reason, RemoveFile, RemoveFolder, WriteFile

# Looks whether the node is well after the changes; raises NodewardError where it is not.
Settled = Callable[[], None]

# What the steps that keep the journal give as their trap.
JOURNAL = "journal"


class ObstacleError(NodewardError):
    """What a change would meet; ``trap`` is that of the change, JOURNAL where the journal meets it."""

    def __init__(self, trap: str, met: NodewardError) -> None:
        super().__init__(met.what, met.where, met.remedy)
        self.trap = trap


class PutBackError(NodewardError):
    """What failed while changes were made; all of them are as they were before."""


def check(changes: Sequence[Change], host: Host) -> None:
    """Raise NodewardError for whatever can be known to fail, having only looked: ObstacleError for a step of it."""
    for step in _first_at_each_place(_recorded(changes, host)):
        try:
            step.check(host)
        except NodewardError as error:
            raise ObstacleError(step.reason.trap, error) from error


def apply(changes: Sequence[Change], host: Host, settled: Settled = lambda: None) -> None:
    """Make the changes, in order, all or none of them.

    The journal is on disk before the first change is made, and a run that is killed at any point
    leaves every file old or new, so that the next run can finish the job.
    Raises NodewardError when nothing, or nothing any more (PutBackError), is changed; if putting back failed
    too, the error says what is left.
    """
    _run(_recorded(changes, host), host, settled)


def check_restore(changes: Sequence[Change], host: Host) -> None:
    """Raise NodewardError for whatever can be known to fail when these places go back."""
    for step in _first_at_each_place((*changes, *forgotten([change.target for change in changes], host))):
        step.check(host)


def restore(changes: Sequence[Change], forget: Collection[str], host: Host, settled: Settled = lambda: None) -> None:
    """Make the changes, and then forget those places (targets), all or none.

    The journal comes last: a run that is killed before knows the values still.
    """
    _run((*changes, *forgotten(forget, host)), host, settled)


def _run(steps: Sequence[Change], host: Host, settled: Settled) -> None:
    for step in _first_at_each_place(steps):
        step.check(host)
    done: list[Change] = []
    where = ""
    try:
        for step in steps:
            where = step.target
            done.append(step)
            step.act(host)
        for step in reversed(_first_at_each_place(reversed(steps))):
            where = step.target
            step.verify(host)
        if steps:
            where = "the node"
            settled()
    except (OSError, NodewardError) as error:
        raise _failed(error, where, _put_back(done, host)) from error
    except BaseException:  # interrupted, or a fault of ours: the node is put back all the same
        _put_back(done, host)
        raise


def _first_at_each_place(steps: Iterable[Change]) -> list[Change]:
    """Return the steps without those that go on from another one of them at the same place."""
    firsts: dict[str, Change] = {}
    return [step for step in steps if step.follows or firsts.setdefault(step.target, step) is step]


def _recorded(changes: Sequence[Change], host: Host) -> tuple[Change, ...]:
    """Return the writing of the journal where there is a way back, then the changes, with the folders they need."""
    if not changes:
        return ()
    changes = tuple(_with_folders(changes, host))
    lasting = [change for change in changes if not _is_housekeeping(change)]
    if not lasting:
        return changes
    before = host.read_text(journal.PATH)
    reason = Reason(JOURNAL, "what restore goes by")
    kept: tuple[Change, ...] = ()
    try:
        known = journal.decode(before)
    except journal.UnreadableJournalError:
        known, kept = journal.Journal(), _kept_aside(before or "", host)
    text = known.record(lasting).encode()
    journal.decode(text)  # what restore could not read is not written
    return *kept, WriteFile(journal.PATH, before, text, reason, journal.MODE), *changes


def _is_housekeeping(change: Change) -> bool:
    """Tell whether it takes away what a run has left in our own folder: the node goes back to nothing of it."""
    return isinstance(change, RemoveFile) and posixpath.dirname(change.path) == journal.FOLDER


def _kept_aside(text: str, host: Host) -> tuple[Change, ...]:
    path = journal.aside(text)
    if host.read_text(path) == text:
        return ()
    return (WriteFile(path, host.read_text(path), text, Reason(JOURNAL, "nothing of it is lost"), journal.MODE),)


def _with_folders(changes: Sequence[Change], host: Host) -> Iterator[Change]:
    made: set[str] = set()
    for change in changes:
        if isinstance(change, WriteFile) and change.before is None:
            for folder in _missing_folders(posixpath.dirname(change.path), host):
                if folder not in made:
                    made.add(folder)
                    yield MakeFolder(folder, change.reason)
        yield change


def _missing_folders(folder: str, host: Host) -> list[str]:
    if folder in ("/", "") or host.is_folder(folder):
        return []
    return [*_missing_folders(posixpath.dirname(folder), host), folder]


def forgotten(targets: Collection[str], host: Host) -> tuple[Change, ...]:
    """Return the writing of the journal without these places; an empty journal is no journal."""
    before = host.read_text(journal.PATH)
    known = journal.decode(before)
    left = known.without(targets)
    reason = Reason(JOURNAL, "what was restored is no longer ours")
    if before is None or left == known:
        return ()
    if left.entries:
        return (WriteFile(journal.PATH, before, left.encode(), reason, journal.MODE),)
    return RemoveFile(journal.PATH, before, reason, journal.MODE), RemoveFolder(journal.FOLDER, reason)


def _put_back(done: Sequence[Change], host: Host) -> list[str]:
    """Undo in reverse order, what follows others after all of them; return what could not be undone.

    The journal is kept where something could not.
    """
    left: list[str] = []
    backwards = list(reversed(done))
    for step in [step for step in backwards if not step.follows]:
        if not (left and step.reason.trap == JOURNAL):
            left += _undone(step, host)
    for step in [step for step in done if step.follows]:
        left += _done_again(step, host)
    return left


def _undone(step: Change, host: Host) -> list[str]:
    """Make it as it was before. What never happened is left alone: undoing might be refused for the same reason."""
    inverse = step.inverse()
    with contextlib.suppress(OSError, NodewardError):
        inverse.verify(host)
        return []
    try:
        inverse.act(host)
        inverse.verify(host)
    except (OSError, NodewardError) as error:
        return [f"{step.target} ({error})"]
    return []


def _done_again(step: Change, host: Host) -> list[str]:
    """Make what was put back take effect, as it was to be with what was changed."""
    inverse = step.inverse()
    try:
        inverse.act(host)
        inverse.verify(host)
    except (OSError, NodewardError) as error:
        return [f"{step.target} ({error})"]
    return []


def _failed(error: Exception, where: str, left: Sequence[str]) -> NodewardError:
    if left:
        return NodewardError(
            what=f"{_sentence(error)}; could not be put back: {', '.join(left)}",
            where=where,
            remedy=f"Put those back by hand, the values before are in {journal.PATH}",
        )
    return PutBackError(
        what=f"{_sentence(error)}; what this run had changed was put back",
        where=where,
        remedy="Mend the cause, then run again",
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return error.what if isinstance(error, NodewardError) else str(error)
