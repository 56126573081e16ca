# Private to the collection nodeward.calico: may change in any release.
"""Whose processes are: the node's own by the network that they are on (those of static pods too), or a service's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection

from .host import Host

_SERVICE = re.compile(r"/([^/\n]+\.service)(?=/|$)", re.MULTILINE)


# What logins run, their own services included, is below it (systemd.special(7)); cgroup v1 has it in several lines.
_LOGINS = ":/user.slice/"


def on_the_host(host: Host, wanted: Collection[str]) -> list[int]:
    """Return the processes of these names that share the first process's network namespace, in order, but logins'.

    Where nobody may look at that one (some containers), our own stands for it.
    """
    pids = sorted(int(entry) for entry in host.list_folder("/proc") if entry.isdigit())
    named = [pid for pid in pids if (host.read_text(f"/proc/{pid}/comm") or "").strip() in wanted]
    own = (namespace(host, "1", "net") or namespace(host, "self", "net")) if named else None
    return [pid for pid in named if namespace(host, pid, "net") == own and not is_of_a_login(host, pid)]


def is_of_a_login(host: Host, pid: int) -> bool:
    """Tell whether a login has started a process: anybody who has one may call it what he likes."""
    return _LOGINS in (host.read_text(f"/proc/{pid}/cgroup") or "")


def parent(host: Host, pid: int) -> str:
    """Return the process id of its parent, '' when it has ended."""
    fields = (host.read_text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""


def threads(host: Host, pid: int) -> list[int]:
    """Return the threads of a process, [] when it has ended."""
    return [int(entry) for entry in host.list_folder(f"/proc/{pid}/task") if entry.isdigit()]


def services(cgroup: str) -> list[str]:
    """Return the services of systemd in the text of /proc/PID/cgroup, the innermost last."""
    return _SERVICE.findall(cgroup)


def namespace(host: Host, pid: int | str, kind: str) -> str | None:
    """Return the namespace of a process of a kind ('net', 'pid'), None where nobody may look."""
    with contextlib.suppress(PermissionError):
        return host.link_target(f"/proc/{pid}/ns/{kind}")
    return None
