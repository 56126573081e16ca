"""The plan for calico-node's probes, from captured objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import budget, objects, places, probes
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
)
from tests.unit.kube.probed_cluster import BOTH, after, by_operator, ids, manifest, wanted

ALL = {
    "livenessProbe.timeoutSeconds": 60,
    "livenessProbe.initialDelaySeconds": 60,
    "livenessProbe.failureThreshold": 10,
    "readinessProbe.timeoutSeconds": 60,
}
STARTUP = {**numbers(60, 32, 0, 5)}

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


@pytest.mark.parametrize("version", ["v2.6.5", "v3.19.0", "v3.20.0", "v3.30.0"])
def test_floors_are_the_same_of_every_release(version):
    handler = {k: v for k, v in PROBES[version]["livenessProbe"].items() if k in ("exec", "httpGet")}
    got = wanted(manifest(daemon_set(version)))
    startup = got.pop("startupProbe")
    assert got == ALL
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
        {"startupProbe.timeoutSeconds": 60, "startupProbe.failureThreshold": 80},
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


@given(
    st.tuples(st.integers(1, 120), st.integers(1, 200), st.integers(0, 300), st.integers(1, 60)),
    st.booleans(),
    st.integers(16, 33),
    st.floats(0, 60),
    st.floats(0, 60),
)
def test_a_second_run_changes_nothing_whatever_is_measured(given_numbers, has_startup, minor, first, second):
    probe = {**LIVE, **numbers(*given_numbers)}
    startup: dict[str, Any] = {"startupProbe": probe} if has_startup else {}
    calico = manifest(daemon_set(livenessProbe=probe, readinessProbe=probe, **startup), minor, 300)
    hardened = after(replace(calico, round_trip=first))
    assert probes.plan(replace(hardened, round_trip=second), Policy()).changes == ()


@pytest.mark.parametrize(
    ("trip", "seconds"),
    [(0.004, 160), (0.12, 505), (2.0, 600)],
    ids=["the floor", "half as much again as the need", "no more than ten minutes"],
)
@pytest.mark.parametrize("minor", [16, 33])
def test_what_a_measured_round_trip_asks_for_at_first(trip, seconds, minor):
    calico = replace(manifest(daemon_set("v3.30.0"), minor, 300), round_trip=trip)
    got = budget.present_seconds(after(calico).containers[0])
    assert got is not None
    assert seconds <= got < seconds + 10, "a whole number of periods"


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


def test_the_startup_budget_is_what_the_installation_wants():
    override = {"name": "calico-node", "livenessProbe": {"failureThreshold": 10, "initialDelaySeconds": 60}}
    containers: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [override]}}}}
    calico = replace(by_operator(BOTH, {"calicoNodeDaemonSet": containers}), nodes=(node("n"),) * 53)
    policy = Policy(round_trip=0.7)  # 344 s; the live DaemonSet allows 180, the Installation 660
    assert "startup_budget" not in ids(calico, policy)
    assert [c.after for c in probes.plan(calico, policy).changes if "failureThreshold" in c.place] == []
    [more] = [c for c in probes.plan(calico, Policy(round_trip=2.0)).changes if "failureThreshold" in c.place]
    assert (more.before, more.after) == (10, 24), "an override gives the start its time where there is no startup probe"


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


def test_of_two_of_one_name_the_last_wins():
    env = [{"name": probes.LOGLEVEL, "value": "DEBUG"}, {"name": probes.LOGLEVEL, "value": "INFO"}]
    policy = Policy(startup_loglevel="INFO")
    assert wanted(manifest(daemon_set("v3.30.0", env=env)), policy).get(f"env.{probes.LOGLEVEL}") is None
    [container] = after(manifest(daemon_set(env=env)), Policy(startup_loglevel="absent")).containers
    assert container.get("env", []) == []
