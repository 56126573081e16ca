"""A cluster whose calico-node has probes, of a manifest or by the operator, and what is planned for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._kube import objects, probes
from ansible_collections.nodeward.calico.plugins.module_utils._kube.install import Calico
from ansible_collections.nodeward.calico.plugins.module_utils._kube.probes import Policy

from tests.unit.kube.calico_objects import installation, installation_crd, node, operated

BOTH = installation_crd("livenessProbe", "readinessProbe")


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
