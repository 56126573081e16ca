"""Faults of the clock, which a container cannot have: it shares its host's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.arenas import MachinesArena, ends_well
from tests.faults.table import Fault
from tests.fleet.fleet import Run
from tests.vm.vms import Vms


@pytest.fixture
def machines(tmp_path: Path, say: Callable[[str], None]) -> Iterator[MachinesArena]:
    machines = Vms("faults", say, count=3)
    try:
        yield MachinesArena(machines, tmp_path)
    finally:
        machines.down()


@pytest.mark.parametrize("skew", ["+1 hour", "-1 hour"])
def test_a_clock_that_is_an_hour_off(fault: Fault, machines: MachinesArena, skew: str) -> None:
    """The clocks of two nodes are an hour off, and set right after the run."""
    good, _ = machines.undisturbed()
    assert "election-timeout: 1000" not in machines.on("vm1", "cat /etc/etcd.yml").splitlines(), "etcd was not tuned"

    def run_by_the_wrong_clock() -> None:
        for node in ("vm1", "vm2"):
            machines.on(node, f"date --set='{skew}'")
        assert machines.fleet.play("harden", *machines.words).code == 0
        for node in ("vm1", "vm2"):
            machines.on(node, f"date --set=@{time.time():.0f}")
        # both read files that were written by the other clock
        machines.on("vm1", "systemctl restart etcd")
        machines.on("vm2", "systemctl restart kubelet")

    ends_well(machines, fault, skew, run_by_the_wrong_clock, good, _left_to_do)
    assert (fault.tried, fault.survived, fault.unlike) == (1, 1, [])


def _left_to_do(second: Run) -> list[str]:
    """Say which nodes the second run found something to do on."""
    return [
        f"{node['name']} was {node['state']}"
        for node in second.report["nodes"]
        if node["state"] not in ("ok", "findings")
    ]
