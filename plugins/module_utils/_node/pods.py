# Private to the collection nodeward.calico: may change in any release.
"""The pods of the node with their threads, and what they are called.

The names of cgroups follow the kubelet (pkg/kubelet/cm: pod_container_manager_linux.go,
cgroup_manager_linux.go), those of folders its pkg/kubelet/kuberuntime (helpers.go BuildPodLogsDirectory,
legacy.go logSymlink). The UID of a static pod is the hash of its configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._core.host import Host
from .pid_use import POD_CGROUPS, pod_cgroups

LOGS_OF_PODS = "/var/log/pods"
LOGS_OF_CONTAINERS = "/var/log/containers"

# systemd: kubepods-burstable-podUID.slice with _ for -, cgroupfs: podUID
_POD = re.compile(r"(?:.+-)?pod(?P<slice>[0-9A-Za-z_]+)\.slice|pod(?P<folder>[0-9A-Za-z-]+)")
_CLASS = re.compile(r"(?:.+-)?(?:burstable|besteffort)(?:\.slice)?")
# cri-containerd-ID.scope, crio-ID.scope, docker-ID.scope, ID
_CONTAINER = re.compile(r"(?:(?:cri-containerd|crio|docker)-)?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_LOG_OF_POD = re.compile(r"(?P<namespace>[^_]+)_(?P<name>[^_]+)_(?P<uid>[^_]+)")
_LOG_OF_CONTAINER = re.compile(r"[^_]+_[^_]+_(?P<name>.+)-(?P<id>[0-9a-f]{64})\.log")

# What each runtime keeps of a container: where, under which keys its labels are, and the labels of names.
_OF_KUBELET = ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name")
_OF_CRI = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name")
_RUNTIMES: tuple[tuple[str, tuple[str, ...], tuple[str, str, str]], ...] = (
    ("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json", ("annotations",), _OF_CRI),
    ("/run/containers/storage/overlay-containers/{id}/userdata/config.json", ("annotations",), _OF_KUBELET),
    ("/var/lib/docker/containers/{id}/config.v2.json", ("Config", "Labels"), _OF_KUBELET),
)


@dataclass(frozen=True)
class Pod:
    """One pod's cgroup, its containers' included in ``threads``."""

    uid: str
    cgroup: str
    threads: int


@dataclass(frozen=True)
class Container:
    """One container of a pod; ``name`` is '' where nothing tells it."""

    id: str
    name: str
    threads: int


def observe(host: Host, mount: str, folders: Collection[str] = POD_CGROUPS) -> list[Pod]:
    """Return all pods that run below these cgroups, in the order of their own: one file read for each."""
    found: list[Pod] = []
    for folder in folders:
        names = host.list_folder(mount + folder)
        classes = [f"{folder}/{name}" for name in names if _CLASS.fullmatch(name)]
        for parent in (folder, *classes):
            found += _in_folder(host, mount, parent)
    return sorted(found, key=lambda pod: pod.cgroup)


def are_unseen(host: Host, mount: str, root: str) -> bool:
    """Tell whether pods may run where they are not looked for: none of their cgroups is there.

    ``root`` is the kubelet's cgroupRoot. Below one of its own it has made them, perhaps under another name. Without one
    it is told by the logs: a kubelet that makes no cgroups for pods (cgroupsPerQOS: false) puts no cap on them either.
    """
    there = any(host.list_folder(f"{mount}{cgroup}") for cgroup in pod_cgroups(root))
    return not there and bool(root.strip("/") or host.list_folder(LOGS_OF_PODS))


def threads(host: Host, mount: str, cgroup: str) -> int | None:
    """Return the threads of a cgroup and those below it, None when it is gone."""
    text = (host.read_text(f"{mount}{cgroup}/pids.current") or "").strip()
    return int(text) if text.isdecimal() else None


def _in_folder(host: Host, mount: str, folder: str) -> Iterator[Pod]:
    for name in host.list_folder(mount + folder):
        found = _POD.fullmatch(name)
        used = threads(host, mount, f"{folder}/{name}") if found else None
        if found and used is not None:
            yield Pod((found["slice"] or found["folder"]).replace("_", "-"), f"{folder}/{name}", used)


def title(host: Host, mount: str, pod: Pod) -> str:
    """Name a pod: 'shop/cart-7d9f (container cart)' with the container that has half of its threads or more.

    From the folders of the logs, else from what the runtime keeps of its containers, else by its UID.
    """
    containers = _containers(host, mount, pod.cgroup)
    labels = next(filter(None, (_labels(host, container.id) for container in containers)), None)
    name = _name_in_logs(host, pod.uid) or (f"{labels[0]}/{labels[1]}" if labels else f"pod {pod.uid}")
    largest = max(containers, key=lambda container: container.threads, default=None)
    if largest is None or 2 * largest.threads < pod.threads:
        return name
    called = largest.name or (_labels(host, largest.id) or ("", "", ""))[2]
    return f"{name} (container {called})" if called else name


def _containers(host: Host, mount: str, cgroup: str) -> list[Container]:
    logs = (_LOG_OF_CONTAINER.fullmatch(name) for name in host.list_folder(LOGS_OF_CONTAINERS))
    names = {log["id"]: log["name"] for log in logs if log}
    ids = {name: _CONTAINER.fullmatch(name) for name in host.list_folder(mount + cgroup)}
    return [
        Container(found["id"], names.get(found["id"], ""), threads(host, mount, f"{cgroup}/{name}") or 0)
        for name, found in ids.items()
        if found
    ]


def _name_in_logs(host: Host, uid: str) -> str | None:
    logs = (_LOG_OF_POD.fullmatch(name) for name in host.list_folder(LOGS_OF_PODS))
    return next((f"{log['namespace']}/{log['name']}" for log in logs if log and log["uid"] == uid), None)


def _labels(host: Host, container: str) -> tuple[str, str, str] | None:
    """Return namespace, pod and container (perhaps ''), as the runtime keeps them; nothing else is taken from it."""
    for path, keys, names in _RUNTIMES:
        labels: Any = _json(host.read_text(path.format(id=container)))
        for key in keys:
            labels = labels.get(key) if isinstance(labels, Mapping) else None
        if isinstance(labels, Mapping):
            namespace, pod, name = (str(labels.get(label) or "") for label in names)
            if namespace and pod:
                return namespace, pod, name
    return None


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):  # the runtime writes it at this moment
        return None
