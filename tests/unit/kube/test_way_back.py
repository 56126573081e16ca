"""One rollout on the way back as well: which module takes the restart for a new MTU back."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import objects, places, restart, way_back
from ansible_collections.nodeward.calico.plugins.module_utils._kube.cluster_journal import ClusterJournal

from .calico_objects import config, daemon_set
from .fake_api import FakeApi

JOURNAL = "/api/v1/namespaces/kube-system/configmaps/nodeward-journal"
NODE = objects.daemon_set("kube-system", "calico-node")
CONFIG = objects.config_map("kube-system", "calico-config")
MTU, NOTE = f"{CONFIG.where} {restart.VETH_MTU}", f"{NODE.where} {restart.NOTE}"


@pytest.fixture
def api() -> FakeApi:
    """Both modules have been here: the MTU, and the restart for it."""
    noted = places.put(daemon_set(), restart.NOTE, "1480")
    api = FakeApi({NODE.path: noted, CONFIG.path: config("1480")})
    ClusterJournal(api).record("calico_mtu", {MTU: ('"1500"', '"1480"'), NOTE: (None, '"1480"')})
    return api


def targets(api: FakeApi, trap: str, *words: bool) -> list[str]:
    return [change.target for change in way_back.planned(api, trap, *words).changes]


def test_alone_calico_mtu_restarts_the_pods_itself(api):
    assert targets(api, "calico_mtu") == [MTU, NOTE]


def test_the_pods_are_replaced_last_whatever_was_first(api):
    """They read veth_mtu when they start."""
    del api.objects[JOURNAL]
    ClusterJournal(api).record("calico_mtu", {NOTE: (None, '"1480"'), MTU: ('"1500"', '"1480"')})
    assert targets(api, "calico_mtu") == [MTU, NOTE]


def test_before_calico_probes_it_leaves_that_to_it(api):
    assert targets(api, "calico_mtu", False) == [MTU]
    assert targets(api, "calico_probes") == [], "a veth_mtu that is still ours keeps the restart for it"
    ClusterJournal(api).forget([MTU])
    assert targets(api, "calico_probes") == [NOTE]


def test_where_somebody_changed_veth_mtu_since_the_restart_stays_and_is_foretold_so(api):
    api.objects[CONFIG.path]["data"]["veth_mtu"] = "1400"
    for rollout in (True, False):
        assert targets(api, "calico_mtu", rollout) == []
    assert targets(api, "calico_probes") == []
