# Private to the collection nodeward.calico: may change in any release.
"""Which members of etcd run on this node, found by their processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .._core.errors import NodewardError
from .._core.formats import UnsureError
from .._core.formats.yaml_lines import scalars
from .._core.host import Host
from .._core.host_processes import on_the_host, parent, services
from .flavours import Running

# In the path of every pod's cgroup, whatever the driver.
PODS = "kubepods"
# Units in whose cgroup containers are (Docker's driver cgroupfs); none of these is there for etcd.
RUNTIMES = ("docker.service", "containerd.service")

# By the name of the process; k3s runs etcd within itself.
NAMES = ("etcd", "k3s-server")
# Other programs within etcd's own, by its first argument: neither has a database.
OTHER_COMMANDS = ("grpc-proxy", "gateway")
K3S_FILE = "/var/lib/rancher/k3s/server/db/etcd/config"


def find(host: Host) -> list[Running]:
    """Return every member that runs on the node, by process id.

    A pod may call its processes what it likes; whether one is the node's own, its manifest tells.
    """
    return [running for pid in on_the_host(host, NAMES) for running in _running(host, pid)]


def _running(host: Host, pid: int) -> Iterator[Running]:
    cgroup = host.read_text(f"/proc/{pid}/cgroup") or ""
    environment = dict(word.partition("=")[::2] for word in _words(host.read_text(f"/proc/{pid}/environ")))
    # last of all: one that ended has no arguments, and its environment was read from one that had not
    arguments = tuple(_words(host.read_text(f"/proc/{pid}/cmdline")))
    found = services(cgroup)
    running = Running(
        pid,
        arguments,
        {name: value for name, value in environment.items() if name.startswith("ETCD_")},
        unit=found[-1] if found and found[-1] not in RUNTIMES and PODS not in cgroup else "",
        is_pod=PODS in cgroup,
        parent=_parent(host, pid),
    )
    if (host.read_text(f"/proc/{pid}/comm") or "").strip() == "k3s-server":
        if host.read_text(K3S_FILE) is None:
            return  # k3s with another datastore
        running = replace(running, arguments=("etcd", f"--config-file={K3S_FILE}"), environment={})
    if arguments and "".join(arguments[1:2]) not in OTHER_COMMANDS:  # it has not ended in between
        yield replace(running, options=_options(host, running))


def _options(host: Host, running: Running) -> Mapping[str, str]:
    """Return what it was started with, by the names of flags: of its file, or its flags and variables."""
    if running.config_file:
        text = host.read_text(running.path(running.config_file))
        text = host.read_text(running.config_file) if text is None else text
        try:
            read = scalars(text or "")
        except UnsureError as unsure:
            raise NodewardError(
                what=f"cannot be read: {unsure}",
                where=running.config_file,
                remedy="Write it as one key a line, or leave this trap out (--skip-tags etcd_timing)",
            ) from unsure
        return {".".join(str(part) for part in path): value for path, value in read.items()}
    variables = {
        name.removeprefix("ETCD_").lower().replace("_", "-"): value for name, value in running.environment.items()
    }
    return {**variables, **running.flags}


def _parent(host: Host, pid: int) -> str:
    above = parent(host, pid)
    return (host.read_text(f"/proc/{above}/comm") or "").strip() if above else ""


def _words(text: str | None) -> list[str]:
    return text.rstrip("\0").split("\0") if text else []
