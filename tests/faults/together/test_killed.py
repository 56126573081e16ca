"""The controller is killed: the next run ends as if it had not been."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.arenas import (
    ATTEMPTS,
    Arena,
    CalicoArena,
    EtcdArena,
    KubeadmArena,
    NodesArena,
    PlansArena,
    State,
    ends_well,
)
from tests.faults.table import Fault
from tests.fleet.fleet import Fleet
from tests.fleet.killing import kill_when_printed

# of ANSIBLE_LOG_PATH
BEGINS = re.compile(r"^(\d\S+ \S+) .*\| (?:PLAY RECAP|TASK \[)", re.MULTILINE)
TASK = "TASK ["  # what ansible-playbook prints as it begins one
HARDEN = "nodeward.calico.harden"
ARENAS: dict[str, Callable[[Fleet, Path], Arena]] = {
    "nodes": lambda fleet, _folder: NodesArena(fleet),
    "saved plans": lambda fleet, _folder: PlansArena(fleet),
    "etcd": EtcdArena,
    "Calico": lambda fleet, _folder: CalicoArena(fleet),
    "kubeadm's ConfigMaps": KubeadmArena,
}
# The tasks of a run are shared out between so many tests, and those between workers. Few are about the ConfigMaps, or
# of plans.
PARTS = {"nodes": 6, "saved plans": 2, "etcd": 6, "Calico": 6, "kubeadm's ConfigMaps": 1}
TESTS = {
    f"{name} {first + 1} of {parts}": (name, (first, parts)) for name, parts in PARTS.items() for first in range(parts)
}


@pytest.fixture
def arena(request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path) -> Iterator[Arena]:
    arena = ARENAS[request.param](fleet, tmp_path / "etcd")
    yield arena
    arena.end()


@pytest.mark.parametrize(("arena", "part"), TESTS.values(), ids=TESTS, indirect=["arena"])
def test_the_controller_killed_at_every_task(fault: Fault, arena: Arena, part: tuple[int, int]) -> None:
    """The controller is killed at every task in turn."""
    good, output = arena.undisturbed()
    first, parts = part
    numbers = arena.tasks([task.name for task in _tasks(output)])[first::parts]
    _killed(fault, arena, good, [(number, 0.0) for number in numbers])


@pytest.mark.parametrize("arena", ARENAS, indirect=True)
def test_the_controller_killed_in_the_middle_of_tasks(
    fault: Fault, arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller is killed in the middle of each task that changes something."""
    log = tmp_path / "times.log"
    with monkeypatch.context() as environment:
        environment.setenv("ANSIBLE_LOG_PATH", str(log))
        good, output = arena.undisturbed()
    tasks = _tasks(output)
    seconds = _durations(log.read_text())[-len(tasks) :]
    numbers = [number for number in arena.tasks([task.name for task in tasks]) if tasks[number - 1].changed]
    _killed(fault, arena, good, [(number, seconds[number - 1] / 2) for number in numbers])


def _killed(fault: Fault, arena: Arena, good: State, moments: list[tuple[int, float]]) -> None:
    """Try each moment: a task's number, and seconds after its beginning."""
    assert moments, "no task to be killed at"
    for number, after in moments:
        command = arena.fleet.command(HARDEN, *arena.words)
        words = f"task {number}" + (f", {after:.1f} s later" if after else "")
        waits = iter(after / 2**attempt for attempt in range(ATTEMPTS))
        ends_well(arena, fault, words, lambda: kill_when_printed(command, TASK, number, next(waits)), good)  # noqa: B023
    assert (fault.tried, fault.survived, fault.unlike) == (len(moments), len(moments), [])


@dataclass(frozen=True)
class _Task:
    name: str
    changed: bool
    """Whether it changed something on a node, or of the cluster."""


def _tasks(output: str) -> list[_Task]:
    """Return the tasks that a run printed."""
    printed = [block.partition("]") for block in output.split(TASK)[1:]]
    return [_Task(name, "\nchanged: [" in rest) for name, _, rest in printed]


def _durations(log: str) -> list[float]:
    """Return the seconds of each task, by the times of ANSIBLE_LOG_PATH; the last one ends with the recap."""
    begun = [datetime.fromisoformat(time.replace(",", ".")) for time in BEGINS.findall(log)]
    return [(until - since).total_seconds() for since, until in pairwise(begun)]
