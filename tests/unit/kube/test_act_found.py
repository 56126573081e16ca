"""What calico_probes finds and is given: Calico, its containers and pods, and input that is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_probes, install, objects
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Waiting

from tests.unit.kube.calico_fleet import NODE, Fleet, api, harden, parameters, select
from tests.unit.kube.calico_objects import daemon_set
from tests.unit.kube.fake_api import FakeApi

__all__ = ["api"]  # a fixture


@pytest.mark.parametrize("found", [7, [None], ["calico-node", 3], [["calico-node"]], {"a": 1}, "x", True])
def test_an_expression_that_returns_something_odd(api, found):
    fleet = Fleet(api)
    with pytest.raises(NodewardError, match="selects"):
        calico_probes.run(api, parameters(), True, fleet.waiting(), lambda _e, _c: found)


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
        objects.felix_configuration("default"), objects.felix_configuration_v3("default"),
    ):  # fmt: skip
        assert objects.ref_of(ref.where) == ref
    assert objects.ref_of("kubelet-config") is None
