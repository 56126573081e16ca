# Private to the collection nodeward.calico: may change in any release.
"""What the rules of an audit know of a node beside the traps' facts: a few kernel parameters and services.

Reads of /proc, /sys and /etc alone, all cheap; nothing of it is changed by any trap.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from .._core.host import Host
from . import processes

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
        "network_manager_spares_calico": _spares_calico(host) if "NetworkManager" in running else None,
    }


def _number(text: str | None) -> int | None:
    word = (text or "").strip()
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 20 else None


def _spares_calico(host: Host) -> bool:
    """Tell whether NetworkManager is told to leave Calico's links alone (Calico's own advice: unmanaged-devices)."""
    told = [line.replace(" ", "") for path in _manager_files(host) for line in (host.read_text(path) or "").split("\n")]
    return any(line.startswith("unmanaged-devices") and "interface-name:cali" in line for line in told)


def _manager_files(host: Host) -> Iterator[str]:
    yield _MANAGER
    for folder in _MANAGER_FOLDERS:
        yield from (posixpath.join(folder, name) for name in host.list_folder(folder) if name.endswith(".conf"))
