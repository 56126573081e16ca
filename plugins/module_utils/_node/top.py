# Private to the collection nodeward.calico: may change in any release.
"""Who holds the threads: the pods, services and logins with most of them.

One file is read for each cgroup that systemd or the kubelet made for a pod, a service or a login, none for
a process: a node may run 40,000 threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._core.host import Host
from . import pods
from .pods import Pod
from .processes import PODS

COUNT = 5

# How deep slices are followed; systemd's own and those of kubelets in containers need three.
_DEPTH = 4

# systemd.slice(5), systemd.service(5), systemd.scope(5); a login's is user-UID.slice below user.slice.
_SLICE = re.compile(r".+\.slice")
_UNIT = re.compile(r".+\.(?:service|scope)")
_LOGIN = re.compile(r"user-[0-9]+\.slice")


@dataclass(frozen=True)
class Holder:
    """A pod, service or login. ``limit`` is its own, None where it has none; threads below it are its own."""

    name: str
    cgroup: str
    threads: int
    limit: int | None = None


def observe(host: Host, mount: str, running: Sequence[Pod]) -> tuple[Holder, ...]:
    """Return the COUNT holders with most threads, the largest first.

    Below ``mount`` are the cgroups, ``running`` are all pods as pods.observe() returns them.
    """
    found = {pod.cgroup: pod for pod in running}
    units = {path: pods.threads(host, mount, path) or 0 for path in _units(host, mount, "", _DEPTH)}
    every = {**units, **{cgroup: pod.threads for cgroup, pod in found.items()}}
    largest = sorted(every, key=lambda cgroup: (-every[cgroup], cgroup))[:COUNT]
    return tuple(
        Holder(
            name=pods.title(host, mount, found[cgroup]) if cgroup in found else cgroup.rpartition("/")[2],
            cgroup=cgroup,
            threads=every[cgroup],
            limit=_limit(host, mount, cgroup),
        )
        for cgroup in largest
        if every[cgroup] > 0
    )


def within(holders: Sequence[Holder], cgroup: str) -> list[Holder]:
    """Return the holders that count against the limit of a cgroup above them."""
    return [holder for holder in holders if holder.cgroup.startswith(f"{cgroup}/")]


def _units(host: Host, mount: str, folder: str, depth: int) -> Iterator[str]:
    for name in host.list_folder(f"{mount}{folder}") if depth else ():
        path = f"{folder}/{name}"
        if _UNIT.fullmatch(name) or _LOGIN.fullmatch(name):
            yield path
        elif _SLICE.fullmatch(name) and PODS not in name:
            yield from _units(host, mount, path, depth - 1)


def _limit(host: Host, mount: str, cgroup: str) -> int | None:
    text = (host.read_text(f"{mount}{cgroup}/pids.max") or "").strip()
    return int(text) if text.isdecimal() else None
