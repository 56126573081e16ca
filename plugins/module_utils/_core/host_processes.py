# Private to the collection nodeward.calico: may change in any release.
"""Processes that are the node's own by the network that they are on: those of static pods too."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from .host import Host


def on_the_host(host: Host, wanted: Collection[str]) -> list[int]:
    """Return the processes of these names that share the first process's network namespace, in order.

    Where nobody may look at that one (some containers), our own stands for it.
    """
    pids = sorted(int(entry) for entry in host.list_folder("/proc") if entry.isdigit())
    named = [pid for pid in pids if (host.read_text(f"/proc/{pid}/comm") or "").strip() in wanted]
    own = (_network(host, "1") or _network(host, "self")) if named else None
    return [pid for pid in named if _network(host, str(pid)) == own]


def threads(host: Host, pid: int) -> list[int]:
    """Return the threads of a process, [] when it has ended."""
    return [int(entry) for entry in host.list_folder(f"/proc/{pid}/task") if entry.isdigit()]


def _network(host: Host, pid: str) -> str | None:
    with contextlib.suppress(PermissionError):
        return host.link_target(f"/proc/{pid}/ns/net")
    return None
