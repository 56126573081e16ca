"""Dry run, journal, patch, rollout and the way back, on an API server in memory.

A DaemonSet controller is played by Fleet: each look at the clock replaces the pod of one more node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_probes, install, objects, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting, reason

from tests.unit.kube.calico_objects import (
    daemon_set,
    deployment,
    installation,
    installation_crd,
    node,
    operated,
    pod,
)  # fmt: skip
from tests.unit.kube.fake_api import FakeApi

NODE = objects.daemon_set("kube-system", "calico-node")
PODS = "/api/v1/namespaces/kube-system/pods"
TIMEOUT = "/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds"
JOURNAL = "/api/v1/namespaces/kube-system/configmaps/nodeward-journal"
NODES = ("node1", "node2", "node3")


@dataclass
class Fleet:
    """Nodes with a pod of calico-node each; ``becomes_ready`` tells whether a node's new pod gets ready."""

    api: FakeApi
    becomes_ready: Callable[[str], bool] = lambda _node: True
    pods: str = PODS
    now: float = 0.0
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api.lists["/api/v1/nodes"] = [node(name) for name in NODES]
        self.api.lists.setdefault(self.pods, [pod(name, f"old-{name}") for name in NODES])
        self._template = self.template()

    def template(self) -> Any:
        return places.get(self.api.get(NODE.path), "/spec/template")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        pods = self.api.lists[self.pods]
        if self.template() == self._template:
            return
        if any(each["status"]["conditions"][0]["status"] != "True" for each in pods):
            return  # maxUnavailable is 1
        for number, each in enumerate(pods):
            if each["metadata"]["uid"].startswith("old-"):
                name = each["spec"]["nodeName"]
                pods[number] = pod(name, f"new-{name}", self.becomes_ready(name))
                return

    def waiting(self) -> Waiting:
        return Waiting(60, self.lines.append, Clock(lambda: self.now, self.sleep))


@pytest.fixture
def api() -> FakeApi:
    return FakeApi({NODE.path: daemon_set()})


def parameters(**given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in calico_probes.ARGUMENTS.items()}
    return {**defaults, "allow": ["calico_rollout"], **given}


def select(expression: str, containers: Any) -> Any:
    """The default expression, and what a wrong one does; the real JMESPath is in tests/api."""
    if expression == "[?":
        raise ValueError("Parse error")
    return [each for each in containers if each["name"] == expression.split("'")[1]]


def harden(fleet: Fleet, check: bool = False, **given: Any) -> dict[str, Any]:
    return calico_probes.run(fleet.api, parameters(**given), check, fleet.waiting(), select)


def timeout(api: FakeApi) -> Any:
    return places.get(api.get(NODE.path), TIMEOUT)


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


@pytest.mark.parametrize("found", [7, [None], ["calico-node", 3], [["calico-node"]], {"a": 1}, "x", True])
def test_an_expression_that_returns_something_odd(api, found):
    fleet = Fleet(api)
    with pytest.raises(NodewardError, match="selects"):
        calico_probes.run(api, parameters(), True, fleet.waiting(), lambda _e, _c: found)


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


def test_facts(api):
    facts = harden(Fleet(api), check=True, round_trip=230.0)["facts"]["calico_probes"]
    assert facts | {"managers": []} == {
        "install": "manifest",
        "version": "3.19.0",
        "managers": [],
        "installation_managers": [],
        "nodes": 3,
        "round_trip": 0.23,
        "startup_needed": 17,
        "startup_budget": 70,
    }


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"timeout": 0}, "calico_probes_timeout: 0 is too small"),
        ({"initial_delay": -1}, "calico_probes_initial_delay: -1 is too small"),
        ({"round_trip": -0.1}, "calico_probes_round_trip: -0.1 is too small"),
        ({"round_trip": float("nan")}, "calico_probes_round_trip: nan is too large"),
        ({"round_trip": float("inf")}, "calico_probes_round_trip: inf is too large"),
        ({"round_trip": 1e9}, "calico_probes_round_trip: 1000000000.0 is too large"),
        ({"timeout": 2**31}, "calico_probes_timeout: 2147483648 is too large"),
        ({"pod_timeout": 0}, "calico_probes_pod_timeout: 0 is too small"),
        ({"containers": "[?"}, "is no JMESPath expression"),
        ({"containers": "[?name=='calico']"}, "selects nothing; containers are calico-node"),
    ],
)
def test_bad_input_is_refused(api, given, what):
    with pytest.raises(NodewardError, match=what.replace("[", r"\[").replace("?", r"\?")):
        harden(Fleet(api), **given)
    assert api.patches == []


def test_names_instead_of_containers(api):
    calico = install.capture(api)
    assert calico_probes.selected(calico, "[].name", lambda _e, cs: [c["name"] for c in cs]) == ("calico-node",)
    assert calico_probes.selected(calico, "[0]", lambda _e, cs: cs[0]) == ("calico-node",)
    with pytest.raises(NodewardError, match="selects 7; containers are"):
        calico_probes.selected(calico, "x", lambda _e, _cs: [7])


def test_no_right_to_what_is_not_needed_is_no_obstacle(api):
    get, items = api.get, api.items

    def forbidden(read: Any, word: str) -> Any:
        def asked(path: str, *more: Any) -> Any:
            if word in path:
                raise ApiError("GET was answered with 403", path, 403)
            return read(path, *more)

        return asked

    api.get, api.items = forbidden(get, "clusterinformations"), forbidden(items, "/projectcalico.org/")
    assert install.capture(api).told_version == ""
    api.get = forbidden(get, "felixconfigurations")
    with pytest.raises(ApiError):
        install.capture(api)


@pytest.mark.parametrize("namespaces", [(), ("kube-system", "calico-system")])
def test_no_calico_or_two(namespaces):
    found = {objects.daemon_set(ns, "calico-node").path: daemon_set("v3.30.0", ns) for ns in namespaces}
    with pytest.raises(NodewardError, match="it is in both" if namespaces else "it is in neither"):
        calico_probes.run(FakeApi(found), parameters(), True, Waiting(1, print), select)


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


SELECTORS = [
    ({"matchLabels": {"k8s-app": "calico-node", "a": "b"}}, "k8s-app=calico-node,a=b"),
    ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, "app in (a,b)"),
    (
        {
            "matchLabels": {"x": "y"},
            "matchExpressions": [
                {"key": "app", "operator": "NotIn", "values": ["a"]},
                {"key": "here", "operator": "Exists"},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        },
        "x=y,app notin (a),here,!gone",
    ),
]


@pytest.mark.parametrize(("given", "text"), SELECTORS)
def test_pods_are_selected_as_the_workload_selects_them(api, given, text):
    api.items = lambda _path, selector="": [{"asked": selector}]
    workload = {"metadata": {"namespace": "kube-system"}, "spec": {"selector": given}}
    assert install.pods_of(api, workload) == [{"asked": text}]


def test_places_of_the_journal_lead_back_to_their_objects():
    for ref in (
        NODE, objects.deployment("a", "b"), objects.config_map("a", "b"), objects.installation("default"),
        objects.felix_configuration("default"),
    ):  # fmt: skip
        assert objects.ref_of(ref.where) == ref
    assert objects.ref_of("kubelet-config") is None
