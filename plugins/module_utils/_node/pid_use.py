# Private to the collection nodeward.calico: may change in any release.
"""How many threads the node runs, and how near each limit on them is.

A new thread needs room under kernel.pid_max, under kernel.threads-max and under pids.max of its own
cgroup and of every cgroup above (Linux Documentation/admin-guide/cgroup-v2.rst "PID"); the first that is
full answers EAGAIN, which is what incident B looked like.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .._core.host import Host
from . import processes

# comm of what starts or carries pods; kubernetes.io "Container Runtimes" names the runtimes.
POD_SERVICES = ("kubelet", "containerd", "crio", "dockerd", "cri-dockerd", "k3s-server", "k3s-agent", "rke2")

# Where the kubelet puts pods (cgroup drivers systemd and cgroupfs), also that of kind, whose --cgroup-root is /kubelet.
POD_CGROUPS = ("/kubepods.slice", "/kubepods", "/kubelet.slice/kubelet-kubepods.slice", "/kubelet/kubepods")

CGROUP_V1 = "/sys/fs/cgroup/pids"
CGROUP_V2 = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Limit:
    """One limit and the threads that count against it."""

    name: str  # the parameter's name, or the cgroup's path
    limit: int
    used: int

    @property
    def share(self) -> float:
        return self.used / max(self.limit, 1)


@dataclass(frozen=True)
class Use:
    """``threads`` of the whole node, and every cgroup limit that pods, kubelet or runtime stand under."""

    threads: int
    cgroups: tuple[Limit, ...] = ()

    def limits(self, parameters: Mapping[str, int]) -> list[Limit]:
        """Return all limits, the one nearest to be hit first; ``parameters`` are the node-wide ones.

        Of limits that count the same threads the smallest comes first, while a service's own small
        limit does not hide a node-wide one that is nearly used up.
        """
        node_wide = [Limit(name, value, self.threads) for name, value in parameters.items()]
        return sorted([*node_wide, *self.cgroups], key=lambda limit: (-limit.share, limit.limit))


def pod_cgroups(root: str) -> tuple[str, ...]:
    """Return where a kubelet puts pods below its cgroupRoot, by systemd or cgroupfs; '' where it was told none.

    kubelet pkg/kubelet/cm/cgroup_manager_linux.go ToSystemd: each level's name begins with those above it.
    """
    if not root.strip("/"):
        return POD_CGROUPS
    levels = [*root.strip("/").split("/"), "kubepods"]
    return slice_path("-".join(level.replace("-", "_") for level in levels) + ".slice"), "/" + "/".join(levels)


def observe(host: Host, names: Mapping[int, str], pods: Collection[str] = POD_CGROUPS) -> Use:
    """Read the node's threads from /proc/loadavg, as the kubelet does (pidlimit_linux.go), and the limits.

    ``names`` are the processes by id, ``pods`` the cgroups in which pods may be.
    """
    load = (host.read_text("/proc/loadavg") or "").split()
    threads = int(load[3].partition("/")[2]) if len(load) > 3 else 0
    mounted = mount(host)
    limits = (_limit(host, mounted, path) for path in sorted(_cgroups(host, names, mounted, pods)))
    return Use(threads=threads, cgroups=tuple(limit for limit in limits if limit is not None))


def mount(host: Host) -> str:
    """Return the folder of the cgroups that count processes."""
    return CGROUP_V1 if host.list_folder(CGROUP_V1) else CGROUP_V2


def _cgroups(host: Host, names: Mapping[int, str], mount: str, pods: Collection[str]) -> set[str]:
    """Return the cgroups of interest with all their ancestors, below the root (which has no limit)."""
    leaves = {path for path in pods if host.list_folder(mount + path)}
    for pid in processes.of_root(host, names, POD_SERVICES):
        leaves.add(_cgroup_of(host, pid, mount))
    paths: set[str] = set()
    for leaf in leaves:
        path = leaf
        while path not in ("/", ""):
            paths.add(path)
            path = posixpath.dirname(path)
    return paths


def _cgroup_of(host: Host, pid: int, mount: str) -> str:
    for line in (host.read_text(f"/proc/{pid}/cgroup") or "").splitlines():
        _number, controllers, path = line.split(":", 2)
        if ("pids" in controllers.split(",")) if mount == CGROUP_V1 else (controllers == ""):
            return path
    return "/"


def _limit(host: Host, mount: str, path: str) -> Limit | None:
    maximum = (host.read_text(f"{mount}{path}/pids.max") or "max").strip()
    current = (host.read_text(f"{mount}{path}/pids.current") or "0").strip()
    return None if maximum == "max" else Limit(path, int(maximum), int(current))


def slice_path(name: str) -> str:
    """Return the path of a cgroup as the kubelet is told it: '/system', or 'a-b.slice' below a.slice.

    systemd.slice(5): a dash in a slice's name is a level of the hierarchy.
    """
    folder, _slash, last = name.strip("/").rpartition("/")
    if folder or not last.endswith(".slice"):
        return f"/{name.strip('/')}"
    parts = last[: -len(".slice")].split("-")
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))


def used(host: Host, path: str) -> int | None:
    """Return the threads in a cgroup and below it, None where they cannot be seen."""
    text = host.read_text(f"{mount(host)}{path}/pids.current")
    return None if text is None else int(text)
