"""What several files here ask for by pytestmark."""

from __future__ import annotations

import pytest

from tests.unit.etcd.fake_cluster import FakeCluster


@pytest.fixture(params=[True, False], ids=["gateway", "etcdctl"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through etcd's gateway, and through etcdctl where that is off."""
    monkeypatch.setattr(FakeCluster, "gateway", request.param)
