"""The controller is killed: the next run ends as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.arenas import TASK, Arena, CalicoArena, EtcdArena, KubeadmArena, NodesArena, PlansArena, ends_well
from tests.faults.table import Fault
from tests.fleet.fleet import Fleet
from tests.fleet.killing import kill_when_printed

HARDEN = "nodeward.calico.harden"
ARENAS: dict[str, Callable[[Fleet, Path], Arena]] = {
    "nodes": lambda fleet, _folder: NodesArena(fleet),
    "saved plans": lambda fleet, _folder: PlansArena(fleet),
    "etcd": EtcdArena,
    "Calico": lambda fleet, _folder: CalicoArena(fleet),
    "kubeadm's ConfigMaps": KubeadmArena,
}
# Each of a run's tasks is in one of so many tests: workers share them. Few are about the ConfigMaps.
PARTS = {"kubeadm's ConfigMaps": 1}
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
def test_the_controller_killed_at_every_task(fault: Fault, arena: Arena, part: tuple[int, int]) -> None:
    """The controller is killed at every task in turn."""
    good, output = arena.undisturbed()
    first, parts = part
    numbers = arena.moments(output)[first::parts]
    assert numbers, "no task to be killed at"
    for number in numbers:
        command = arena.fleet.command(HARDEN, *arena.words)
        ends_well(arena, fault, f"task {number}", lambda: kill_when_printed(command, TASK, number), good)  # noqa: B023
    assert (fault.tried, fault.survived, fault.unlike) == (len(numbers), len(numbers), [])
