"""The controller is killed: the next run ends as if it had not been."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.arenas import TASK, Arena, CalicoArena, EtcdArena, KubeadmArena, NodesArena, PlansArena, ends_well
from tests.faults.table import Fault
from tests.fleet.fleet import Fleet
from tests.fleet.killing import kill_when_printed

# of ANSIBLE_LOG_PATH
BEGINS = re.compile(r"^(\d\S+ \S+) .*\| (?:PLAY RECAP|(TASK) \[)", re.MULTILINE)
HARDEN = "nodeward.calico.harden"
ARENAS: dict[str, Callable[[Fleet, Path], Arena]] = {
    "nodes": lambda fleet, _folder: NodesArena(fleet),
    "saved plans": lambda fleet, _folder: PlansArena(fleet),
    "etcd": EtcdArena,
    "Calico": lambda fleet, _folder: CalicoArena(fleet),
    "kubeadm's ConfigMaps": KubeadmArena,
}
# Each of a run's tasks is in one of so many tests: workers share them. Few are about the ConfigMaps, or of plans.
PARTS = {"kubeadm's ConfigMaps": 1, "saved plans": 2}
TESTS = {
    f"{name} {first + 1} of {parts}": (name, (first, parts))
    for name in ARENAS
    for parts in [PARTS.get(name, 6)]
    for first in range(parts)
}


@pytest.fixture
def arena(request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path) -> Iterator[Arena]:
    arena = ARENAS[request.param](fleet, tmp_path / "etcd")
    yield arena
    arena.end()


@pytest.mark.parametrize(("arena", "part"), TESTS.values(), ids=TESTS, indirect=["arena"])
def test_the_controller_killed_at_every_task(
    fault: Fault, arena: Arena, part: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller is killed at every task in turn."""
    log = tmp_path / "times.log"
    with monkeypatch.context() as environment:
        environment.setenv("ANSIBLE_LOG_PATH", str(log))  # where each line has its time
        good, output = arena.undisturbed()
    first, parts = part
    moments = _moments(arena, _tasks(output, log.read_text()))[first::parts]
    assert moments, "no task to be killed at"
    for number, after in moments:
        words = f"task {number}" + (f", {after:.1f} s later" if after else "")
        ends_well(arena, fault, words, lambda: _kill(arena, number, after), good)  # noqa: B023
    assert (fault.tried, fault.survived, fault.unlike) == (len(moments), len(moments), [])


@dataclass(frozen=True)
class _Task:
    name: str
    seconds: float
    changed: bool
    """Whether it changed something on a node, or of the cluster."""


def _tasks(output: str, log: str) -> list[_Task]:
    """Return the tasks of the last run of a log, with what the run printed."""
    printed = [block.partition("]") for block in output.split(TASK)[1:]]
    begun = [(datetime.fromisoformat(time.replace(",", ".")), task) for time, task in BEGINS.findall(log)]
    begun = begun[-len(printed) - 1 :]  # and the recap
    assert [bool(task) for _time, task in begun] == [True] * len(printed) + [False]
    return [
        _Task(name, (until - since).total_seconds(), "\nchanged: [" in rest)
        for (name, _, rest), (since, _), (until, _) in zip(printed, begun, begun[1:], strict=False)
    ]


def _moments(arena: Arena, tasks: list[_Task]) -> list[tuple[int, float]]:
    """Return when to kill: at each task's beginning, and in the middle of those that change something."""
    numbers = arena.tasks([task.name for task in tasks])
    changing = [number for number in numbers if tasks[number - 1].changed]
    return [*((number, 0.0) for number in numbers), *((number, tasks[number - 1].seconds / 2) for number in changing)]


def _kill(arena: Arena, number: int, after: float) -> None:
    kill_when_printed(arena.fleet.command(HARDEN, *arena.words), TASK, number, after)
