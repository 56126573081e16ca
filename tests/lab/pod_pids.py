"""The threads of a pod as the kernel counts them for its control group, on a node that is started without systemd.

There nspawn mounts v1's controllers read-only, so that the node's systemd makes the pod's group but none that counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.lab import process
from tests.lab.lab import Lab
from tests.lab.supervisor import BOOTED_WITH_SYSTEMD

_COUNTS = Path("/sys/fs/cgroup/pids")


@contextlib.contextmanager
def counted(lab: Lab, node: str, cgroup: str, scope: str) -> Iterator[None]:
    """Have the node see the threads of the pod's `cgroup` counted: those of the processes in its `scope` by now."""
    if BOOTED_WITH_SYSTEMD or not _COUNTS.is_dir():
        yield  # systemd in the node does that itself
        return
    root, network = _COUNTS / f"{lab.netns(node).name}-pods", os.stat(lab.netns(node)).st_ino
    group = root / cgroup.lstrip("/")
    group.mkdir(parents=True, exist_ok=True)
    here = {each.pid for each in process.in_network([network])}
    try:
        for each in process.in_group(scope):
            if each.pid in here:
                (group / "cgroup.procs").write_text(f"{each.pid}\n")
        lab.run(node, f"mount --bind {root} {_COUNTS}")
        yield
    finally:
        lab.run(node, f"umount {_COUNTS}", check=False)
        while pids := (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (_COUNTS / "cgroup.procs").write_text(pids[0])
        while group != _COUNTS:
            group.rmdir()
            group = group.parent
