"""Give a node less of this machine than it asks for: of its processor, or of its disk. Control groups do it.

In version 1 each controller has a tree of its own: a process is taken into a group of ours for one of them, and stays
in its unit's for systemd. Version 2 has one tree: there the limit is set on the group that is there already.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.host import LabError
from tests.lab.lab import Lab

_GROUPS = Path("/sys/fs/cgroup")
_IS_V2 = (_GROUPS / "cgroup.controllers").exists()

Only = Callable[[int], bool]


@dataclass(frozen=True)
class _Limit:
    """A controller in both versions, and files of a group with what is written to them; the last of v2 to end it."""

    v1: tuple[str, dict[str, str]]
    v2: tuple[str, dict[str, str], dict[str, str]]


def processor(lab: Lab, node: str, percent: int, only: Only | None = None) -> contextlib.AbstractContextManager[None]:
    """Let a node's processes, or those of them that `only` picks, use so many percent of a core, together.

    With the most weight: what they may use they get whenever they want it, on a busy machine, too.
    """
    period = 100_000
    quota = period * percent // 100
    v1 = {"cpu.cfs_period_us": f"{period}", "cpu.cfs_quota_us": f"{quota}", "cpu.shares": "262144"}
    v2 = {"cpu.max": f"{quota} {period}", "cpu.weight": "10000"}
    return _limited(lab, node, _Limit(("cpu", v1), ("cpu", v2, {"cpu.max": "max", "cpu.weight": "100"})), only)


def disk(lab: Lab, node: str, rate: int) -> contextlib.AbstractContextManager[None]:
    """Let a node's processes write so many bytes a second to its disk, together: those that sync wait for it."""
    device = _device(lab.folder)
    v2 = {"io.max": f"{device} wbps={rate}"}, {"io.max": f"{device} wbps=max"}
    return _limited(lab, node, _Limit(("blkio", {"blkio.throttle.write_bps_device": f"{device} {rate}"}), ("io", *v2)))


def _limited(lab: Lab, node: str, limit: _Limit, only: Only | None = None) -> contextlib.AbstractContextManager[None]:
    return _in_its_group(lab, node, *limit.v2, only) if _IS_V2 else _in_a_group_of_ours(lab, node, *limit.v1, only)


@contextlib.contextmanager
def _in_its_group(
    lab: Lab, node: str, controller: str, settings: dict[str, str], ended: dict[str, str], only: Only | None
) -> Iterator[None]:
    """Limit the group that the whole node is in, or the one that the picked processes are in."""
    groups = _groups_of(pid for pid in _processes(lab, node) if only is None or only(pid))
    if only is None:
        machine = lab.netns(node).name  # the name of its group begins with it, see supervisor.py
        groups = {above for group in groups for above in group.parents if above.name.startswith(machine)}
    if len(groups) != 1:
        raise LabError(f"{node}: what is to be limited is not in one control group: {sorted(map(str, groups))}")
    (group,) = groups
    with _passed_on(group, controller):
        _write(group, settings)
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):  # the group ended with its last process
                _write(group, ended)


@contextlib.contextmanager
def _passed_on(group: Path, controller: str) -> Iterator[None]:
    """Have the groups above this one pass the controller on to it, as long as that is needed."""
    files = [above / "cgroup.subtree_control" for above in group.parents if above.is_relative_to(_GROUPS)]
    without = [file for file in files if controller not in file.read_text().split()]
    try:
        for file in reversed(without):
            file.write_text(f"+{controller}")
        yield
    finally:
        for file in without:
            with contextlib.suppress(OSError):  # it is gone, or somebody else has asked for it meanwhile
                file.write_text(f"-{controller}")


@contextlib.contextmanager
def _in_a_group_of_ours(
    lab: Lab, node: str, controller: str, settings: dict[str, str], only: Only | None
) -> Iterator[None]:
    """Hold the processes in a group of their own; what they start is in it as well."""
    group = _GROUPS / controller / f"{lab.netns(node).name}-throttle"
    if not group.parent.is_dir():
        raise LabError(f"there is no {group.parent}: mount control groups, version 2 at {_GROUPS} or version 1 there")
    group.mkdir(exist_ok=True)
    try:
        _write(group, settings)
        while found := [pid for pid in _processes(lab, node) if not _is_in(pid, group)]:
            chosen = [pid for pid in found if only is None or only(pid)]
            _move(chosen, group)
            if not chosen:
                break
        yield
    finally:
        while pids := [int(pid) for pid in (group / "cgroup.procs").read_text().split()]:
            _move(pids, group.parent)
        group.rmdir()


def _processes(lab: Lab, node: str) -> list[int]:
    return [one.pid for one in process.in_network([os.stat(lab.netns(node)).st_ino])]


def _write(group: Path, settings: dict[str, str]) -> None:
    for name, text in settings.items():
        (group / name).write_text(text + "\n")


def _groups_of(pids: Iterable[int]) -> set[Path]:
    """The groups of version 2 that these processes are in, but for those that have ended."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found.add(_GROUPS / Path(f"/proc/{pid}/cgroup").read_text().partition("::/")[2].strip())
    return found


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
