# Private to the collection nodeward.calico: may change in any release.
"""A timer of systemd that runs a program of ours on the node: its files, and having it wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._core.host import Host
from .._core.verbs import MANAGED_BY, Change, Reason, StartUnit, WriteFile
from .._core.verbs.units import active_state

UNITS = "/etc/systemd/system"


def wants(timer: str, trap: str) -> tuple[str, str]:
    """Return the path and the text of the drop-in by which a timer waits after a boot, too."""
    path = f"{UNITS}/timers.target.d/99-zz-nodeward-{trap}.conf"
    return path, f"# {MANAGED_BY}.\n[Unit]\nWants={timer}\n"


def is_waiting(host: Host, timer: str) -> bool:
    """Tell whether a timer is active."""
    return active_state(host, timer) == "active"


def installed(
    wanted: Mapping[str, str], present: Mapping[str, str | None], waits: bool, start: StartUnit, reason: Reason
) -> Iterator[Change]:
    """Yield what a node lacks of a timer: its files by path, and its start where they change or it does not wait."""
    missing = [path for path, text in wanted.items() if present.get(path) != text]
    for path in missing:
        yield WriteFile(path, present.get(path), wanted[path], reason)
    if missing or not waits:  # a run that was killed, or somebody, left it stopped
        yield start
