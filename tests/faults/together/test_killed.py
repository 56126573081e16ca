"""The controller is killed: the next run ends as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.arenas import Arena, CalicoArena, EtcdArena, NodesArena, ends_well
from tests.faults.table import Fault
from tests.fleet.fleet import Fleet
from tests.fleet.killing import kill_when_printed

HARDEN = "nodeward.calico.harden"
TASK = "TASK ["
ARENAS: dict[str, Callable[[Fleet, Path], Arena]] = {
    "nodes": lambda fleet, _folder: NodesArena(fleet),
    "etcd": EtcdArena,
    "Calico": lambda fleet, _folder: CalicoArena(fleet),
}
# Each of a run's tasks is in one of so many tests: workers share them.
PARTS = 6


@pytest.fixture
def arena(request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path) -> Iterator[Arena]:
    arena = ARENAS[request.param](fleet, tmp_path / "etcd")
    yield arena
    if isinstance(arena, CalicoArena):
        arena.cluster.down()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("arena", ARENAS, indirect=True)
def test_the_controller_killed_at_every_task(fault: Fault, arena: Arena, part: int) -> None:
    """The controller is killed at every task in turn."""
    good, output = arena.undisturbed()
    numbers = range(1 + part, 1 + output.count(TASK), PARTS)
    assert numbers, "no task to be killed at"
    for number in numbers:
        command = arena.fleet.command(HARDEN, *arena.words)
        ends_well(arena, fault, f"task {number}", lambda: kill_when_printed(command, TASK, number), good)  # noqa: B023
    assert (fault.tried, fault.survived, fault.unlike) == (len(numbers), len(numbers), [])
