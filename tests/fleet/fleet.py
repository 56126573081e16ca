"""Run a playbook on the lab's nodes, and look at the nodes with tools that are not ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import Lab

NODES = ("node1", "node2", "node3")
LACKS_PYROUTE2 = "node3"
LIMIT = 300.0  # seconds for one run of a playbook; it takes about five, and took 146 with 15 others at work

_TOOLS = Path(sys.executable).parent

# Every file a run could reach, with owner, mode and content, and the two parameters. Not what systemd and
# dpkg keep for themselves.
LOOK = r"""
places="/etc /root /usr/local /usr/lib/sysctl.d /var/lib"
skip="-path /var/lib/systemd -o -path /var/lib/dpkg -o -path /root/.ansible"
find $places \( $skip \) -prune -o -printf '%p %y %m %U %l\n' | sort
find $places \( $skip \) -prune -o -type f -exec sha256sum -- {} + | sort -k 2
cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max
"""


@dataclass(frozen=True)
class Run:
    """What came of one ansible-playbook: exit code, all it printed, and the report it kept (or {})."""

    code: int
    output: str
    report: dict[str, Any]

    def node(self, name: str) -> dict[str, Any]:
        [node] = [node for node in self.report["nodes"] if node["name"] == name]
        return dict(node)

    def recap(self, name: str) -> dict[str, int]:
        """Return the numbers of Ansible's own recap."""
        line = re.search(rf"^{name} +: (.*)$", self.output, re.MULTILINE)
        assert line, f"no recap of {name} in:\n{self.output}"
        return {key: int(value) for key, value in (pair.split("=") for pair in line.group(1).split())}


def command(inventory: Path, folder: Path, playbook: str, *words: str) -> list[str]:
    """Return the command of a playbook, by its full name or path, that leaves its report in the folder."""
    ansible = str(_TOOLS / "ansible-playbook")
    return [ansible, playbook, "-i", str(inventory), "-e", f"report_folder={folder}", *words]


def run(command: list[str], folder: Path, limit: float = LIMIT) -> Run:
    """Run a command to its end, at most ``limit`` seconds, and read the report that it left in the folder."""
    for old in folder.glob("*.json"):
        old.unlink()  # dated ones, and the newest of each kind
    done = subprocess.run(
        command,
        # as make sets it, for those who call pytest themselves: round trips are counted
        env={"ANSIBLE_PIPELINING": "True", **os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    print(done.stdout)
    reports = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return Run(done.returncode, done.stdout, reports[0] if reports else {})


class Playbooks:
    """Playbooks on an inventory, and a folder for the reports of one test."""

    def __init__(self, inventory: Path, folder: Path, limit: float = LIMIT) -> None:
        self.folder = folder
        self._inventory = inventory
        self._limit = limit

    def command(self, playbook: str, *words: str) -> list[str]:
        return command(self._inventory, self.folder, playbook, *words)

    def play(self, playbook: str, *words: str) -> Run:
        """Run a playbook (harden, audit, or a path) to its end."""
        return self.run(self.command(playbook if "/" in playbook else f"nodeward.calico.{playbook}", *words))

    def run(self, command: list[str]) -> Run:
        """Run a command to its end and read the report that it left."""
        return run(command, self.folder, self._limit)


class Fleet(Playbooks):
    """The lab's three nodes."""

    def __init__(self, lab: Lab, folder: Path, limit: float = LIMIT) -> None:
        super().__init__(lab.inventory, folder, limit)
        self.lab = lab

    def look(self, node: str) -> list[str]:
        """Return everything a run could change on a node, as find, sha256sum and /proc show it."""
        return self.lab.run(node, LOOK).stdout.splitlines()

    def limits(self, node: str) -> tuple[int, int]:
        """Return kernel.pid_max and kernel.threads-max as /proc has them."""
        text = self.lab.run(node, "cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max").stdout
        pid_max, threads_max = text.split()
        return int(pid_max), int(threads_max)
