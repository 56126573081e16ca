"""A controller that dies in the middle of a run, and how to tell whether the nodes show it afterwards."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from itertools import islice

from tests.fleet.fleet import LIMIT

# Whoever is killed with it: ansible's workers lead sessions of their own, and would end their task.
WITH_ALL = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


class TooLateError(Exception):
    """It was not killed where it was to be: it had gone on."""


def different(one: list[str], other: list[str]) -> list[str]:
    """Return the lines that only one of two nodes has, or has more often; each gives itself an id at its first boot."""
    ours, theirs = Counter(one), Counter(other)
    lines = (ours - theirs) + (theirs - ours)
    return sorted(line for line in lines if not line.endswith("/etc/machine-id"))


def kill_when_printed(command: list[str], text: str, times: int = 1, after: float = 0.0) -> str:
    """Start the command; kill it, and all that it started here, as soon as it prints the text.

    With `times` it is killed when it has printed the text so often, and with `after` so many seconds later, but before
    it prints it once more. What has not printed it after LIMIT seconds fails. Returns the line that it was killed at.
    Raises TooLateError.
    """
    with subprocess.Popen(
        [*WITH_ALL, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(LIMIT, process.kill)
        limit.start()
        try:
            found = list(islice((line for line in process.stdout if text in line), times))
            time.sleep(after if len(found) == times else 0)
        finally:  # also on Ctrl-C: it is no child of a session that somebody ends
            limit.cancel()
            process.kill()
        rest = process.stdout.read()  # until nobody is left who could write to it
        assert len(found) == times, f"printed {text!r} {len(found)} times, not {times}"
    if process.returncode != -signal.SIGKILL or (after and text in rest):
        raise TooLateError(found[-1])
    # What ran on a node at that moment goes on, and mostly ends by then. The next run waits for its lock.
    time.sleep(2)
    return found[-1]
