# Private to the collection nodeward.calico: may change in any release.
"""The folders on a node that more than one trap has its files in; the last to leave removes them."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Sequence

from .._core import journal
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.verbs import Change, RemoveFile, RemoveFolder

FOLDERS = ("/usr/local/lib/nodeward", "/etc/nodeward")


def known(host: Host) -> Sequence[tuple[str, journal.Entry]]:
    """Return what the journal has, nothing where it cannot be read: a run that changes something says so."""
    with contextlib.suppress(NodewardError):
        return tuple(journal.decode(host.read_text(journal.PATH)).entries)
    return ()


def ours(host: Host) -> Iterator[str]:
    """Yield those that are there and were made here."""
    made = {target for target, entry in known(host) if entry.before is None}
    yield from (path for path in FOLDERS if f"folder {path}" in made and host.is_folder(path))


def left_empty(changes: Sequence[Change], host: Host) -> Iterator[RemoveFolder]:
    """Remove the folders out of which these changes, of however many traps, take the last file."""
    removed = {change.path: change for change in changes if isinstance(change, RemoveFile)}
    known = {change.target for change in changes}
    if not any(posixpath.dirname(path) in FOLDERS for path in removed):
        return
    for folder in ours(host):
        gone = [removed.get(posixpath.join(folder, name)) for name in host.list_folder(folder)]
        reasons = [change.reason for change in gone if change]
        if reasons and all(gone) and f"folder {folder}" not in known:
            yield RemoveFolder(folder, reasons[-1])
