"""The snapshot before the first member is touched: where it goes, and when it goes away."""

from __future__ import annotations

import posixpath

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    snapshot,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.access import Access
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd

from tests.unit.etcd.changing import Locked, do
from tests.unit.etcd.fake_cluster import DATABASE, OWN, FakeCluster

pytestmark = pytest.mark.usefixtures("both_ways")


def take(cluster: FakeCluster, name: str = "node1", **more: str) -> str:
    return snapshot.take(cluster, Etcd(cluster, Access(OWN)), name, len(DATABASE), "/var/lib/etcd", **more)


def test_a_snapshot_goes_to_another_disk_where_there_is_one():
    cluster = FakeCluster()
    cluster.disks = {"/": 1, "/opt": 2}
    assert take(cluster).startswith("/opt/")
    cluster.disks = {"/": 1}
    assert take(cluster).startswith(f"{snapshot.FOLDER}/")
    assert take(cluster, folder="/mnt/x").startswith("/mnt/x/")


@pytest.mark.parametrize("name", ["../../etc/etcd", "a/b c", "x" * 300, "m\u00fcnchen"])
def test_a_member_of_any_name_has_its_snapshot_in_the_folder_and_it_goes_again(name):
    cluster = FakeCluster()
    path = take(cluster, name)
    assert posixpath.dirname(path) == snapshot.FOLDER
    assert len(path.encode()) < 255
    cluster.now += 2 * snapshot.OLDEST
    snapshot.age(cluster)
    assert path not in cluster.files


def test_systemd_is_told_to_remove_old_ones_before_there_is_one():
    cluster = FakeCluster()
    cluster.snapshot = cluster.snapshot[:-1] + b"?"
    with pytest.raises(NodewardError, match="not whole"):
        take(cluster)
    assert f"e {snapshot.FOLDER} 0700 root root 7d\n" in cluster.files[snapshot.TIDIED]
    assert "/mnt" not in cluster.files[snapshot.TIDIED], "a folder that is not ours alone is not tidied"


def test_old_snapshots_go():
    cluster = FakeCluster()
    names = ["etcd-node1-20200101T000000Z.db", "etcd-node1-20231114T000000Z.db", "etcd-node1-20231113T000000Z.db"]
    cluster.files |= {f"{snapshot.FOLDER}/{name}": "" for name in (*names, "mine.db")}
    newest = take(cluster)
    left = [path for path in cluster.files if path.startswith(snapshot.FOLDER)]
    assert sorted(left) == sorted([f"{snapshot.FOLDER}/{name}" for name in (names[1], "mine.db")] + [newest])


FUTURE = [f"{snapshot.FOLDER}/etcd-node1-2027120{day}T000000Z.db" for day in (1, 2)]


def test_one_that_was_just_written_stays_though_others_are_from_the_future():
    cluster = FakeCluster()
    cluster.files |= dict.fromkeys(FUTURE, "")
    newest = take(cluster)
    assert sorted(path for path in cluster.files if path.endswith(".db")) == [newest, FUTURE[1]]


def test_those_from_the_future_go_first():
    cluster = FakeCluster()
    older = f"{snapshot.FOLDER}/etcd-node1-20231114T000000Z.db"
    cluster.files |= dict.fromkeys([older, *FUTURE], "")
    newest = take(cluster)
    assert sorted(path for path in cluster.files if path.endswith(".db")) == [older, newest]


def test_one_that_was_just_written_stays_though_the_clock_is_set_back_meanwhile():
    class SetBack(FakeCluster):
        def saves(self) -> None:
            self.now -= 3600

    cluster = SetBack()
    cluster.files |= dict.fromkeys(FUTURE, "")
    assert take(cluster) in cluster.files


def test_what_a_killed_run_has_left_of_a_snapshot_goes_with_every_run_and_so_do_old_ones():
    cluster = Locked()
    do(cluster)
    [whole] = [path for path in cluster.files if path.endswith(".db")]
    for folder in snapshot.ELSEWHERE:
        for name in (".etcd-node1-20231114T000000Z.db.nodeward", "etcd-node1-20200101T000000Z.db"):
            cluster.files[f"{folder}/{name}"] = "Secrets"
    do(cluster, check_mode=True)
    assert "Secrets" in cluster.files.values()
    assert do(cluster)["changed"] is False
    assert "Secrets" not in cluster.files.values()
    assert whole in cluster.files


def test_a_snapshot_that_breaks_off_is_an_error():
    class Breaks(FakeCluster):
        def send_http(self, _request: Request) -> Answer:
            return Answer(200, '{"error": {"message": "gone"}}\n')

    with pytest.raises(NodewardError, match=r"broke off: .*gone"):
        take(Breaks())
    full = FakeCluster()
    full.broken = frozenset({1})
    with pytest.raises(NodewardError, match="cannot be written"):
        take(full)


@pytest.mark.parametrize("body", ["[1]", '{"result": 7}', '{"result": {"blob": "?"}}', "x"])
def test_a_snapshot_of_garbage_is_an_error(body):
    class Garbles(FakeCluster):
        gateway = True

        def send_http(self, request: Request) -> Answer:
            return Answer(200, body + "\n") if request.url.endswith("snapshot") else super().send_http(request)

    with pytest.raises(NodewardError, match=r"broke off|not whole"):
        take(Garbles())
