# Private to the collection nodeward.calico: may change in any release.
"""What the running kubelet was started with, as far as the node traps need it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._core import file_age
from .._core.host import Host
from .._core.http import LOOPBACK
from .._core.verbs.units import invocation
from .._kube.quantity import quantity
from . import kubelet_file, kubelet_inside, pid_use, processes
from .kubelet_file import ConfigFile
from .kubelet_inside import Inside

# k8s.io/kubelet config/v1beta1 types.go: maxPods "Default: 110", podPidsLimit "Default: -1".
DEFAULT_MAX_PODS = 110
UNLIMITED = -1

# Keys of a KubeletConfiguration that the trap pid_limits sets.
POD_LIMIT = "podPidsLimit"
RESERVED = {"systemReserved": "systemReserved.pid", "kubeReserved": "kubeReserved.pid"}

# Flags that win over the configuration, whole maps included (cmd/kubelet/app/options/options.go).
OVERRIDING = {POD_LIMIT: "pod-max-pids", "systemReserved.pid": "system-reserved", "kubeReserved.pid": "kube-reserved"}

# Where the flags of a kubelet come from: kubeadm's, those of packages, those that kubespray writes.
FLAG_FILES = (
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/etc/kubernetes/kubelet.env",
)
KUBEADM_CONFIG = "/var/lib/kubelet/config.yaml"
KUBEADM_FLAGS = FLAG_FILES[0]

# What tells that a node has a kubelet, also when it does not run. A masked unit is a link, and wanted so.
_INSTALLED = (
    KUBEADM_CONFIG,
    *(f"{folder}/systemd/system/kubelet.service" for folder in ("/etc", "/run", "/usr/lib", "/lib")),
)


@dataclass(frozen=True)
class Reservation:
    """PIDs kept for one kind of daemons: ``pids`` None where there is no number, or none that we can read.

    ``enforced_on`` is the cgroup that gets the number as its limit, '' where the number is only set aside;
    ``used`` are the threads in it, None where they cannot be seen.
    """

    pids: int | None = None
    enforced_on: str = ""
    used: int | None = None


@dataclass(frozen=True)
class Kubelet:
    """``running`` is False where none was found; then the numbers are the kubelet's own defaults, and
    ``left`` is the file of one that is installed, '' where there is none, and ``inside`` what has one in itself.

    ``started`` is in seconds since 1970. ``unit`` is the service whose main process it is, ``invocation`` systemd's
    id of its start; both are '' where none runs it (below rke2, k0s, supervisord). ``config`` is the file that
    --config names, ``drop_in`` our own file in the folder of --config-dir, ``others`` the files of others there.
    ``flags`` are those of OVERRIDING that were given, with the file they stand in. ``unread`` are the keys whose
    number cannot be told, with their file. ``cgroup_root`` is that below which its pods are, '' for the root.
    """

    running: bool = False
    max_pods: int = DEFAULT_MAX_PODS
    pod_pids_limit: int = UNLIMITED
    unit: str = ""
    invocation: str = ""
    started: float = 0.0
    config: ConfigFile | None = None
    drop_in: ConfigFile | None = None
    others: tuple[ConfigFile, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    reserved: Mapping[str, Reservation] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    kubeadm: bool = False
    kubeconfig: str = ""
    node_name: str = ""
    healthz: str = ""
    left: str = ""
    inside: Inside | None = None
    cgroup_root: str = ""


def observe(host: Host, names: Mapping[int, str], mains: Mapping[str, int] | None = None) -> Kubelet:
    """Find the kubelet among the processes ``names`` and read what it was told to read; ``mains`` as for unit_of().

    Flags win over the drop-in folder, that over the file (kubernetes.io "Set Kubelet parameters via a
    configuration file"). One that is part of another process (k3s) is only named.
    """
    found = [(pid, processes.unit_of(host, pid, mains or {})) for pid in processes.own(host, names, ("kubelet",))]
    for pid, unit in sorted(found, key=lambda each: not each[1]):  # one that systemd runs before others
        flags = _with_whole_paths(host, pid, _flags(processes.command_line(host, pid)))
        return _running(host, pid, unit, flags)
    inside = kubelet_inside.observe(host, names, OVERRIDING)
    left = (path for path in _INSTALLED if host.read_text(path) and not host.link_target(path))
    return Kubelet(left="" if inside else next(left, ""), inside=inside)


def shown(kubelet: Kubelet) -> dict[str, Any]:
    """Shape the facts for results; of files only what they are called."""
    told = asdict(kubelet)
    for file in ("config", "drop_in"):
        told[file] = told[file] and told[file]["path"]
    told["others"] = [file.path for file in kubelet.others]
    cap = kubelet.pod_pids_limit if kubelet.pod_pids_limit >= 1 else None
    told["in_force"] = {POD_LIMIT: cap, **{key: each.pids for key, each in kubelet.reserved.items()}}
    return told


def _running(host: Host, pid: int, unit: str, flags: Mapping[str, str]) -> Kubelet:
    files = list(_files(host, flags))
    own = kubelet_file.own_drop_in(host, flags.get("config-dir", "").rstrip("/"))
    texts = [file.text or "" for file in files]
    settings = {key: _last_number(key, texts, flags.get(flag)) for key, flag in _NUMBERS.items()}
    return Kubelet(
        running=True,
        # 0 counts as not given (kubernetes pkg/kubelet/apis/config/v1beta1/defaults.go).
        max_pods=settings["maxPods"] or DEFAULT_MAX_PODS,
        # 0 and below mean no limit (kubelet: "Set to -1 for no limit").
        pod_pids_limit=settings[POD_LIMIT] or UNLIMITED,
        unit=unit,
        invocation=invocation(host, unit) or "",
        started=file_age.started(host, processes.started(host, pid), unit),
        config=files[0] if flags.get("config") else None,
        drop_in=own,
        others=tuple(file for file in files[1 if flags.get("config") else 0 :] if own is None or file.path != own.path),
        flags={flag: _source(host, flag, unit) for flag in OVERRIDING.values() if flag in flags},
        reserved={key: _reservation(host, key, texts, flags) for key in RESERVED.values()},
        unread=_unread(files, flags),
        kubeadm=flags.get("config") == KUBEADM_CONFIG and host.read_text(KUBEADM_FLAGS) is not None,
        kubeconfig=flags.get("kubeconfig", ""),
        node_name=(flags.get("hostname-override") or host.read_text("/proc/sys/kernel/hostname") or "").strip().lower(),
        healthz=_healthz(texts, flags),
        cgroup_root=flags.get("cgroup-root") or _word("cgroupRoot", texts),
    )


_NUMBERS = {"maxPods": "max-pods", POD_LIMIT: "pod-max-pids"}


def _files(host: Host, flags: Mapping[str, str]) -> Iterator[ConfigFile]:
    """Read the files in the order in which a later one wins."""
    if flags.get("config"):
        yield kubelet_file.observe(host, flags["config"])
    if flags.get("config-dir"):
        yield from kubelet_file.drop_ins(host, flags["config-dir"].rstrip("/"))


def _word(key: str, texts: list[str]) -> str:
    return next((word for word in (kubelet_file.word_at(key, text) for text in reversed(texts)) if word), "")


def _last_number(key: str, texts: list[str], flag: str | None) -> int | None:
    found = None
    for text in texts:
        number = kubelet_file.number_at(key, text)
        if number is not None or kubelet_file.is_null(key, text):
            found = number
    given = kubelet_file.number(flag)
    return found if given is None else given


def _unread(files: list[ConfigFile], flags: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of which the file that wins has a number that we cannot tell."""
    found: dict[str, str] = {}
    for key, flag in OVERRIDING.items():
        for file in [] if flag in flags else files:
            if kubelet_file.is_unread(key, file.text or ""):
                found[key] = file.path
            elif kubelet_file.has_number(key, file.text or ""):
                found.pop(key, None)
    return found


def _reservation(host: Host, key: str, texts: list[str], flags: Mapping[str, str]) -> Reservation:
    """Read one reservation; a flag for its map leaves nothing of the map in the files."""
    name, flag = key.partition(".")[0], OVERRIDING[key]
    if flag in flags:
        pids = dict(pair.partition("=")[::2] for pair in flags[flag].split(",")).get("pid")
    else:
        pids = next((value for value in (kubelet_file.word_at(key, text) for text in reversed(texts)) if value), None)
    cgroup = flags.get(f"{flag}-cgroup") or next(
        (word for word in (kubelet_file.word_at(f"{name}Cgroup", text) for text in reversed(texts)) if word), ""
    )
    if not (cgroup and flag in _enforced(texts, flags)):
        return Reservation(quantity(pids))
    path = pid_use.slice_path(cgroup)
    return Reservation(quantity(pids), path, pid_use.used(host, path))


def _enforced(texts: list[str], flags: Mapping[str, str]) -> list[str]:
    """Return what the kubelet makes limits of cgroups; a later list takes the place of an earlier one."""
    given = flags.get("enforce-node-allocatable")
    if given is not None:
        return [word.strip() for word in given.split(",")]
    lists = (kubelet_file.words_at("enforceNodeAllocatable", text) for text in reversed(texts))
    return next((words for words in lists if words is not None), [])


def _healthz(texts: list[str], flags: Mapping[str, str]) -> str:
    """Return the address of /healthz, '' where it is switched off (kubelet: "0 to disable")."""
    port = _last_number("healthzPort", texts, flags.get("healthz-port"))
    given = [kubelet_file.word_at("healthzBindAddress", text) for text in reversed(texts)]
    address = flags.get("healthz-bind-address") or next((each for each in given if each), "127.0.0.1")
    loopback = LOOPBACK.get(address, address)
    bracketed = f"[{loopback}]" if ":" in loopback else loopback
    return "" if port == 0 else f"http://{bracketed}:{port or 10248}/healthz"


def _with_whole_paths(host: Host, pid: int, flags: Mapping[str, str]) -> dict[str, str]:
    """Return the flags with the configuration's paths as seen from /; a folder that is a link is not walked into.

    kubelet cmd/kubelet/app/server.go: filepath.Abs of --config, filepath.WalkDir of --config-dir.
    """
    working = host.link_target(f"/proc/{pid}/cwd") or "/"
    paths = {name: posixpath.join(working, flags[name]) for name in ("config", "config-dir") if flags.get(name)}
    if host.link_target(paths.get("config-dir", "/")):
        paths["config-dir"] = ""
    return {**flags, **paths}


def _source(host: Host, flag: str, unit: str) -> str:
    """Return the file in which a flag of the running kubelet stands, else its unit."""
    folder = f"/etc/systemd/system/{unit}.d"
    drop_ins = [posixpath.join(folder, name) for name in host.list_folder(folder)] if unit else []
    for path in (*FLAG_FILES, *drop_ins):
        if f"--{flag}" in (host.read_text(path) or ""):
            return path
    return unit or "its command line"


def _flags(command_line: list[str]) -> dict[str, str]:
    """Read '--name=value' and '--name value'; a flag without a value is ''."""
    flags: dict[str, str] = {}
    for argument, following in zip(command_line, [*command_line[1:], "--"]):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = name.replace("_", "-")  # k8s.io/component-base/cli/flag WordSepNormalizeFunc
            flags[name] = value if equals else ("" if following.startswith("--") else following)
    return flags
