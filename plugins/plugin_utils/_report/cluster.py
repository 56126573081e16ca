# Private to the collection nodeward.calico: may change in any release.
"""What a report says of the cluster as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...module_utils._core.plan import Finding
from ...module_utils._kube import mtu, probes
from ...module_utils._node import cni_token


def findings(hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings of the cluster from the variables of all hosts."""
    known = list(hosts)
    results = [host[name] for host in known for name in (f"{mtu.TRAP}_result", f"{probes.TRAP}_result") if name in host]
    # a role that its play skips leaves a result that says so, and one that tags leave out leaves none
    left_out = bool(results) and all(result.get("skipped") for result in results)
    if any("harden_apply_plan" in host for host in known):  # it is of nodes alone: then nobody wanted to know
        return []
    return [_not_looked_at().describe()] if left_out and _has_calico(known) else []


def facts(hosts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was seen of the cluster for the rules, from the variables of the host that looked at it."""
    results = [host["cluster_info_result"] for host in hosts if host.get("cluster_info_result")]
    return {name: seen for result in results for name, seen in (result.get("facts") or {}).items()}


def _has_calico(hosts: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether Calico's CNI was seen, or was not looked for."""
    facts = [(host.get("node_result") or {}).get("facts") or {} for host in hosts]
    seen = [each[cni_token.TRAP].get("present") for each in facts if cni_token.TRAP in each]
    return any(seen) or not seen


def _not_looked_at() -> Finding:
    return Finding(
        id=f"{probes.TRAP}.not_looked_at",
        severity="info",
        where="Calico's own objects",
        observed="not looked at: nothing says where the API server is",
        wanted="a kubeconfig",
        why="its MTU and the probes of calico-node are the cluster's, and no node can tell of them",
        remedy="Set K8S_AUTH_KUBECONFIG, or harden_api_kubeconfig, or harden_api_host to a node of the control plane",
    )
