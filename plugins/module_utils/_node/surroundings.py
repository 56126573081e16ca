# Private to the collection nodeward.calico: may change in any release.
"""What the rules of an audit know of a node beside the traps' facts: a few kernel parameters and services.

Reads of /proc, /sys and /etc alone, all cheap; nothing of it is changed by any trap.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from .._core.host import Host
from . import calico_links, processes

NAME = "rules"  # as a tag, and in results

SYSCTLS = (
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.ip_forward",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "vm.max_map_count",
)
SERVICES = ("NetworkManager", "firewalld", "systemd-networkd", "ufw")

_A_POD_LINK = "cali*"  # there is one for each pod that starts
_BY_NAME = "interface-name:"  # what a device is called by in unmanaged-devices (man NetworkManager.conf, "Device List")

_MANAGER = "/etc/NetworkManager/NetworkManager.conf"
_MANAGER_FOLDERS = ("/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d")


def observe(host: Host) -> dict[str, Any]:
    """Return the kernel's release, the parameters that are there, and the services that run; reads only."""
    values = {name: _number(host.read_text(f"/proc/sys/{name.replace('.', '/')}")) for name in SYSCTLS}
    slices = processes.SYSTEM_SLICES
    running = [name for name in SERVICES if any(host.is_folder(f"{path}/{name}.service") for path in slices)]
    return {
        "kernel": (host.read_text("/proc/sys/kernel/osrelease") or "").strip(),
        "sysctls": {name: value for name, value in values.items() if value is not None},
        "services": running,
        "network_manager_takes": _taken_links(host) if "NetworkManager" in running else None,
    }


def _number(text: str | None) -> int | None:
    word = (text or "").strip()
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 20 else None


def _taken_links(host: Host) -> list[str]:
    """Return Calico's links that NetworkManager is not told to leave alone (Calico's advice: unmanaged-devices)."""
    lines = [
        line.replace(" ", "") for path in _manager_files(host) for line in (host.read_text(path) or "").split("\n")
    ]
    told = [line.partition("=")[2] for line in lines if line.startswith("unmanaged-devices")]
    spared = [word.removeprefix(_BY_NAME).removeprefix("=") for each in told for word in re.split("[;,]", each)]
    links = [_A_POD_LINK, *(name for name in calico_links.NAMES if host.is_folder(f"/sys/class/net/{name}"))]
    return [name for name in links if not any(fnmatchcase(name, pattern) for pattern in spared)]


def _manager_files(host: Host) -> Iterator[str]:
    yield _MANAGER
    for folder in _MANAGER_FOLDERS:
        yield from (posixpath.join(folder, name) for name in host.list_folder(folder) if name.endswith(".conf"))
