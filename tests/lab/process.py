"""Processes, named by pid and start time: a pid alone may be someone else's by the time it is signalled."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.host import LabError


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of this machine; start is in clock ticks since boot (field 22 of /proc/PID/stat)."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether this very process runs; a zombie, which only waits to be reaped, does not."""
        return at(self.pid) == self

    @property
    def age(self) -> float:
        """Seconds since it started."""
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - self.start / os.sysconf("SC_CLK_TCK")

    def signal(self, number: int) -> None:
        """Signal this process, and nobody who may have got its pid since."""
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(self.pid)
            try:
                if self.alive:  # looked at while the descriptor pins the pid
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)


def at(pid: int) -> Process | None:
    """The process that has this pid now, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything; field 3 (state) comes first
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def _find(wanted: Callable[[Path], bool]) -> list[Process]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):  # ended while we looked
                if wanted(folder):
                    process = at(int(folder.name))
                    found += [process] if process else []
    return found


def with_argument(pattern: str) -> list[Process]:
    """Processes with a command line argument that matches this pattern (of fnmatch) as a whole.

    Inside of execve a process has no arguments for a moment: that there is none is believed at a second look.
    """

    def matches(folder: Path) -> bool:
        arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return any(fnmatch.fnmatchcase(argument, pattern) for argument in arguments[1:])

    found = _find(matches)
    if not found:
        time.sleep(0.02)
        found = _find(matches)
    return found


def in_group(*patterns: str) -> list[Process]:
    """Processes in, or below, a control group whose name matches one of these patterns (of fnmatch)."""

    def matches(folder: Path) -> bool:
        names = (folder / "cgroup").read_text().replace("\n", "/").split("/")
        return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)

    return _find(matches)


def in_network(inodes: Iterable[int]) -> list[Process]:
    """Processes inside of the network namespaces with these inode numbers."""
    among = set(inodes)
    return _find(lambda folder: os.stat(folder / "ns/net").st_ino in among) if among else []


def end(search: Callable[[], list[Process]], grace: float, patience: float = 10) -> None:
    """End all processes that `search` finds: SIGTERM, up to `grace` seconds of waiting, then SIGKILL.

    Searches again until nothing is found, since a process may start another one in between.
    """
    start = time.monotonic()
    asked: set[Process] = set()
    while found := search():
        waited = time.monotonic() - start
        if waited > grace + patience:
            raise LabError(f"cannot end the processes {[one.pid for one in found]}: look at /proc/PID/stack")
        for one in found:
            if waited >= grace:
                one.signal(signal.SIGKILL)
            elif one not in asked:
                asked.add(one)
                one.signal(signal.SIGTERM)
        time.sleep(0.03)
