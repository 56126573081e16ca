"""Pods of calico-node's kind on the lab's nodes: a stand-in for it, started and probed by the kubelet's rules."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import Lab
from tests.lab.host import write

_HERE = Path(__file__).parent
_LIB = "/usr/local/lib/lab"
_PROGRAM = "/bin/calico-node"  # where the manifest's probes have it


@dataclass(frozen=True)
class Pod:
    """One that runs; `numbers` are the probes' of its container."""

    lab: Lab
    node: str
    name: str

    @property
    def log(self) -> str:
        return f"/root/{self.name}.log"

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """What happened so far, or only one kind of event; `at` is in seconds since its kubelet's start."""
        # read from outside: a loaded node takes a minute to let anybody in
        log = root(self.lab, self.node) / self.log[1:]
        lines = log.read_text().splitlines() if log.exists() else []
        return [event for event in map(json.loads, lines) if kind in ("", event["event"])]


def start(lab: Lab, node: str, name: str, address: str, container: Mapping[str, Any]) -> Pod:
    """Start a pod with this container of a DaemonSet's, whose command is the stand-in."""
    pod = Pod(lab, node, name)
    for path, source, mode in (
        (_PROGRAM, "calico_node.py", 0o755),
        (f"{_LIB}/kubelet_probes.py", "kubelet_probes.py", 0o644),
    ):
        write(root(lab, node) / path[1:], (_HERE / source).read_text(), mode)
    item = {**container, "command": [_PROGRAM]}
    write(root(lab, node) / f"root/{name}.json", json.dumps(item))
    words = ["/usr/bin/python3", f"{_LIB}/kubelet_probes.py", name, address, f"/root/{name}.json", pod.log]
    lab.run(node, f"{_LIB}/pod add {name} {address}")
    lab.run(node, f"systemd-run --quiet --collect --unit=kubelet-{name} {shlex.join(words)}")
    return pod


def root(lab: Lab, node: str) -> Path:
    """Where a node's disk is on this machine."""
    return lab.folder / "nodes" / node / "root"
