# Private to the collection nodeward.calico: may change in any release.
"""A kubelet that is part of a larger process (k3s, microk8s): its limits are not set here, and a person is told so.

Its arguments come from files of that process, whose restart takes the API server down with it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .._core.host import Host
from .._core.host_processes import services
from .._core.plan import Finding
from . import kubelet_file, processes


@dataclass(frozen=True)
class Kind:
    """Where such a process takes the kubelet's arguments from: files with the flags, and folders of such files.

    ``drop_ins`` are folders with files of the kubelet's own configuration. ``remedy`` has a place for the flags, each
    with ``dashes`` before it, and one for the unit.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    drop_ins: tuple[str, ...]
    dashes: str
    remedy: str


# docs.k3s.io "k3s server", "Customized Flags for Kubernetes Processes"; the folder of drop-ins from v1.32 on
_K3S = Kind(
    files=("/etc/rancher/k3s/config.yaml",),
    folders=("/etc/rancher/k3s/config.yaml.d",),
    drop_ins=("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d",),
    dashes="",
    remedy="Add to the list kubelet-arg in /etc/rancher/k3s/config.yaml: {flags}; then restart {unit} when it suits",
)
# microk8s.io "Configuring services"
_MICROK8S = Kind(
    files=("/var/snap/microk8s/current/args/kubelet",),
    folders=(),
    drop_ins=(),
    dashes="--",
    remedy="Add to /var/snap/microk8s/current/args/kubelet, a line each: {flags}; then restart {unit} when it suits",
)

_PID = r"(?:\S*,)?pid="

# By the name of the process.
KINDS = {"k3s-server": _K3S, "k3s-agent": _K3S, "kubelite": _MICROK8S}


@dataclass(frozen=True)
class Inside:
    """The process, its service, and those keys of the kubelet's configuration that are given a number for it."""

    process: str
    unit: str
    given: tuple[str, ...] = ()


def observe(host: Host, names: Mapping[int, str], flags: Mapping[str, str]) -> Inside | None:
    """Find such a process in a service of systemd, None for none; ``flags`` are the kubelet's by key. Reads only."""
    for pid in processes.own(host, names, KINDS):
        found = services(host.read_text(f"/proc/{pid}/cgroup") or "")
        if found:
            kind, unit = KINDS[names[pid]], found[-1]
            # /proc does not tell: k3s hides its arguments, as there may be secrets among them
            texts = list(_texts(host, (*kind.files, f"/etc/systemd/system/{unit}"), kind.folders))
            files = (file for folder in kind.drop_ins for file in kubelet_file.drop_ins(host, folder))
            drop_ins = [file.text or "" for file in files]
            given = {key for key, flag in flags.items() if any(_gives(text, flag, "." in key) for text in texts)}
            given |= {key for key in flags if any(kubelet_file.has_number(key, text) for text in drop_ins)}
            return Inside(names[pid], unit, tuple(sorted(given)))
    return None


def findings(
    inside: Inside, wanted: Mapping[str, int | None], flags: Mapping[str, str], trap: str
) -> Iterator[Finding]:
    """Tell what its kubelet is not given; ``wanted`` are the numbers by key, None for a key that is not needed."""
    missing = {key: number for key, number in wanted.items() if number is not None and key not in inside.given}
    if missing:
        kind = KINDS[inside.process]
        words = [f"{kind.dashes}{flags[key]}={'pid=' if '.' in key else ''}{number}" for key, number in missing.items()]
        yield Finding(
            id=f"{trap}.kubelet_inside",
            severity="medium",
            where=inside.unit,
            observed=f"a kubelet that is part of {inside.process}, and is not seen to be given {', '.join(missing)}",
            wanted=", ".join(f"{key} {number}" for key, number in missing.items()),
            why="one leaking container can take every process id of the node (incident B); what it is part of is not "
            "restarted here",
            remedy=kind.remedy.format(flags=", ".join(words), unit=inside.unit),
        )


def _texts(host: Host, paths: tuple[str, ...], folders: tuple[str, ...]) -> Iterator[str]:
    """Yield files without their comments."""
    below = [posixpath.join(folder, name) for folder in folders for name in host.list_folder(folder)]
    for path in (*paths, *below):
        text = host.read_text(path) or ""
        yield "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _gives(text: str, flag: str, is_map: bool) -> bool:
    return re.search(rf"(?<!\w)(?<!\w-){flag}[= ]+{_PID if is_map else ''}\d", text) is not None
