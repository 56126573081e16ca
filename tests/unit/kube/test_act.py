"""Dry run, journal, patch and the way back of calico_probes, on an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_probes, objects, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.unit.kube.calico_fleet import (
    JOURNAL,
    NODE,
    NODES,
    PODS,
    TIMEOUT,
    Fleet,
    api,
    harden,
    parameters,
    select,
    timeout,
)
from tests.unit.kube.calico_objects import deployment, installation, installation_crd, node, operated, pod
from tests.unit.kube.fake_api import FakeApi

__all__ = ["api"]  # a fixture


def test_check_run_check_run_and_back(api):
    fleet = Fleet(api)
    before = api.get(NODE.path)
    foretold = harden(fleet, check=True)
    assert (api.get(NODE.path), api.patches, api.get(JOURNAL)) == (before, [], None)

    done = harden(fleet)
    assert done["changes"] == foretold["changes"] != []
    assert done["diff"] == foretold["diff"]
    assert f"{TIMEOUT}: 60" in done["diff"][0]["after"]
    assert api.patches == [NODE.path], "one patch"
    assert fleet.lines[-1] == "DaemonSet kube-system/calico-node: 3 of 3 pods are ready anew"
    assert done["rollout"] == fleet.lines
    version = api.get(NODE.path)["metadata"]["resourceVersion"]
    assert (harden(fleet)["changed"], api.get(NODE.path)["metadata"]["resourceVersion"]) == (False, version)

    fleet = Fleet(api, pods=PODS)
    api.lists[PODS] = [pod(name, f"old-{name}") for name in NODES]
    assert harden(fleet, check=True, state="restored")["changed"]
    assert api.get(NODE.path)["metadata"]["resourceVersion"] == version
    assert harden(fleet, state="restored")["changed"]
    assert (api.get(NODE.path)["spec"], api.get(JOURNAL)) == (before["spec"], None)
    assert harden(fleet, state="restored")["changed"] is False


def test_without_consent_nothing_is_sent(api):
    told = harden(Fleet(api), allow=[])
    assert (told["changed"], told["changes"], api.patches) == (False, [], [])
    assert {change["disrupts"] for change in told["pending"]} == {"calico_rollout"}


def test_another_writer_is_not_overwritten(api):
    fleet = Fleet(api)

    def somebody(path: str) -> None:
        api.before_patch = lambda _path: None
        api.store(path, places.put(api.get(path) or {}, TIMEOUT, 90))

    api.before_patch = somebody
    done = harden(fleet)
    assert timeout(api) == 90
    assert "livenessProbe.timeoutSeconds" not in str(done["changes"])
    assert done["changed"]
    assert "livenessProbe/timeoutSeconds" not in api.get(JOURNAL)["data"]["journal.json"]


def test_somebody_who_always_writes_is_an_error_in_the_end(api):
    fleet = Fleet(api)
    api.before_patch = lambda path: api.store(path, api.get(path) or {}) and None
    with pytest.raises(ApiError, match=r"has been modified.* 5 tries.*field managers"):
        harden(fleet)
    assert 0 < fleet.now < 60, "it waits a little in between"
    assert (timeout(api), api.get(JOURNAL)) == (1, None)


def test_a_status_that_is_written_again_and_again_is_no_obstacle(api):
    due = [False]

    def captured() -> int:
        due[0] = True
        return 20

    def controller(path: str) -> None:
        if due[0]:  # between each plan and its first patch
            api.store(path, {**(api.get(path) or {}), "status": {"numberReady": 1}})
        due[0] = False

    api.minor = captured
    api.before_patch = controller
    assert harden(Fleet(api))["changed"]
    assert api.patches == [NODE.path] * 2, "the patch is sent again, and nothing is planned anew"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_second_object_that_is_refused_leaves_the_first_as_it_was(api, dry_run):
    typha = objects.deployment("kube-system", "calico-typha")
    api.store(typha.path, deployment("calico-typha"))
    patch = api.patch

    def forbidden(path: str, operations: Any, dry_run: bool, refused: bool = dry_run) -> Any:
        if path == typha.path and dry_run == refused:
            raise ApiError("PATCH was answered with 403", path, 403)
        return patch(path, operations, dry_run)

    api.patch = forbidden
    with pytest.raises(NodewardError, match="403"):
        harden(Fleet(api))
    assert (timeout(api), api.get(JOURNAL)) == (1, None)
    assert (NODE.path in api.patches) is not dry_run


def test_a_server_that_drops_a_field_is_told_before_anything_is_changed(api):
    patch = api.patch

    def dropping(path: str, operations: Any, dry_run: bool) -> Any:
        item = patch(path, operations, dry_run)
        return places.put(item, "/spec/template/spec/containers/calico-node/startupProbe", None)

    api.patch = dropping
    with pytest.raises(NodewardError, match=r"leaves out or changes .*startupProbe, so nothing was changed"):
        harden(Fleet(api))
    assert timeout(api) == 1


@pytest.mark.parametrize("stored", [30, None])
def test_a_server_that_stores_something_else_than_it_foretold_is_told_and_undone(api, stored):
    patch, spec = api.patch, api.get(NODE.path)["spec"]

    def webhook(path: str, operations: Any, dry_run: bool) -> Any:
        item = patch(path, operations, dry_run)
        if dry_run or timeout(api) != 60:
            return item
        return api.store(path, places.put(item, TIMEOUT, stored))

    api.patch = webhook
    with pytest.raises(NodewardError, match=r"livenessProbe/timeoutSeconds is (30|absent) and not 60.*put back"):
        harden(Fleet(api))
    assert (api.get(NODE.path)["spec"], api.get(JOURNAL)) == (spec, None)


def test_what_the_server_stores_besides_is_in_the_diff(api):
    patch = api.patch

    def webhook(path: str, operations: Any, dry_run: bool) -> Any:
        item = patch(path, operations, dry_run)
        return item if dry_run else api.store(path, places.put(item, "/spec/minReadySeconds", 7))

    api.patch = webhook
    assert "/spec/minReadySeconds: 7" in harden(Fleet(api))["diff"][0]["after"]


def test_typha_rolls_out_as_well(api):
    typha = objects.deployment("kube-system", "calico-typha")
    api.store(typha.path, deployment("calico-typha"))
    fleet = Fleet(api)
    done = harden(fleet)
    assert api.patches == [NODE.path, typha.path]
    assert {change["target"].split()[1] for change in done["changes"]} == {NODE.name, typha.name}


def test_what_someone_changed_since_stays(api):
    harden(Fleet(api))
    api.store(NODE.path, places.put(api.get(NODE.path) or {}, TIMEOUT, 90))
    told = harden(Fleet(api), check=True, state="restored")
    assert [(f["id"], f["observed"], f["wanted"]) for f in told["findings"]] == [
        ("calico_probes.changed_since", "90", "1")
    ]
    assert "livenessProbe.timeoutSeconds" not in str(told["changes"])


def test_the_operator_rolls_out_what_the_installation_says():
    ref, system = objects.installation("default"), objects.daemon_set("calico-system", "calico-node")
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/installations.operator.tigera.io"
    api = FakeApi({system.path: operated(), ref.path: installation(), crd: installation_crd("livenessProbe")})
    pods = "/api/v1/namespaces/calico-system/pods"
    api.lists["/api/v1/nodes"] = [node("node1")]
    api.lists[pods] = [pod("node1", "old")]
    clock = iter(range(1000))

    def operator_acts(_seconds: float) -> None:
        api.lists[pods] = [pod("node1", "new")]

    waiting = Waiting(60, lambda _line: None, Clock(lambda: float(next(clock)), operator_acts))
    done = calico_probes.run(api, parameters(), False, waiting, select)
    assert api.patches == [ref.path]
    assert done["rollout"][-1] == "DaemonSet calico-system/calico-node: 1 of 1 pods are ready anew"
    assert done["facts"]["calico_probes"]["install"] == "operator"
    restored = calico_probes.run(api, parameters(state="restored"), True, waiting, select)
    assert len(restored["changes"]) == len(done["changes"])
