"""The controller dies in the middle of a run; the next run ends in the same state as one undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from tests.fleet.fleet import NODES, Fleet

# Parts of the time that an undisturbed run takes; the node task is somewhere around the middle.
MOMENTS = (0.25, 0.4, 0.5, 0.6, 0.75)


def test_killed_controller(fleet: Fleet) -> None:
    start = time.monotonic()
    assert fleet.play("harden").code == 0
    duration = time.monotonic() - start
    wanted = {node: fleet.look(node) for node in NODES}

    stages = set()
    for moment in MOMENTS:
        fleet.lab.reset(*NODES)
        fresh = {node: fleet.look(node) for node in NODES}
        kill_after(fleet.command("nodeward.calico.harden"), moment * duration)
        stages.add(sum(fleet.look(node) != fresh[node] for node in NODES))

        assert fleet.play("harden").code == 0
        assert {node: fleet.look(node) for node in NODES} == wanted
    assert len(stages) > 1, "the kills all came before, or all came after the change"


def kill_after(command: list[str], seconds: float) -> None:
    """Start the command in a session of its own and kill all of that session at once."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
    # what ran on a node at that moment ends by itself within this time
    time.sleep(2)
