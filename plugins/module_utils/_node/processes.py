# Private to the collection nodeward.calico: may change in any release.
"""Processes of the node, read from /proc."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.host_processes import is_of_a_login, namespace, parent, services
from .._core.verbs.units import main_process

# In the path of every pod's cgroup, whatever the driver: kubepods, kubepods.slice, kubelet-kubepods.slice.
PODS = "kubepods"

# Where services of systemd have their cgroups, by version.
SYSTEM_SLICES = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")

# Clock ticks a second in /proc (USER_HZ, 100 on every platform that Kubernetes is built for).
TICKS = 100


def names(host: Host) -> dict[int, str]:
    """Return the name (/proc/PID/comm, at most 15 characters) of every process by its id."""
    pids = (int(entry) for entry in host.list_folder("/proc") if entry.isdigit())
    return {pid: (host.read_text(f"/proc/{pid}/comm") or "").strip() for pid in pids}


def called(host: Host, processes: Mapping[int, str], wanted: Collection[str]) -> list[int]:
    """Return the ids of the processes with one of these names that are no pod's or other container's, in order.

    A pod may call its processes what it likes; what it says must not decide anything about the node. A container with
    process ids of its own is another machine, such as a node of kind. Mounts tell less: a service has its own
    (PrivateTmp=), and so has the node's own kubelet where a runtime starts it (with the host's process ids).
    """
    alike = sorted(pid for pid, name in processes.items() if name in wanted)
    outer = namespace(host, 1, "pid") if alike else None
    return [
        pid
        for pid in alike
        if PODS not in (host.read_text(f"/proc/{pid}/cgroup") or "") and namespace(host, pid, "pid") in (outer, None)
    ]


def of_root(host: Host, processes: Mapping[int, str], wanted: Collection[str]) -> list[int]:
    """Return those of called() that root runs: anybody may call a process kubelet."""
    return [pid for pid in called(host, processes, wanted) if _is_roots(host, pid)]


def own(host: Host, processes: Mapping[int, str], wanted: Collection[str]) -> list[int]:
    """Return those of of_root() that no login has started: root opens the files and asks the servers that they name."""
    return [pid for pid in of_root(host, processes, wanted) if not is_of_a_login(host, pid)]


def _is_roots(host: Host, pid: int) -> bool:
    """Tell whether all user ids of a process are root's: one with the set-user-id bit has its caller's name for it."""
    found = re.search(r"^Uid:(.*)$", host.read_text(f"/proc/{pid}/status") or "Uid: 0", re.MULTILINE)
    return found is not None and set(found.group(1).split()) == {"0"}


def command_line(host: Host, pid: int) -> list[str]:
    """Return the arguments of a process, [] when it has none or has ended."""
    text = host.read_text(f"/proc/{pid}/cmdline") or ""
    return text.rstrip("\0").split("\0") if text else []


def unit_of(host: Host, pid: int, mains: Mapping[str, int]) -> str:
    """Return the service of systemd whose main process this is, '' for none; ``mains`` are those known by service.

    A restart of any other one in whose control group it is (rke2-server, supervisord, cron) takes what that runs down
    with it. A child of another than process 1 is no main process. Of the rest only systemd can tell: what a script has
    left behind is process 1's child too, and the order in cgroup.procs says nothing. Where no program can be started,
    as on a node without free process ids, the parent has to do: such a node is planned for all the same.
    """
    found = services(host.read_text(f"/proc/{pid}/cgroup") or "")
    if not found or parent(host, pid) not in ("1", ""):
        return ""
    try:
        main = mains[found[-1]] if found[-1] in mains else main_process(host, found[-1])
    except NodewardError:
        return found[-1]
    return found[-1] if main == pid else ""


def started(host: Host, pid: int) -> float:
    """Return when a process was started, in seconds since 1970, to the second, 0 when it has ended.

    From proc(5): its field 22 in ticks after ``btime``.
    """
    since_boot = (host.read_text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    boot = re.search(r"^btime ([0-9]+)$", host.read_text("/proc/stat") or "", re.MULTILINE)
    return int(boot.group(1)) + int(since_boot[19]) / TICKS if boot and len(since_boot) > 19 else 0.0
