"""Give a node less of this machine than it asks for: of its processor, or of its disk. Control groups (v1) do it.

In version 1 each controller has a tree of its own: a process may be taken into a group of ours for one of them, and
stays in its unit's for systemd. Version 2 has one tree: there limits would have to be set on the units' own groups.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.lab import process
from tests.lab.host import LabError
from tests.lab.lab import Lab

_GROUPS = Path("/sys/fs/cgroup")


def processor(
    lab: Lab, node: str, percent: int, only: Callable[[int], bool] | None = None
) -> contextlib.AbstractContextManager[None]:
    """Let a node's processes, or those of them that `only` picks, use so many percent of a core, together."""
    settings = {
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": f"{percent}000",
        "cpu.shares": "262144",  # the most: what it may use it gets whenever it wants it, on a busy machine, too
    }
    return _group(lab, node, "cpu", settings, only)


def disk(lab: Lab, node: str, rate: int) -> contextlib.AbstractContextManager[None]:
    """Let a node's processes write so many bytes a second to its disk, together: those that sync wait for it."""
    return _group(lab, node, "blkio", {"blkio.throttle.write_bps_device": f"{_device(lab.folder)} {rate}"}, None)


@contextlib.contextmanager
def _group(
    lab: Lab, node: str, controller: str, settings: Mapping[str, str], only: Callable[[int], bool] | None
) -> Iterator[None]:
    """Hold the processes in a group of their own; what they start is in it as well."""
    group = _GROUPS / controller / f"{lab.netns(node).name}-throttle"
    if not group.parent.is_dir():
        remedy = "boot Debian 12 with systemd.unified_cgroup_hierarchy=0 (kernel command line)"
        raise LabError(f"there is no {group.parent}: this needs control groups of version 1; {remedy}")
    group.mkdir(exist_ok=True)
    try:
        for name, text in settings.items():
            (group / name).write_text(text + "\n")
        network = os.stat(lab.netns(node)).st_ino
        while found := [one.pid for one in process.in_network([network]) if not _is_in(one.pid, group)]:
            chosen = [pid for pid in found if only is None or only(pid)]
            _move(chosen, group)
            if not chosen:
                break
        yield
    finally:
        while pids := [int(pid) for pid in (group / "cgroup.procs").read_text().split()]:
            _move(pids, group.parent)
        group.rmdir()


def _is_in(pid: int, group: Path) -> bool:
    with contextlib.suppress(OSError):
        return f"/{group.name}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    return True  # it has ended


def _move(pids: list[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(f"{pid}\n")


def _device(folder: Path) -> str:
    """MAJOR:MINOR of the disk that a folder is on: limits are the whole disk's, not a partition's."""
    number = os.stat(folder).st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not device.exists():
        raise LabError(f"{folder} is on no disk of its own: what is in memory cannot be slowed")
    whole = device.resolve().parent if (device / "partition").exists() else device
    return (whole / "dev").read_text().strip()
