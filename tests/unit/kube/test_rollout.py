"""What a refusal of a rollout says: which pods are not ready, why, and what goes on there; and whose pods are new."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import install, objects, places, rollout, templates

from .calico_objects import deployment, operated, pod
from .fake_api import FakeApi

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


@pytest.mark.parametrize(("has_sets", "uids"), [(True, ["b", "c"]), (False, [])])
def test_pods_of_the_newest_replica_set(has_sets: bool, uids: list[str]) -> None:
    """One that came back has the highest revision, whatever its age; another Deployment's does not count."""
    number = places.pointer("deployment.kubernetes.io/revision")

    def replica_set(owner: str, revision: str, name: str) -> dict[str, Any]:
        item = {"metadata": {"ownerReferences": [{"uid": owner}], "labels": {"pod-template-hash": name}}}
        return places.put(item, f"/metadata/annotations{number}", revision)

    sets = [replica_set("1", "10", "old"), replica_set("1", "9", "new"), replica_set("2", "11", "else")]
    api, pods = FakeApi(), [pod("node1", "a"), pod("node2", "b"), pod("node3", "c")]
    api.lists["/apis/apps/v1/namespaces/kube-system/replicasets"] = sets if has_sets else []
    for each, name in zip(pods, ("new", "old", "old"), strict=True):
        each["metadata"]["labels"] = {"pod-template-hash": name}
    item = places.put(deployment("calico-typha"), "/metadata/uid", "1")
    found = templates.newest(api, objects.deployment("kube-system", "calico-typha"), item, pods)
    assert [each["metadata"]["uid"] for each in found] == uids


def test_what_selects_nothing_has_no_pods() -> None:
    api = FakeApi()
    api.lists["/api/v1/namespaces/kube-system/pods"] = [pod("node1", "somebody's")]
    assert install.pods_of(api, {"metadata": {"namespace": "kube-system"}}) == []
