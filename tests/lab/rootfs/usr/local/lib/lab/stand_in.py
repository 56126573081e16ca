"""For the stand-ins: look to /proc as the program does that they stand in for."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

_ARG_START, _ARG_END = 47, 48  # fields of /proc/PID/stat, counted from 0


def look_like(comm: str, arguments: Sequence[str]) -> None:
    """Make /proc/self/comm and /proc/self/cmdline these; cmdline ends in more NULs than it did.

    The words are written over Python's own and must not be longer, as setproctitle(3) does it: the end of the
    arguments could only be moved with CAP_SYS_RESOURCE, which not every machine lets a container have.
    """
    text = b"".join(os.fsencode(word) + b"\0" for word in arguments)
    fields = Path("/proc/self/stat").read_text().split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if len(text) > end - start:
        raise SystemExit(f"stand_in: {len(text)} bytes of arguments, room for {end - start}")
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
    Path("/proc/self/comm").write_text(comm)
