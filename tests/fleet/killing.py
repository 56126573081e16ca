"""A controller that dies in the middle of a run, and how to tell whether the nodes show it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from itertools import islice

from tests.fleet.fleet import LIMIT


def different(one: list[str], other: list[str]) -> list[str]:
    """Return the lines that only one of two nodes has; each fresh node gives itself an id at its boot."""
    return sorted(line for line in set(one) ^ set(other) if not line.endswith("/etc/machine-id"))


def kill_when_printed(command: list[str], text: str, times: int = 1) -> str:
    """Start the command in a session of its own; kill all of that session as soon as it prints the text.

    With `times` it is killed when it prints the text so many times; what has not printed it after LIMIT seconds fails.
    Returns the line that it was killed at.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        try:
            found = list(islice((line for line in process.stdout if text in line), times))
        finally:  # also on Ctrl-C: it is no child of a session that somebody ends
            limit.cancel()
            os.killpg(process.pid, signal.SIGKILL)
        assert len(found) == times, f"printed {text!r} {len(found)} times, not {times}"
    # What ran on a node at that moment goes on, and mostly ends by then. The next run waits for its lock.
    time.sleep(2)
    return found[-1]
