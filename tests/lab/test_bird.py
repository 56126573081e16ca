"""BIRD on the lab's nodes does what Calico's does when it ends, in order or not. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab import Lab, bird

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

NODES = ("node1", "node2", "node3")
PEERS = NODES[1:]
DAEMONS = ("bird", "bird6")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab("labbird", nodes=3)
    lab.down()
    lab.up()
    bird.start(lab, NODES)
    yield lab
    lab.down()


def out(lab: Lab, node: str, command: str) -> str:
    return lab.run(node, command).stdout.strip()


def end(lab: Lab, signal: str) -> tuple[list[bird.Withdrawal], dict[str, int]]:
    """End both daemons of node1 by a signal and wait until new ones are in the mesh; the peers' losses, the new."""
    old = {name: bird.pid(lab, "node1", name) for name in DAEMONS}
    with bird.RouteWatch(lab, PEERS) as watch:
        lab.run("node1", f"kill -{signal} {old['bird']} {old['bird6']}")
        new = {name: bird.pid_after(lab, "node1", name, old[name]) for name in DAEMONS}
        bird.until(lambda: all(bird.in_mesh(lab, node, NODES) for node in NODES), f"the mesh after SIG{signal}", 120)
    return watch.withdrawn(*bird.blocks("node1")), new


def above(lab: Lab, pid: int) -> list[str]:
    """The command lines of a process of node1, its parent, and that one's."""
    walk = f"p={pid}; for _ in 1 2 3; do ps -o args= -p $p; p=$(ps -o ppid= -p $p); done"
    return out(lab, "node1", walk).splitlines()


@pytest.mark.parametrize("name", DAEMONS)
def test_it_is_run_as_calico_runs_it(lab: Lab, name: str) -> None:
    pid = bird.pid(lab, "node1", name)
    config = f"/etc/calico/confd/config/{name}.cfg"
    command = f"{name} -R -s /var/run/calico/{name}.ctl -d -c {config}"
    assert above(lab, pid) == [command, f"runsv {name}", "runsvdir -P /etc/service/enabled"]
    assert "/cri-containerd-" in out(lab, "node1", f"cat /proc/{pid}/cgroup")
    assert lab.run("node1", f"test -e {config}", check=False).returncode == 1, "the host sees the container's file"
    assert "graceful restart;" in out(lab, "node1", f"cat /proc/{pid}/root{config}")


def test_nothing_but_calicos_runs(lab: Lab) -> None:
    seen = out(lab, "node1", "systemctl is-enabled bird bird6 lab-bird; pgrep -c -x 'bird|bird6'; true").split()
    assert seen == ["masked", "masked", "static", "2"]


def test_each_node_holds_its_peers_blocks(lab: Lab) -> None:
    for node in NODES:
        routes = out(lab, node, "ip route show proto bird; ip -6 route show proto bird")
        for peer in NODES:
            assert [block in routes for block in bird.blocks(peer)] == [peer != node] * 2, (node, peer)


def test_one_side_of_each_pair_connects(lab: Lab) -> None:
    """By text, so that 10.0.0.9 comes after 10.0.0.11, as Calico has it: see the facts named in the script."""
    waits = {node: out(lab, node, f"grep -c 'passive on' /proc/{bird.pid(lab, node, 'bird')}/root"
                                  "/etc/calico/confd/config/bird.cfg || true") for node in NODES}  # fmt: skip
    assert waits == {"node1": "2", "node2": "1", "node3": "0"}


def test_sigterm_withdraws_the_peers_routes(lab: Lab) -> None:
    """The failure, and the proof that the watch would see one."""
    lost, _ = end(lab, "TERM")
    assert sorted((each.node, each.block) for each in lost) == sorted(
        (node, block) for node in PEERS for block in bird.blocks("node1")
    )
    assert all(each.seconds is not None for each in lost), "they came back with the new sessions"


def test_sigkill_withdraws_none_and_runit_brings_it_back(lab: Lab) -> None:
    for _again in range(2):
        lost, new = end(lab, "KILL")
        assert lost == []
        for name, pid in new.items():
            assert above(lab, pid)[1] == f"runsv {name}"


def test_nothing_is_left_when_it_is_stopped(lab: Lab) -> None:
    lab.run("node3", "systemctl stop lab-bird")
    state = "systemctl is-active lab-bird; pgrep -x 'bird|bird6|runsv|runsvdir'; ls /run/calico; mount | grep calico"
    assert lab.run("node3", f"{state}; ip route show proto bird; ip -6 route show proto bird", check=False).stdout == (
        "inactive\n"
    )
    assert "fd00" not in out(lab, "node3", "ip -6 address")
    assert out(lab, "node3", "systemctl --failed --no-legend") == ""
