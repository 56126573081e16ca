"""The plan for calico-node's probes, from captured objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import budget, install, objects, places, probes
from ansible_collections.nodeward.calico.plugins.module_utils._kube.install import Calico
from ansible_collections.nodeward.calico.plugins.module_utils._kube.probes import Policy
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kube.calico_objects import (
    LIVE,
    OPERATED,
    PROBES,
    daemon_set,
    deployment,
    installation,
    installation_crd,
    node,
    numbers,
    operated,
)  # fmt: skip

ALL = {
    "livenessProbe.timeoutSeconds": 60,
    "livenessProbe.initialDelaySeconds": 60,
    "livenessProbe.failureThreshold": 10,
    "readinessProbe.timeoutSeconds": 60,
}
TYPHA = objects.deployment("kube-system", "calico-typha").path
STARTUP = {**numbers(60, 32, 0, 5)}


def manifest(item: dict[str, Any], minor: int = 20, nodes: int = 3, **more: Any) -> Calico:
    fleet = tuple(node(f"node{number}") for number in range(nodes))
    return Calico(daemon_set=item, minor=minor, nodes=fleet, round_trip=0.001, **more)


def by_operator(crd: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **container: Any) -> Calico:
    return manifest(
        operated(**container), installation=installation(**(spec or {})), installation_schema=crd or installation_crd()
    )


def wanted(calico: Calico, policy: Policy | None = None) -> dict[str, Any]:
    """The numbers that are set, by what a person reads."""
    return {
        change.describe()["target"].partition("calico-node calico-node.")[2]: change.after
        for change in probes.plan(calico, policy or Policy()).changes
        if change.ref.kind == "DaemonSet"
    }


def after(calico: Calico, policy: Policy | None = None) -> Calico:
    """The cluster with the changes made."""
    plan = probes.plan(calico, policy or Policy())
    own = [change for change in plan.changes if change.ref == calico.ref]
    others = {
        path: objects.changed(item, [c for c in plan.changes if c.ref.path == path])
        for path, item in calico.workloads.items()
    }
    return replace(calico, daemon_set=objects.changed(calico.daemon_set, own), workloads=others)


def ids(calico: Calico, policy: Policy | None = None) -> set[str]:
    return {finding.id.removeprefix("calico_probes.") for finding in probes.plan(calico, policy or Policy()).findings}


# --- the budget -------------------------------------------------------------------------------------


def test_incident_d_is_the_worked_example():
    needed = budget.startup_seconds(53, 0.23)
    assert needed == 120
    v26 = {"name": "calico-node", **PROBES["v2.6.5"]}
    assert budget.present_seconds(v26) == 70 < needed
    mended = places.put(
        places.put(v26, "/livenessProbe/initialDelaySeconds", 60), "/livenessProbe/failureThreshold", 10
    )
    assert budget.present_seconds(mended) == 160 > needed


@given(st.integers(0, 5000), st.floats(0, 2), st.integers(0, 5000), st.floats(0, 2))
def test_more_nodes_and_a_longer_way_never_need_less(nodes, trip, more_nodes, more_trip):
    assert budget.startup_seconds(nodes, trip) <= budget.startup_seconds(nodes + more_nodes, trip + more_trip)


@pytest.mark.parametrize(
    ("container", "seconds"),
    [
        ({}, None),
        ({"livenessProbe": LIVE}, 30),
        ({"livenessProbe": {**LIVE, **numbers(10, 6, 10)}}, 70),
        ({"livenessProbe": LIVE, "startupProbe": {**LIVE, **numbers(1, 150, 0, 2)}}, 300),
    ],
)
def test_the_present_budget(container, seconds):
    assert budget.present_seconds(container) == seconds


# --- floors -----------------------------------------------------------------------------------------

FLOORS = [
    ("v2.6.5", ALL),
    ("v3.19.0", ALL),
    ("v3.20.0", ALL),
    ("v3.30.0", ALL),
]


@pytest.mark.parametrize(("version", "floors"), FLOORS, ids=[version for version, _floors in FLOORS])
def test_floors_by_release(version, floors):
    handler = {k: v for k, v in PROBES[version]["livenessProbe"].items() if k in ("exec", "httpGet")}
    got = wanted(manifest(daemon_set(version)))
    startup = got.pop("startupProbe")
    assert got == floors
    assert startup == {**handler, **STARTUP}, "it runs what the liveness probe runs"
    assert wanted(after(manifest(daemon_set(version)))) == {}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "more than the floors is never lowered": (
        {
            "livenessProbe": {**LIVE, **numbers(90, 20, 120)},
            "readinessProbe": {**LIVE, **numbers(61)},
            "startupProbe": {**LIVE, **numbers(99, 100)},
        },
        {},
    ),
    "one number is below": (
        {
            "livenessProbe": {**LIVE, **numbers(60, 9, 60)},
            "readinessProbe": {**LIVE, **numbers(60)},
            "startupProbe": {**LIVE, **numbers(60, 100)},
        },
        {"livenessProbe.failureThreshold": 10},
    ),
    "no number is given at all": (
        {"livenessProbe": LIVE, "readinessProbe": LIVE, "startupProbe": {**LIVE, **numbers(60, 100)}},
        ALL,
    ),
    "no probe is added where there is none": ({"livenessProbe": None, "readinessProbe": None}, {}),
    "a startup probe of others keeps its command": (
        {
            "livenessProbe": {**LIVE, **numbers(60, 10, 60)},
            "readinessProbe": {**LIVE, **numbers(60)},
            "startupProbe": {**LIVE, **numbers(10, 3, 0, 2)},
        },
        {"startupProbe.timeoutSeconds": 60, "startupProbe.failureThreshold": 9},
    ),
}


@pytest.mark.parametrize(("container", "floors"), CASES.values(), ids=CASES)
def test_floors(container, floors):
    item = daemon_set("v3.30.0", **container)
    assert wanted(manifest(item)) == floors
    assert wanted(after(manifest(item))) == {}


@given(
    st.tuples(st.integers(1, 120), st.integers(1, 200), st.integers(0, 300), st.integers(1, 60)),
    st.integers(16, 33),
    st.integers(1, 3000),
    st.floats(0, 0.5),
)
def test_nothing_is_lowered_and_one_run_is_enough(given_numbers, minor, nodes, trip):
    probe = {**LIVE, **numbers(*given_numbers)}
    calico = manifest(daemon_set(livenessProbe=probe, readinessProbe=probe), minor, nodes)
    policy = Policy(round_trip=trip)
    for change in probes.plan(calico, policy).changes:
        assert change.before is None or change.after > change.before
    mended = after(calico, policy)
    assert probes.plan(mended, policy).changes == ()
    seconds = budget.present_seconds(mended.containers[0])
    assert seconds is not None
    assert seconds >= budget.startup_seconds(nodes, trip)


def test_without_startup_probes_the_liveness_probe_waits():
    calico = manifest(daemon_set("v2.6.5"), minor=9, nodes=53)
    assert wanted(calico, Policy(round_trip=0.23)) == ALL, "60 + 10 x 10 is enough for incident D"
    assert wanted(calico, Policy(round_trip=0.5)) == {**ALL, "livenessProbe.failureThreshold": 32}
    assert wanted(replace(calico, minor=20), Policy(round_trip=0.23, startup_probe=False)) == ALL


def test_what_is_not_ours_stays():
    calico = manifest(daemon_set(resources={"requests": {"cpu": "250m"}}))
    [container] = after(calico).containers
    [before] = calico.containers
    ours = ("livenessProbe", "readinessProbe", "startupProbe")
    assert {k: v for k, v in container.items() if k not in ours} == {k: v for k, v in before.items() if k not in ours}
    assert container["livenessProbe"]["exec"] == LIVE["exec"]
    assert container["livenessProbe"]["periodSeconds"] == 10


def test_typha_and_kube_controllers_get_less():
    paths = [objects.deployment("kube-system", name).path for name in ("calico-typha", "calico-kube-controllers")]
    items = dict(zip(paths, (deployment("calico-typha"), deployment("calico-kube-controllers", 10)), strict=False))
    calico = manifest(daemon_set(), workloads=items)
    others = [change for change in probes.plan(calico, Policy()).changes if change.ref.kind == "Deployment"]
    assert [(c.describe()["target"], c.after) for c in others] == [
        ("Deployment kube-system/calico-typha calico-typha.livenessProbe.timeoutSeconds", 10),
        ("Deployment kube-system/calico-typha calico-typha.readinessProbe.timeoutSeconds", 10),
    ]
    assert probes.plan(after(calico), Policy()).changes == ()


@pytest.mark.parametrize(
    ("env", "level", "env_after"),
    [
        ([], "DEBUG", [{"name": "CALICO_STARTUP_LOGLEVEL", "value": "DEBUG"}]),
        (
            [{"name": "A", "value": "1"}],
            "INFO",
            [{"name": "A", "value": "1"}, {"name": probes.LOGLEVEL, "value": "INFO"}],
        ),
        ([{"name": probes.LOGLEVEL, "value": "DEBUG"}], "absent", []),
        ([{"name": probes.LOGLEVEL, "value": "DEBUG"}], None, [{"name": probes.LOGLEVEL, "value": "DEBUG"}]),
    ],
)
def test_the_log_level_of_the_start(env, level, env_after):
    [container] = after(manifest(daemon_set(env=env)), Policy(startup_loglevel=level)).containers
    assert container.get("env", []) == env_after
    assert list(probes.plan(after(manifest(daemon_set(env=env)), Policy(startup_loglevel=level)),
                                   Policy(startup_loglevel=level)).changes) == []  # fmt: skip


# --- the operator -----------------------------------------------------------------------------------

BOTH = installation_crd("livenessProbe", "readinessProbe")


def test_an_old_installation_has_no_field_and_nothing_is_changed():
    plan = probes.plan(by_operator(), Policy())
    assert plan.changes == ()
    [told] = [finding for finding in plan.findings if finding.id == "calico_probes.operator_too_old"]
    assert "v1.44" in told.wanted
    assert "v3.33" in told.wanted
    assert "livenessProbe initialDelaySeconds 0, timeoutSeconds 10, periodSeconds 60" in told.observed


def test_a_new_installation_is_overridden_and_the_daemon_set_is_not_touched():
    plan = probes.plan(by_operator(BOTH), Policy())
    assert {change.ref.where for change in plan.changes} == {"Installation default"}
    override = objects.changed(installation(), plan.changes)["spec"]["calicoNodeDaemonSet"]["spec"]["template"]["spec"]
    live = {"timeoutSeconds": 60, "initialDelaySeconds": 60, "failureThreshold": 10}
    assert override == {
        "containers": [{"name": "calico-node", "livenessProbe": live, "readinessProbe": {"timeoutSeconds": 60}}]
    }
    assert "operator_too_old" not in ids(by_operator(BOTH))


def test_what_the_installation_has_already_is_not_written_again():
    calico = by_operator(BOTH)
    written = objects.changed(installation(), probes.plan(calico, Policy()).changes)
    assert probes.plan(replace(calico, installation=written), Policy()).changes == (), "the operator has yet to act"


def test_only_the_probes_that_the_schema_has():
    plan = probes.plan(by_operator(installation_crd("livenessProbe")), Policy())
    assert {change.place.split("/")[-2] for change in plan.changes} == {"livenessProbe"}


def test_the_operator_s_own_startup_probe():
    ready = {**OPERATED["readinessProbe"], **numbers(10, 150, 0, 2)}
    calico = by_operator(installation_crd("startupProbe"), startupProbe=ready)
    assert ids(calico) >= {"startup_by_readiness"}
    policy = Policy(round_trip=12.0)
    [timeout, tries] = list(probes.plan(calico, policy).changes)
    assert (timeout.after, tries.after) == (60, 251)
    assert tries.place.endswith("/calico-node/startupProbe/failureThreshold")


# --- findings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("docker.io/calico/node:v3.22.5", True),
        ("docker.io/calico/node:v3.23.0", False),
        ("registry.local:5000/calico/node:v3.19.0-amd64", True),
        ("docker.io/calico/node@sha256:1234", False),
        ("quay.io/tigera/node:v3.19.0", False),
    ],
)
def test_felix_s_own_watchdog(image, told):
    assert ("watchdog" in ids(manifest(daemon_set(image=image)))) == told


def test_a_short_start_names_both_remedies():
    calico = manifest(daemon_set("v2.6.5"), minor=9, nodes=53)
    plan = probes.plan(calico, Policy(round_trip=0.23))
    [short] = [finding for finding in plan.findings if finding.id == "calico_probes.startup_budget"]
    assert (short.observed[:4], short.wanted[:5], short.mended) == ("70 s", "120 s", True)
    assert ids(calico, Policy(round_trip=0.23)) >= {"node_ip_check"}
    unchecked = manifest(
        daemon_set("v2.6.5", env=[{"name": "DISABLE_NODE_IP_CHECK", "value": "true"}]), minor=9, nodes=53
    )
    assert "node_ip_check" not in ids(unchecked, Policy(round_trip=0.23))
    assert not {"startup_budget", "node_ip_check"} & ids(after(calico), Policy(round_trip=0.23))


@pytest.mark.parametrize(
    ("calico", "told"),
    [
        (manifest(daemon_set(), nodes=100), set()),
        (manifest(daemon_set(), nodes=101), {"full_mesh", "no_typha"}),
        (manifest(daemon_set(), nodes=101, bgp={"spec": {"nodeToNodeMeshEnabled": False}}), {"no_typha"}),
        (manifest(daemon_set(), nodes=101, config={"data": {"calico_backend": "vxlan"}}), {"no_typha"}),
        (manifest(daemon_set(), nodes=101, workloads={TYPHA: deployment("calico-typha")}), {"full_mesh"}),
        (replace(by_operator(), nodes=(node("n"),) * 101), {"full_mesh"}),
        (replace(by_operator(spec={"calicoNetwork": {"bgp": "Disabled"}}), nodes=(node("n"),) * 101), set()),
    ],
)
def test_large_clusters(calico, told):
    assert ids(calico) & {"full_mesh", "no_typha"} == told


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "calico"}}, "Argo CD"),
        ({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}, "the addon manager"),
        ({"managedFields": [{"manager": "kustomize-controller", "fieldsV1": {}}]}, "Flux"),
    ],
)
def test_what_a_tool_keeps_is_told_and_not_changed(metadata, tool):
    item = daemon_set()
    item["metadata"].update(metadata)
    plan = probes.plan(manifest(item), Policy())
    assert plan.changes == ()
    [told] = [finding for finding in plan.findings if finding.id == "calico_probes.put_back_by"]
    assert told.observed == f"it will be put back by {tool}, so nothing was changed"
    assert "calico-node/livenessProbe/timeoutSeconds=60" in told.wanted


@pytest.mark.parametrize(
    ("metadata", "when"),
    [
        ({"annotations": {"meta.helm.sh/release-name": "calico"}}, "the next helm upgrade of calico"),
        ({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, "the next kubectl apply"),
    ],
)
def test_what_is_put_back_later_is_changed_and_told(metadata, when):
    item = daemon_set()
    item["metadata"].update(metadata)
    plan = probes.plan(manifest(item), Policy())
    assert plan.changes
    assert any(when in finding.observed for finding in plan.findings)


def test_who_set_the_probes():
    item = daemon_set()
    fields: dict[str, Any] = {
        "f:spec": {"f:template": {'k:{"name":"calico-node"}': {"f:livenessProbe": {"f:timeoutSeconds": {}}}}}
    }
    item["metadata"]["managedFields"] = [
        {"manager": "kubectl-client-side-apply", "fieldsV1": fields},
        {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
    ]
    assert install.managers(item, "livenessProbe") == ["kubectl-client-side-apply"]


def test_a_rollout_that_is_not_finished():
    item = daemon_set()
    item["status"] = {"updatedNumberScheduled": 2, "desiredNumberScheduled": 3}
    assert "not_rolled_out" in ids(manifest(item))
    item["spec"]["updateStrategy"] = {"type": "OnDelete"}
    [told] = [f for f in probes.plan(manifest(item), Policy()).findings if f.id == "calico_probes.not_rolled_out"]
    assert "OnDelete" in told.why


# --- what a measurement may change, and what the operator already wants --------------------------------


@pytest.mark.parametrize(
    ("trip", "given", "raised", "severity"),
    [
        (0.011, None, False, "low"),  # needs 109 s: above what is there, and no more than half as much again
        (0.011, 0.011, True, "high"),
        (0.03, None, True, "high"),
    ],
)
def test_a_measured_round_trip_near_the_edge_changes_nothing(trip, given, raised, severity):
    startup = {**LIVE, **numbers(60, 20, 0, 5)}  # 100 s
    calico = replace(manifest(daemon_set(startupProbe=startup), nodes=1000), round_trip=trip)
    policy = Policy(round_trip=given)
    assert ("startupProbe.failureThreshold" in wanted(calico, policy)) is raised
    [told] = [f for f in probes.plan(calico, policy).findings if f.id == "calico_probes.startup_budget"]
    assert (told.severity, told.mended) == (severity, raised)
    mended = replace(after(calico, policy), round_trip=trip * 1.4)
    assert "startupProbe.failureThreshold" not in wanted(mended) or not raised, "the next run measures a bit more"


def test_the_startup_budget_is_what_the_installation_wants():
    override = {"name": "calico-node", "livenessProbe": {"failureThreshold": 10, "initialDelaySeconds": 60}}
    containers: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [override]}}}}
    calico = replace(by_operator(BOTH, {"calicoNodeDaemonSet": containers}), nodes=(node("n"),) * 53)
    policy = Policy(round_trip=0.7)  # 344 s; the live DaemonSet allows 180, the Installation 660
    assert "startup_budget" not in ids(calico, policy)
    assert [c.after for c in probes.plan(calico, policy).changes if "failureThreshold" in c.place] == []
    [more] = [c for c in probes.plan(calico, Policy(round_trip=2.0)).changes if "failureThreshold" in c.place]
    assert (more.before, more.after) == (10, 24), "an override gives the start its time where there is no startup probe"


def test_mended_is_what_the_plan_mends():
    only_ready = installation_crd("readinessProbe")
    for crd, mended in ((BOTH, True), (only_ready, False), (installation_crd(), False)):
        calico = replace(by_operator(crd), nodes=(node("n"),) * 53)
        [told] = [
            f for f in probes.plan(calico, Policy(round_trip=0.7)).findings if f.id == "calico_probes.startup_budget"
        ]
        assert told.mended is mended


def test_the_log_level_with_the_operator():
    policy = Policy(startup_loglevel="DEBUG")
    assert "loglevel_untouched" in ids(by_operator(BOTH), policy)
    assert "loglevel_untouched" not in ids(by_operator(BOTH))
    with_env = installation_crd("env")
    plan = probes.plan(by_operator(with_env), policy)
    assert [(c.ref.where, c.after) for c in plan.changes] == [
        ("Installation default", {"name": probes.LOGLEVEL, "value": "DEBUG"})
    ]
    assert "calico_probes.loglevel_untouched" not in {f.id for f in plan.findings}


def test_each_object_has_its_own_keeper():
    kept = deployment("calico-typha")
    kept["metadata"]["labels"]["argocd.argoproj.io/instance"] = "typha"
    plan = probes.plan(manifest(daemon_set(), workloads={TYPHA: kept}), Policy())
    assert {change.ref.kind for change in plan.changes} == {"DaemonSet"}
    [told] = [f for f in plan.findings if f.id == "calico_probes.put_back_by"]
    assert told.where == "Deployment kube-system/calico-typha"


def test_of_two_of_one_name_the_last_wins():
    env = [{"name": probes.LOGLEVEL, "value": "DEBUG"}, {"name": probes.LOGLEVEL, "value": "INFO"}]
    policy = Policy(startup_loglevel="INFO")
    assert wanted(manifest(daemon_set("v3.30.0", env=env)), policy).get(f"env.{probes.LOGLEVEL}") is None
    [container] = after(manifest(daemon_set(env=env)), Policy(startup_loglevel="absent")).containers
    assert container.get("env", []) == []
