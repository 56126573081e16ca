"""etcd 3.5, Debian 13's, on the lab's cluster of three: flags, gateway and metrics have changed since 3.4."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.archive import Archive
from tests.fleet.etcd_lab import EtcdLab, Writer
from tests.fleet.fleet import NODES, Fleet
from tests.lab import Lab

PROGRAMS = ("etcd", "etcdctl")


@pytest.fixture
def cluster(lab: Lab, tmp_path: Path) -> Iterator[EtcdLab]:
    archive = tmp_path / "archive"
    archive.mkdir()
    Archive(archive, "trixie").unpack(("etcd-server", "etcd-client"), tmp_path / "newer")
    lab.reset()
    cluster = EtcdLab(lab, tmp_path / "cluster")
    for node in NODES:
        for program in PROGRAMS:
            shutil.copy(tmp_path / f"newer/usr/bin/{program}", cluster.path(node, f"/usr/bin/{program}"))
    cluster.start()
    yield cluster
    lab.reset()


def test_harden_defragment_and_back(cluster: EtcdLab, tmp_path: Path) -> None:
    fleet = Fleet(cluster.lab, tmp_path, limit=300)
    assert {cluster.status(node)["version"][:4] for node in NODES} == {"3.5."}
    old = cluster.values()
    with Writer(cluster) as writer:
        run = fleet.play("harden", "--tags", "etcd_timing")
    assert run.code == 0
    assert cluster.values() == dict.fromkeys(NODES, ("250", "5000"))
    assert (writer.lost(), writer.fewest >= 2) == ([], True)
    pids, revision = cluster.pids(), cluster.status("node1")["header"]["revision"]
    again = fleet.play("harden", "--tags", "etcd_timing")
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    assert (cluster.pids(), cluster.status("node1")["header"]["revision"]) == (pids, revision), "a read costs no write"

    cluster.fill(8)
    before = cluster.sizes()
    words = ("-e", "etcd_defrag_least_bytes=4000000")
    refused = fleet.play("defrag", *words)
    assert refused.code == 2
    assert "can corrupt a database" in refused.output
    assert cluster.sizes() == before
    with Writer(cluster) as writer:
        assert fleet.play("defrag", *words, "-e", "etcd_defrag_any_version=true").code == 0
    assert writer.lost() == []
    assert all(size < before[node] - 4000000 for node, size in cluster.sizes().items())

    assert fleet.play("restore", "--tags", "etcd_timing").code == 0
    assert cluster.values() == old
