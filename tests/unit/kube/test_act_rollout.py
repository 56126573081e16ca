"""A rollout as it is waited for: pods and nodes that fail, an API server that is away, and when all is undone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import StandstillError, reason

from tests.unit.kube.calico_fleet import JOURNAL, NODE, NODES, PODS, REVISIONS, Fleet, api, harden, timeout
from tests.unit.kube.calico_objects import node, pod

__all__ = ["api"]  # a fixture


def test_a_pod_within_its_own_budget_is_no_failure(api):
    fleet = Fleet(api, becomes_ready=lambda _name: False)
    replaced = fleet.sleep
    started: dict[str, float] = {}

    def slowly(seconds: float) -> None:
        replaced(seconds)
        for each in api.lists[PODS]:
            uid = each["metadata"]["uid"]
            if uid.startswith("new-"):
                each["spec"]["containers"] = [{"name": "calico-node", "startupProbe": {"failureThreshold": 20}}]
                if fleet.now - started.setdefault(uid, fleet.now) > 150:  # of the 200 s that its probe allows, over 60
                    each["status"]["conditions"][0]["status"] = "True"

    fleet.sleep = slowly  # type: ignore[method-assign]
    assert harden(fleet)["changed"]


@pytest.mark.parametrize("pod_vanishes", [True, False])
def test_a_node_that_the_rollout_knocks_out_is_a_failed_pod(api, pod_vanishes):
    fleet = Fleet(api)
    replaced = fleet.sleep
    ill = node("node2")
    ill["status"]["conditions"][0]["status"] = "Unknown"

    def node2_falls(seconds: float) -> None:
        if any(each["metadata"]["uid"] == "new-node2" for each in api.lists[PODS]):  # and was seen once
            api.lists["/api/v1/nodes"] = [node("node1"), ill, node("node3")]
            if pod_vanishes:
                api.lists[PODS] = [each for each in api.lists[PODS] if each["spec"]["nodeName"] != "node2"]
        replaced(seconds)

    fleet.sleep = node2_falls  # type: ignore[method-assign]
    with pytest.raises(NodewardError, match=r"node2 .*the node is not Ready.*put back"):
        harden(fleet)
    assert timeout(api) == 1


def test_a_rollout_that_does_not_get_ready_is_undone(api):
    fleet = Fleet(api, becomes_ready=lambda name: name == "node1")
    before = api.get(NODE.path)["spec"]
    with pytest.raises(NodewardError, match=r"node2.*not ready 60 s.*put back") as told:
        harden(fleet)
    assert "calico-node-new-node2" in str(told.value)
    assert (api.get(NODE.path)["spec"], api.get(JOURNAL)) == (before, None)


def test_an_undone_run_leaves_the_journal_as_the_run_before_has_left_it(api):
    harden(Fleet(api))
    known = api.get(JOURNAL)["data"]
    api.lists[PODS] = [pod(name, f"old-{name}") for name in NODES]
    with pytest.raises(NodewardError, match="put back"):
        harden(Fleet(api, becomes_ready=lambda _name: False), timeout=90)
    assert (timeout(api), api.get(JOURNAL)["data"]) == (60, known)
    api.lists[PODS] = [pod(name, f"old-{name}") for name in NODES]
    assert harden(Fleet(api), state="restored")["changed"]
    assert timeout(api) == 1


def test_a_right_that_is_missing_hides_no_reason(api):
    fleet, items = Fleet(api, becomes_ready=lambda _name: False), api.items

    def without_events(path: str, labels: Any = None) -> Any:
        if path.endswith("/events"):
            raise ApiError("GET was answered with 403", path, 403)
        return items(path, labels)

    api.items = without_events
    with pytest.raises(NodewardError, match=r"not ready 60 s.*put back"):
        harden(fleet)
    assert timeout(api) == 1


@pytest.mark.parametrize(("status", "lasts", "back"), [(503, 20, True), (503, 1000, False), (403, 1000, False)])
def test_going_back_is_tried_again_and_the_first_reason_is_told(api, status, lasts, back):
    fleet, patch = Fleet(api, becomes_ready=lambda _name: False), api.patch
    since: list[float] = []

    def refused(path: str, operations: Any, dry_run: bool) -> Any:
        if timeout(api) == 60 and not dry_run:
            since.append(fleet.now)
            if fleet.now < since[0] + lasts:
                raise ApiError(f"PATCH was answered with {status}", path, status)
        return patch(path, operations, dry_run)

    api.patch = refused
    with pytest.raises(NodewardError, match=r"not ready 60 s") as told:
        harden(fleet)
    assert (timeout(api) == 1) is back
    assert ("Going back failed as well" in str(told.value)) is not back
    assert (api.get(JOURNAL) is None) is back, "what is not back is still known"


def test_an_answer_of_a_server_that_restarts_ends_no_wait(api):
    fleet, items = Fleet(api), api.items
    answers = iter([503, 429, 0])

    def busy(path: str, labels: Any = None) -> Any:
        status = next(answers, None) if path == PODS and timeout(api) == 60 else None
        if status is not None:
            raise ApiError("busy", path, status)
        return items(path, labels)

    api.items = busy
    assert harden(fleet)["changed"]
    assert fleet.lines[-1].endswith("3 of 3 pods are ready anew")


def test_the_limit_is_for_each_pod(api):
    fleet = Fleet(api)
    fleet.api.lists["/api/v1/nodes"] = [node(f"node{number}") for number in range(100)]
    fleet.api.lists[PODS] = [pod(f"node{number}", f"old-{number}") for number in range(100)]
    harden(fleet)
    assert fleet.now > 120, "twice the limit of one pod"


def test_a_pod_that_was_not_ready_before_does_not_count(api):
    api.objects[NODE.path]["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 2
    api.lists[PODS] = [pod("node1", "old-1"), pod("node2", "old-2"), pod("node3", "broken", ready=False)]
    fleet = Fleet(api)

    def replaced(seconds: float) -> None:
        fleet.now += seconds
        api.lists[PODS] = [pod("node1", "n-1"), pod("node2", "n-2"), pod("node3", "n-3", ready=False)]

    fleet.sleep = replaced  # type: ignore[method-assign]
    assert harden(fleet)["changed"]
    assert fleet.lines[-1].startswith("DaemonSet kube-system/calico-node: 2 of 2 pods")


def test_a_node_that_goes_away_does_not_count(api):
    fleet = Fleet(api, becomes_ready=lambda name: name != "node2")
    replaced = fleet.sleep

    def node2_dies(seconds: float) -> None:
        replaced(seconds)
        if fleet.now > 20:
            api.lists["/api/v1/nodes"] = [node("node1"), node("node3")]
            api.lists[PODS] = [each for each in api.lists[PODS] if each["spec"]["nodeName"] != "node2"]

    fleet.sleep = node2_dies  # type: ignore[method-assign]
    assert harden(fleet)["changed"]


@pytest.mark.parametrize(("most", "refused"), [(1, True), ("33%", True), (2, False), ("34%", False)])
def test_a_fleet_whose_room_is_filled_is_refused(api, most, refused):
    api.objects[NODE.path]["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = most
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    ill = pod("node3", "x", ready=False, containerStatuses=[{"name": "calico-node", "ready": False, "state": waits}])
    api.lists[PODS] = [pod("node1", "1"), pod("node2", "2"), ill]
    if refused:
        with pytest.raises(NodewardError, match=r"1 of 3 pods are not ready.*node3 \(calico-node: CrashLoopBackOff"):
            harden(Fleet(api), check=True)
        assert api.patches == []
    else:
        assert harden(Fleet(api), check=True)["changed"]


def test_a_rollout_that_stands_still_is_told_and_left(api):
    fleet = Fleet(api)
    fleet.sleep = lambda seconds: setattr(fleet, "now", fleet.now + seconds)  # type: ignore[method-assign]
    with pytest.raises(NodewardError, match="no pod was replaced for 60 s, 0 of 3"):
        harden(fleet)
    assert timeout(api) == 60


@pytest.mark.parametrize("replaced", [0, 1, 2])
def test_a_restore_after_a_rollout_that_stood_still_ends(api, replaced):
    """The controller keeps the pods that have the template which comes back."""
    fleet = Fleet(api, stalls_after=replaced)
    with pytest.raises(StandstillError, match=f"no pod was replaced for 60 s, {replaced} of 3"):
        harden(fleet)
    fleet.stalls_after = None
    assert harden(fleet, state="restored")["changed"]
    assert fleet.lines[-1].endswith("3 of 3 pods are ready anew")
    kept = [f"old-{name}" for name in NODES[replaced:]]
    assert [each["metadata"]["uid"] for each in api.lists[PODS]][replaced:] == kept
    assert (timeout(api), api.get(JOURNAL)) == (1, None)


def test_no_pod_is_new_before_the_controller_has_seen_the_change(api):
    fleet = Fleet(api, stalls_after=0)
    fleet.sleep = lambda seconds: setattr(fleet, "now", fleet.now + seconds)  # type: ignore[method-assign]
    api.objects[NODE.path]["status"] = {"observedGeneration": 1}
    with pytest.raises(StandstillError, match="0 of 3"):
        harden(fleet)


def test_without_the_right_to_list_templates_pods_are_new_by_their_name_alone(api):
    fleet, items = Fleet(api), api.items

    def without_revisions(path: str, labels: Any = "") -> Any:
        if path == REVISIONS:
            raise ApiError("GET was answered with 403", path, 403)
        return items(path, labels)

    api.items = without_revisions
    assert harden(fleet)["changed"]


@pytest.mark.parametrize(("anew", "said"), [(False, "has deleted it during"), (True, "and made it anew")])
def test_a_daemon_set_that_goes_away_is_no_rollout_that_is_done(api, anew, said):
    api.objects[NODE.path]["metadata"]["uid"] = "1"
    fleet = Fleet(api)

    def deleted(seconds: float) -> None:
        fleet.now += seconds
        gone = api.objects.pop(NODE.path, None)
        api.lists[PODS] = []
        if anew and gone:
            api.store(NODE.path, {**gone, "metadata": {**gone["metadata"], "uid": "2"}})
            api.lists[PODS] = [pod(name, f"other-{name}") for name in NODES]

    fleet.sleep = deleted  # type: ignore[method-assign]
    with pytest.raises(StandstillError, match=said):
        harden(fleet)
    assert fleet.now < 10


def test_on_delete_is_not_waited_for(api):
    api.objects[NODE.path]["spec"]["updateStrategy"] = {"type": "OnDelete"}
    fleet = Fleet(api)
    assert harden(fleet)["changed"]
    assert fleet.now == 0


def test_an_api_server_that_is_away_for_a_moment(api):
    fleet = Fleet(api)
    get, away = api.items, iter([True, True])

    def items(path: str, labels: Any = None) -> Any:
        if path == PODS and timeout(api) == 60 and next(away, False):
            raise NodewardError("was not reached", "here", "Wait")
        return get(path, labels)

    api.items = items
    assert harden(fleet)["changed"]


def test_an_api_server_that_stays_away_ends_the_wait(api):
    fleet = Fleet(api)
    get = api.items

    def items(path: str, labels: Any = None) -> Any:
        if path == PODS and fleet.now > 2:
            raise NodewardError("was not reached", "here", "Wait")
        return get(path, labels)

    api.items = items
    with pytest.raises(NodewardError, match="was not reached"):
        harden(fleet)
    assert timeout(api) == 60
    assert "livenessProbe/timeoutSeconds" in api.get(JOURNAL)["data"]["journal.json"], "the way back is known"


def test_the_reason_of_a_pod_is_kubernetes_own():
    statuses = [
        {
            "name": "calico-node",
            "ready": False,
            "state": {"running": {}},
            "lastState": {"terminated": {"reason": "Error"}},
        }
    ]
    told = reason(
        pod("node1", "x", ready=False, containerStatuses=statuses),
        [
            {"type": "Warning", "message": "Readiness probe failed:\n timeout", "lastTimestamp": "2"},
            {"type": "Warning", "message": "older", "lastTimestamp": "1"},
            {"type": "Normal", "message": "Pulled", "lastTimestamp": "3"},
        ],
    )
    assert told == "calico-node: Error, Readiness probe failed: timeout"
    assert reason(pod("node1", "x", ready=False)) == "no reason given"
