# Private to the collection nodeward.calico: may change in any release.
"""Processes of the node, read from /proc."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .._core.host import Host


def names(host: Host) -> dict[int, str]:
    """Return the name (/proc/PID/comm, at most 15 characters) of every process by its id."""
    pids = (int(entry) for entry in host.list_folder("/proc") if entry.isdigit())
    return {pid: (host.read_text(f"/proc/{pid}/comm") or "").strip() for pid in pids}


def called(processes: Mapping[int, str], wanted: Collection[str]) -> list[int]:
    """Return the ids of the processes with one of these names, in order."""
    return sorted(pid for pid, name in processes.items() if name in wanted)


def command_line(host: Host, pid: int) -> list[str]:
    """Return the arguments of a process, [] when it has none or has ended."""
    text = host.read_text(f"/proc/{pid}/cmdline") or ""
    return text.rstrip("\0").split("\0") if text else []
