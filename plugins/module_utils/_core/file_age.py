# Private to the collection nodeward.calico: may change in any release.
"""Whether a file was written after a start, on nodes whose clock is set now and then.

The time of a file is by the clock of then, and so is systemd's note of a unit's start. That of a process is counted
from the boot, by the clock of now: once this was set back, every file of before seems to be later.
"""

from __future__ import annotations

import posixpath

from .host import Host
from .verbs.units import invocation_link

# Seconds. A start is known to the second only, and for one moment a clock may be set by less.
CERTAINLY_LATER = 2.0


def written(host: Host, path: str) -> float:
    """Return when a file was written, in seconds since 1970, 0 where there is none.

    And for one from the future: the clock was set back since, so its time says nothing. Once the clock has come to it
    again, nothing tells it from one that was written then: it counts as newer, until its reader is started anew.
    """
    at = host.modified(path) or 0.0
    return at if at <= host.wall_clock() else 0.0


def started(host: Host, process: float, unit: str) -> float:
    """Return the later of the two starts that are told of a unit's process, in seconds since 1970, 0 while it is down.

    ``process`` is that by the clock of now, 0 where it is not known. systemd's note is of before what the unit runs
    first (ExecStartPre); one from the future says nothing. ``unit`` is '' where no unit runs it.
    """
    noted = host.link_made(invocation_link(unit)) or 0.0
    return max(process, noted) if process and noted <= host.wall_clock() else process


def is_older(host: Host, path: str, unit: str) -> bool:
    """Tell whether a file was certainly written or removed before the unit was started, so that this reads it as it is.

    Where it is gone its folder tells of a time at or after that. False where a time is not known, or is still to come.
    """
    noted = host.link_made(invocation_link(unit)) or 0.0
    at = host.modified(path) or host.modified(posixpath.dirname(path)) or 0.0
    at = max(at, host.link_made(path) or 0.0)  # another link to an older file is a new text, too
    return at > 0 and at + CERTAINLY_LATER < noted <= host.wall_clock()


def is_newer(written: float, started: float) -> bool:
    """Tell whether a file was certainly written since, so that it was not read; False where one is not known."""
    return started > 0 and written > started + CERTAINLY_LATER
