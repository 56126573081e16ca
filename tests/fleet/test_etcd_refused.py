"""What keeps etcd's members from being touched, on a real cluster; two controllers at once, and one that is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.etcd_lab import EtcdLab, Writer
from tests.fleet.fleet import NODES, Fleet
from tests.lab import Lab

ONLY = ("--tags", "etcd_timing")
OLD, NEW = ("100", "1000"), ("250", "5000")
SNAPSHOTS = "/mnt/small"
# of the second of two runs
REFUSALS = ("the cluster is not well", "has the lock", "has held the lock")
Obstacle = Callable[[EtcdLab], contextlib.AbstractContextManager[str]]


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdLab]:
    lab.reset()
    cluster = EtcdLab(lab, tmp_path_factory.mktemp("etcd"))
    cluster.start(*map(int, OLD))
    yield cluster
    lab.reset()


@contextlib.contextmanager
def a_learner(cluster: EtcdLab) -> Iterator[str]:
    new, deadline = {"peerURLs": ["https://192.0.2.9:2380"], "isLearner": True}, time.monotonic() + 30
    added: dict[str, Any] = {}
    while not added:
        try:
            added = cluster.call("node1", "/v3/cluster/member/add", new)
        except OSError:  # "unhealthy cluster", until the members have known each other for 5 s
            assert time.monotonic() < deadline
            time.sleep(1)
    try:
        yield "a member is being added (learner "
    finally:
        cluster.call("node1", "/v3/cluster/member/remove", {"ID": added["member"]["ID"]})


@contextlib.contextmanager
def an_alarm(cluster: EtcdLab) -> Iterator[str]:
    which = {"memberID": cluster.status("node2")["header"]["member_id"], "alarm": "NOSPACE"}
    cluster.call("node2", "/v3/maintenance/alarm", {"action": "ACTIVATE", **which})
    try:
        yield "alarm:NOSPACE"
    finally:
        cluster.call("node2", "/v3/maintenance/alarm", {"action": "DEACTIVATE", **which})


@contextlib.contextmanager
def no_room(cluster: EtcdLab) -> Iterator[str]:
    cluster.on_all(lambda _node: f"mkdir -p {SNAPSHOTS}; mount -t tmpfs -o size=16k tmpfs {SNAPSHOTS}")
    try:
        yield f"{SNAPSHOTS}: has not twice the"
    finally:
        cluster.on_all(lambda _node: f"umount {SNAPSHOTS}")


def started(cluster: EtcdLab) -> list[str]:
    """The process of each member, '' of one that is down."""
    return [cluster.lab.run(node, "pgrep -x etcd", check=False).stdout.strip() for node in NODES]


@pytest.mark.parametrize("obstacle", [a_learner, an_alarm, no_room])
def test_what_keeps_members_from_being_touched(cluster: EtcdLab, tmp_path: Path, obstacle: Obstacle) -> None:
    pids = cluster.pids()
    with obstacle(cluster) as told:
        run = Fleet(cluster.lab, tmp_path).play("harden", *ONLY, "-e", f"etcd_timing_snapshot_folder={SNAPSHOTS}")
        assert told in " ".join(run.output.split())
        assert cluster.pids() == pids
    cluster.wait()
    assert cluster.values() == dict.fromkeys(NODES, OLD)


def test_two_controllers_at_once_take_turns_or_give_up(cluster: EtcdLab, tmp_path: Path) -> None:
    fleets = [Fleet(cluster.lab, tmp_path / name, limit=300) for name in ("one", "other")]
    with Writer(cluster) as writer, ThreadPoolExecutor(2) as pool:
        words = [ONLY, (*ONLY, "-e", "etcd_timing_heartbeat_interval=200")]
        runs = list(pool.map(lambda fleet, more: fleet.play("harden", *more), fleets, words))
    assert (writer.lost(), writer.fewest >= 2) == ([], True)
    refused = [run.output for run in runs if run.code != 0]
    assert [output for output in refused if not any(words in " ".join(output.split()) for words in REFUSALS)] == []


def test_a_controller_that_is_killed_while_a_member_restarts_is_finished_by_the_next(
    cluster: EtcdLab, tmp_path: Path
) -> None:
    fleet, before = Fleet(cluster.lab, tmp_path, limit=300), started(cluster)
    with Writer(cluster) as writer:
        command = fleet.command("nodeward.calico.harden", *ONLY, "-e", "etcd_timing_heartbeat_interval=300")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
            while started(cluster) == before:
                assert process.poll() is None, "it ended before any member was restarted"
                time.sleep(0.2)
            os.killpg(process.pid, signal.SIGKILL)
        assert fleet.play("harden", *ONLY).code == 0
    assert (writer.lost(), writer.fewest >= 2) == ([], True)
    assert cluster.values() == dict.fromkeys(NODES, NEW)
    assert all("etcd-unfinished" not in cluster.lab.run(node, "ls /var/lib/nodeward").stdout for node in NODES)
