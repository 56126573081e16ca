"""BIRD on the lab's nodes as lab-bird.service runs it: its sessions, its processes, its peers' routes."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import IO

from tests.lab.host import LabError, run
from tests.lab.lab import Lab

CONTAINER = "/usr/local/lib/lab/calico-bird"
SHELLS = {"bird": "birdc -s /var/run/calico/bird.ctl", "bird6": "birdc6 -s /var/run/calico/bird6.ctl"}
_PROBE = "192.0.2.1/32"  # nobody's, in a table that BIRD does not read
_PROBE_TABLE = "77"


def blocks(node: str) -> tuple[str, str]:
    """The pod blocks that a node announces by bird and by bird6."""
    number = node.removeprefix("node")
    return f"10.244.{number}.0/26", f"fd00:10:244:{number}::/122"


def until(seen: Callable[[], object], what: str, seconds: float = 60) -> float:
    """Wait until it is so; how long that took, in seconds. Too long is an AssertionError that says what for."""
    start = time.monotonic()
    while not seen():
        assert time.monotonic() < start + seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - start


def first(look: Callable[[], float], fits: Callable[[float], bool], what: str, seconds: float = 60) -> float:
    """Measure anew until it fits, and return that. Too long is an AssertionError that says what was measured."""
    start = time.monotonic()
    seen = [look()]
    while not fits(seen[-1]):
        assert time.monotonic() < start + seconds, f"not within {seconds:g} s: {what}; measured: {seen}"
        seen.append(look())
    return seen[-1]


def start(lab: Lab, nodes: Sequence[str]) -> float:
    """Start BIRD on these nodes and wait for their full mesh; how long that took, in seconds."""
    for node in nodes:
        lab.run(node, "systemctl start lab-bird")
    return until(lambda: all(in_mesh(lab, node, nodes) for node in nodes), "BIRD's full mesh", 120)


def in_mesh(lab: Lab, node: str, nodes: Sequence[str], daemons: Sequence[str] = ("bird", "bird6")) -> bool:
    """Whether a node's sessions are all established and no recovery after a restart is left to be done."""
    asked = "; ".join(f"{SHELLS[name]} show protocols; {SHELLS[name]} show status" for name in daemons)
    told = lab.run(node, asked, check=False).stdout
    return told.count(" Established ") == len(daemons) * (len(nodes) - 1) and "recovery" not in told


def pid(lab: Lab, node: str, name: str) -> int:
    """Calico's process of that name, as the node numbers it; 0 where there is none."""
    return int(lab.run(node, f"pgrep --oldest --full '^{name} -R '", check=False).stdout or 0)


def pid_after(lab: Lab, node: str, name: str, old: int, seconds: float = 60) -> int:
    """The process that came up in the place of `old`."""
    until(lambda: pid(lab, node, name) not in (0, old), f"a new {name} in the place of process {old}", seconds)
    return pid(lab, node, name)


@dataclasses.dataclass(frozen=True)
class Withdrawal:
    """A route that a node's kernel lost; seconds until it was there again, None where it was not."""

    node: str
    block: str
    seconds: float | None


class RouteWatch:
    """All changes of the kernel's routes on some nodes, one by one as netlink tells of them, so none is too short.

    The end also proves that the watching has not ended or fallen behind meanwhile: then it is a LabError.
    """

    def __init__(self, lab: Lab, nodes: Sequence[str]) -> None:
        self._namespaces = {node: lab.netns(node).name for node in nodes}
        self._monitors: dict[str, subprocess.Popen[str]] = {}
        self._outputs: dict[str, IO[str]] = {}
        self._kept: dict[str, list[str]] = {}

    def __enter__(self) -> RouteWatch:
        for node, namespace in self._namespaces.items():
            self._outputs[node] = output = tempfile.TemporaryFile("w+")
            command = ["ip", "-netns", namespace, "-tshort", "monitor", "route"]
            self._monitors[node] = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, text=True
            )
        for node in self._namespaces:
            self._prove(node)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        try:
            for node in self._namespaces if kind is None else ():
                self._prove(node)
        finally:
            for node, process in self._monitors.items():
                process.terminate()
                process.wait(10)
                self._kept[node] = self._lines(node)
                self._outputs[node].close()

    def _lines(self, node: str) -> list[str]:
        if node in self._kept:
            return self._kept[node]
        self._outputs[node].seek(0)
        return self._outputs[node].read().splitlines()

    def _prove(self, node: str) -> None:
        """Change a route that is nobody's, and see it told of; more than one try, since it may not listen yet."""
        before = self._told_of_probe(node)
        deadline = time.monotonic() + 30
        while self._told_of_probe(node) == before:
            process = self._monitors[node]
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{node}: ip monitor tells of no changes any more: {self._lines(node)[-3:]}")
            for verb in ("add", "delete"):
                words = ["route", verb, "blackhole", _PROBE, "table", _PROBE_TABLE]
                run(["ip", "-netns", self._namespaces[node], *words])
            time.sleep(0.05)
        strange = [line for line in self._lines(node) if not line.startswith("[")]
        if strange:
            raise LabError(f"{node}: ip monitor fell behind: {strange}")

    def _told_of_probe(self, node: str) -> int:
        return sum(f"Deleted blackhole {_PROBE.removesuffix('/32')} " in line for line in self._lines(node))

    def withdrawn(self, *wanted: str) -> list[Withdrawal]:
        """Which of these blocks were taken out of a kernel's table, by node, in order."""
        found = []
        for node in self._namespaces:
            open_since: dict[str, datetime] = {}
            for line in self._lines(node):
                match = re.match(r"\[(\S+)\] (Deleted )?(\S+) ", line)
                if not match or match[3] not in wanted:
                    continue
                when = datetime.fromisoformat(match[1])
                if match[2]:
                    open_since[match[3]] = when
                elif match[3] in open_since:
                    gone = (when - open_since.pop(match[3])).total_seconds()
                    found.append(Withdrawal(node, match[3], gone))
            found += [Withdrawal(node, block, None) for block in open_since]
        return found
