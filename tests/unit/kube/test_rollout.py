"""What a refusal of a rollout says: which pods are not ready, why, and what goes on there."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import objects, rollout

from .calico_objects import operated, pod

REF = objects.daemon_set("calico-system", "calico-node")
STALE = {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}
HALF = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 1}
THROUGH = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}
GOING = pod("node1", "a")
GOING["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("status", "ill", "said"),
    [
        (HALF, GOING, "node1 (it is being deleted); a rollout is under way, 1 of 3 pods have the newest template"),
        (STALE, GOING, "node1 (it is being deleted); a rollout is under way, 0 of 3 pods have the newest template"),
        (THROUGH, pod("node1", "a", ready=False, phase="Pending"), "node1 (no reason given, its phase is Pending)"),
        (THROUGH, pod("node1", "a", ready=False), "node1 (no reason given)"),
    ],
    ids=["half way", "not begun", "pending", "silent"],
)
def test_a_refusal_names_the_reason(status: dict[str, Any], ill: dict[str, Any], said: str) -> None:
    workload = operated()
    workload["metadata"]["generation"], workload["status"] = 2, status
    pods = [ill, pod("node2", "b"), pod("node3", "c")]
    [refusal] = rollout.refusals("calico_probes", REF, workload, pods)
    assert refusal.what == f"1 of 3 pods are not ready, and maxUnavailable is 1: {said}"
