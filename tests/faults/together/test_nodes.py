"""Faults of nodes, of what lies between, and of a second controller: the next run ends as if there had been none."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.arenas import NodesArena, ends_well, unlike
from tests.faults.table import Fault
from tests.fleet.fleet import LIMIT, NODES, Fleet
from tests.fleet.killing import TooLateError
from tests.lab import Lab, bird

KUBELET = "/var/lib/kubelet"
STRUCK = "/opt/struck"  # where nobody looks for what a run left
JOURNAL = "/var/lib/nodeward/journal.json"

# A small disk with what the folder has, and nothing more to be had.
FULL = """
mkdir -p {folder} /root/of-it; cp -a {folder}/. /root/of-it/
mount -t tmpfs -o size=1m,mode=755 tmpfs {folder}
cp -a /root/of-it/. {folder}/
dd if=/dev/zero of={folder}/filler bs=4k 2>/dev/null; true
"""


@pytest.fixture
def nodes(fleet: Fleet) -> NodesArena:
    return NodesArena(fleet)


def test_a_node_that_reboots_during_the_run(fault: Fault, nodes: NodesArena) -> None:
    """A node reboots while it is changed."""
    good, _ = nodes.undisturbed()
    for node in NODES:
        ends_well(nodes, fault, node, lambda: _run_while(nodes, node, "reboot -f"), good)  # noqa: B023
    assert (fault.tried, fault.survived, fault.unlike) == (3, 3, [])


def test_ssh_that_drops(fault: Fault, nodes: NodesArena) -> None:
    """Every connection of ssh to a node drops while it is changed."""
    good, _ = nodes.undisturbed()
    for node in NODES:
        ends_well(nodes, fault, node, lambda: _run_while(nodes, node, "pkill -KILL -f '^sshd: root'"), good)  # noqa: B023
    assert (fault.tried, fault.survived, fault.unlike) == (3, 3, [])


def _run_while(arena: NodesArena, node: str, command: str) -> None:
    """Run, and have a node do this to itself as soon as a run begins to change it; wait until the node is well.

    The journal is what is written first; what follows takes a quarter of a second and more. Raises TooLateError.
    """
    lab = arena.fleet.lab
    begun = f"until [ -e {JOURNAL} ]; do sleep 0.01; done"
    lab.run(node, f'systemd-run --quiet --unit=lab-fault sh -c "{begun}; touch {STRUCK}; {command}"')
    if arena.fleet.play("harden", *arena.words).code == 0:
        raise TooLateError(node)
    deadline = time.monotonic() + 60
    while lab.run(node, "systemctl is-system-running --wait; systemctl start kubelet", check=False).returncode:
        assert time.monotonic() < deadline, f"{node} does not come up again"
        time.sleep(0.5)
    lab.run(node, f"rm {STRUCK}")  # fails where the run failed of something else


@pytest.mark.parametrize("folder", ["/var/lib/nodeward", "/etc/sysctl.d", "/etc/systemd/system", KUBELET])
def test_a_disk_that_is_full(fault: Fault, nodes: NodesArena, folder: str) -> None:
    """The disk is full."""
    good, _ = nodes.undisturbed()

    def run_without_room() -> None:
        lab = nodes.fleet.lab
        if folder == KUBELET:  # what needs no consent is done before it, and stays
            assert nodes.fleet.play("harden", "-e", "harden_allow=").code == 0
        lab.run("node2", FULL.format(folder=folder))
        before = nodes.state()
        run = nodes.fleet.play("harden", *nodes.words)
        told = run.node("node2")["error"]
        assert f"the disk under {folder}" in told  # or under one below it
        assert "is full" in told
        # the others are done, but with consent no further node is touched after the first failure
        expected = before if folder == KUBELET else {**good, "node2": before["node2"]}
        assert unlike(expected, nodes.state()) == []
        lab.run("node2", f"umount {folder}; rm -r /root/of-it; rmdir {folder} 2>/dev/null; systemctl daemon-reload")

    ends_well(nodes, fault, "full", run_without_room, good)
    assert (fault.tried, fault.survived, fault.unlike) == (1, 1, [])


def test_two_controllers_at_once(fault: Fault, nodes: NodesArena, tmp_path: Path) -> None:
    """Two controllers harden the same fleet at once."""
    good, _ = nodes.undisturbed()

    def both() -> None:
        ended = _two_at_once(nodes.fleet.lab, nodes.fleet.command("nodeward.calico.harden", *nodes.words), tmp_path)
        print(*(output for _code, output in ended))
        assert 0 in [code for code, _output in ended], "both were refused"
        assert all("has held the lock" in output for code, output in ended if code)
        for node in NODES:
            json.loads(nodes.fleet.lab.run(node, f"cat {JOURNAL}").stdout)

    for number in range(3):
        ends_well(nodes, fault, str(number), both, good)
    assert (fault.tried, fault.survived, fault.unlike) == (3, 3, [])


def _two_at_once(lab: Lab, command: list[str], folder: Path) -> list[tuple[int, str]]:
    """Start it twice, have both come to the nodes' locks, and return how each ended and what it printed."""
    for node in NODES:
        lab.run(node, "systemd-run --quiet --unit=lab-holder flock /run/nodeward.lock sleep 150")
    outputs = [folder / "one", folder / "other"]
    started = [_started(command, output) for output in outputs]
    try:
        bird.until(
            lambda: all("Observe, plan, and apply" in each.read_text() for each in outputs), "both at the nodes", 120
        )
        for node in NODES:
            lab.run(node, "systemctl stop lab-holder")
        return [(process.wait(LIMIT), output.read_text()) for process, output in zip(started, outputs, strict=True)]
    finally:
        for process in started:
            process.kill()
            process.wait()


def _started(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("w") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
