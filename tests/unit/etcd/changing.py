"""A member that is changed: the module etcd_member on a fake cluster, for the tests beside this file."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    run,
    snapshot,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.access import Access
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd

from tests.unit.etcd.fake_cluster import OWN, TEXT, FakeCluster

VALUES = {"heartbeat-interval": 250, "election-timeout": 5000}
AFTER = TEXT.replace("INTERVAL=100", "INTERVAL=250").replace("TIMEOUT=1000", "TIMEOUT=5000")


class Locked(FakeCluster):
    """A cluster whose node can be locked."""

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()


def params(**more: Any) -> dict[str, Any]:
    return {
        "state": "hardened", "clusters": {"cafe": VALUES}, "allow": ["etcd_restart"], "snapshot": True,
        "snapshot_folder": None, **more,
    }  # fmt: skip


def do(cluster: Locked, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    given = params(**more)
    return run.run(cluster, run.wanted(given), check_mode, given["allow"])  # type: ignore[arg-type]


def beside_snapshots(cluster: FakeCluster) -> dict[str, str]:
    """The files of the node without snapshots, and what removes them."""
    return {path: text for path, text in cluster.files.items() if not path.endswith(".db") and path != snapshot.TIDIED}


def members(cluster: FakeCluster) -> list[Etcd]:
    own = Etcd(cluster, Access(OWN))
    return [own.other("https://10.0.0.2:2379"), own]
