# Private to the collection nodeward.calico: may change in any release.
"""What the running kubelet was started with, as far as the node traps need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._core.host import Host
from . import processes

# k8s.io/kubelet config/v1beta1 types.go: maxPods "Default: 110", podPidsLimit "Default: -1".
DEFAULT_MAX_PODS = 110
UNLIMITED = -1


@dataclass(frozen=True)
class Kubelet:
    """``running`` is False where none was found; then the numbers are the kubelet's own defaults."""

    running: bool = False
    max_pods: int = DEFAULT_MAX_PODS
    pod_pids_limit: int = UNLIMITED


def observe(host: Host, names: Mapping[int, str]) -> Kubelet:
    """Find the kubelet among the processes ``names`` and read what it was told to read.

    Flags win over the drop-in folder, that over the file (kubernetes.io "Set Kubelet parameters via a
    configuration file"). A kubelet inside another process (k3s, rke2) is not seen yet.
    """
    for pid in processes.called(host, names, ("kubelet",)):
        flags = _flags(processes.command_line(host, pid))
        settings = _settings(host, flags)
        return Kubelet(
            running=True,
            # 0 counts as not given (kubernetes pkg/kubelet/apis/config/v1beta1/defaults.go).
            max_pods=settings.get("maxPods", DEFAULT_MAX_PODS) or DEFAULT_MAX_PODS,
            # 0 and below mean no limit (kubelet: "Set to -1 for no limit").
            pod_pids_limit=settings.get("podPidsLimit", UNLIMITED) or UNLIMITED,
        )
    return Kubelet()


def _settings(host: Host, flags: dict[str, str]) -> dict[str, int]:
    texts = [host.read_text(flags["config"])] if "config" in flags else []
    folder = flags.get("config-dir")
    if folder:
        texts += [host.read_text(f"{folder}/{n}") for n in host.list_folder(folder) if n.endswith(".conf")]
    settings: dict[str, int] = {}
    for key, flag in (("maxPods", "max-pods"), ("podPidsLimit", "pod-max-pids")):
        for candidate in [*(_number_at(key, text) for text in texts), _number(flags.get(flag))]:
            if candidate is not None:
                settings[key] = candidate
    return settings


def _flags(command_line: list[str]) -> dict[str, str]:
    """Read '--name=value' and '--name value'; a flag without a value is ''."""
    flags: dict[str, str] = {}
    for argument, following in zip(command_line, [*command_line[1:], "--"]):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            flags[name] = value if equals else ("" if following.startswith("--") else following)
    return flags


def _number_at(key: str, text: str | None) -> int | None:
    """Read a top-level number of a KubeletConfiguration in YAML or JSON.

    A node need not have a YAML library; for a whole number at the top level none is needed.
    """
    found = re.search(rf'(?:^|"){key}"?\s*:\s*(-?[0-9]{{1,18}})\b', text or "", re.MULTILINE)
    return int(found.group(1)) if found else None


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,18}", text) else None
