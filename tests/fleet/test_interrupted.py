"""The controller dies in the middle of a run; the next run ends in the same state as one undisturbed run."""

from __future__ import annotations

import pytest

from tests.fleet.fleet import NODES, Fleet
from tests.fleet.killing import different, kill_when_printed

# What the run has just printed when it is killed, and how many of the nodes may be changed by then. The
# nodes are worked on one after the other here, so that there is a middle.
MOMENTS = {
    "before any node": ("TASK [Refuse to do nothing", {0}),
    "in the middle of the first node": ("TASK [nodeward.calico.node : Observe, plan", {0, 1}),
    "between two nodes": ("changed: [", {1, 2}),
    "after all nodes": ("PLAY [The report]", {3}),
}


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, list[str]]:
    """What the nodes look like after one run that nobody killed; filled by the first test."""
    return {}


def test_undisturbed_run(fleet: Fleet, undisturbed: dict[str, list[str]]) -> None:
    fresh = {node: fleet.look(node) for node in NODES}
    assert fleet.play("harden").code == 0
    undisturbed.update({node: fleet.look(node) for node in NODES})
    assert all(different(undisturbed[node], fresh[node]) for node in NODES), "there is nothing to interrupt"


@pytest.mark.parametrize(("printed", "changed"), MOMENTS.values(), ids=MOMENTS.keys())
def test_killed_run_is_finished_by_the_next(
    fleet: Fleet, undisturbed: dict[str, list[str]], printed: str, changed: set[int]
) -> None:
    fresh = {node: fleet.look(node) for node in NODES}
    kill_when_printed(fleet.command("nodeward.calico.harden", "--forks=1"), printed)
    assert sum(bool(different(fleet.look(node), fresh[node])) for node in NODES) in changed

    assert fleet.play("harden").code == 0
    for node in NODES:
        assert different(fleet.look(node), undisturbed[node]) == []
