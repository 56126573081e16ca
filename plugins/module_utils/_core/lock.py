# Private to the collection nodeward.calico: may change in any release.
"""One run of this collection at a time on a node."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from .errors import NodewardError

LOCK = "/run/nodeward.lock"
# Seconds. A run has the lock for a few, and for minutes where it waits for a kubelet, a command or a member of etcd:
# then the second one says so rather than be silent for as long.
PATIENCE = 60.0
INTERVAL = 0.2  # seconds


@contextlib.contextmanager
def held(path: str, patience: float) -> Iterator[None]:
    """Hold the lock, which is LOCK below a root; waits for it up to ``patience`` seconds.

    The kernel gives the lock back when the process ends, however it ends. Raises NodewardError where it cannot be had.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NodewardError(
            what=f"the node cannot be locked: {error.strerror}",
            where=LOCK,
            remedy="Make the folder writable, then run again",
        ) from error
    try:
        _wait(descriptor, patience)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise NodewardError(
                    what=f"another run of nodeward.calico has held the lock for {patience:.0f} s",
                    where=LOCK,
                    remedy="Wait for it to end (fuser -v names it; one that waits for a kubelet or a member of etcd "
                    "may take some minutes more), then run again",
                ) from None
        except OSError as error:  # ENOLCK: no memory for one more, or a file system without locks
            raise NodewardError(
                what=f"the node cannot be locked: {error.strerror}",
                where=LOCK,
                remedy="See that the node has memory left and that /run is a tmpfs, then run again",
            ) from error
        time.sleep(INTERVAL)
