"""What a person is told of calico-node's probes, and who would put them back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import install, objects, places, probes
from ansible_collections.nodeward.calico.plugins.module_utils._kube.install import Calico
from ansible_collections.nodeward.calico.plugins.module_utils._kube.probes import Policy

from tests.unit.kube.calico_objects import HTTP, LIVE, daemon_set, deployment, installation_crd, node, numbers
from tests.unit.kube.probed_cluster import BOTH, after, by_operator, ids, manifest, wanted

TYPHA = objects.deployment("kube-system", "calico-typha").path


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


@pytest.mark.parametrize(
    ("seconds", "trip", "given", "raised", "severity"),
    [
        (160, 0.12, None, False, "medium"),  # needs 334 s
        (160, 2.0, None, False, "medium"),
        (160, 0.12, 0.12, True, "high"),
        (100, 0.12, None, True, "high"),  # below the floor: it was not hardened
        (100, 2.0, None, True, "medium"),  # raised to ten minutes, which a need of 90 exceeds
    ],
)
def test_a_measured_round_trip_raises_no_budget_that_has_its_floor(seconds, trip, given, raised, severity):
    startup = {**LIVE, **numbers(60, seconds // 5, 0, 5)}
    calico = replace(manifest(daemon_set(startupProbe=startup), nodes=300), round_trip=trip)
    policy = Policy(round_trip=given)
    assert ("startupProbe.failureThreshold" in wanted(calico, policy)) is raised
    [told] = [f for f in probes.plan(calico, policy).findings if f.id == "calico_probes.startup_budget"]
    assert (told.severity, told.mended) == (severity, severity == "high")
    assert ("calico_probes_round_trip" in told.remedy) is not told.mended


def test_mended_is_what_the_plan_mends():
    only_ready = installation_crd("readinessProbe")
    for crd, mended in ((BOTH, True), (only_ready, False), (installation_crd(), False)):
        calico = replace(by_operator(crd), nodes=(node("n"),) * 53)
        [told] = [
            f for f in probes.plan(calico, Policy(round_trip=0.7)).findings if f.id == "calico_probes.startup_budget"
        ]
        assert told.mended is mended


def test_each_object_has_its_own_keeper():
    kept = deployment("calico-typha")
    kept["metadata"]["labels"]["argocd.argoproj.io/instance"] = "typha"
    plan = probes.plan(manifest(daemon_set(), workloads={TYPHA: kept}), Policy())
    assert {change.ref.kind for change in plan.changes} == {"DaemonSet"}
    [told] = [f for f in plan.findings if f.id == "calico_probes.put_back_by"]
    assert told.where == "Deployment kube-system/calico-typha"


# --- a newer manifest beside our startup probe ------------------------------------------------------

NEWER = {"exec": {"command": ["/usr/bin/calico", "component", "node", "health", "--felix-live", "--bird-live"]}}
AT = "/spec/template/spec/containers/calico-node"


def applied(calico: Calico, handler: dict[str, Any], **of_the_journal: Any) -> Calico:
    """The cluster after kubectl apply of a manifest with another liveness handler: what it does not know stays."""
    liveness = {**handler, **numbers(60, 10, 60)}
    return replace(calico, daemon_set=places.put(calico.daemon_set, f"{AT}/livenessProbe", liveness), **of_the_journal)


@pytest.mark.parametrize("handler", [NEWER, {"exec": {"command": ["/bin/calico-node", "-felix-live"]}}, HTTP])
@pytest.mark.parametrize("field", ["ours", "earlier"])
def test_our_startup_probe_follows_the_liveness_probe(handler, field):
    hardened = after(manifest(daemon_set("v3.30.0")))
    target, probe = f"{hardened.ref.where} {AT}/startupProbe", hardened.containers[0]["startupProbe"]
    newer = applied(hardened, handler, **{field: {target: probe}})
    [change] = probes.plan(newer, Policy()).changes
    assert (change.target, change.before) == (target, probe)
    assert change.after == {**handler, **numbers(60, 32, 0, 5)}
    [told] = [f for f in probes.plan(newer, Policy()).findings if f.id == "calico_probes.startup_handler"]
    assert (told.severity, told.mended) == ("high", True)
    assert wanted(after(newer)) == {}
    assert "startup_handler" not in ids(after(newer))


@pytest.mark.parametrize("is_known", [True, False], ids=["ours that somebody has changed", "somebody else's"])
def test_a_startup_probe_of_others_is_told_and_keeps_its_command(is_known):
    hardened = after(manifest(daemon_set("v3.30.0")))
    journal = {f"{hardened.ref.where} {AT}/startupProbe": {**HTTP, **numbers(60, 32, 0, 5)}} if is_known else {}
    plan = probes.plan(applied(hardened, NEWER, ours=journal), Policy())
    [told] = [f for f in plan.findings if f.id == "calico_probes.startup_handler"]
    assert (plan.changes, told.severity, told.mended) == ((), "high", False)
    assert "not this collection's" in told.remedy


def test_our_startup_probe_goes_back_as_a_whole_after_its_numbers_were_raised():
    hardened = after(manifest(daemon_set("v3.30.0"), nodes=300))
    target = f"{hardened.ref.where} {AT}/startupProbe"
    known = replace(hardened, ours={target: hardened.containers[0]["startupProbe"]})
    [change] = probes.plan(known, Policy(round_trip=0.23)).changes
    assert (change.target, change.after) == (target, {**LIVE, **numbers(60, 190, 0, 5)})
