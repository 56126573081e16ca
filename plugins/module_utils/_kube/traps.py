# Private to the collection nodeward.calico: may change in any release.
"""The traps of the cluster, each a module of its own: what their roles' variables are called after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import calico_mtu, calico_probes, cni_token, exporter_findings, mtu, probes, process_metrics

# Variables of every role of these: where the module runs and what it reaches the API server with.
ACCESS = ("host", "kubeconfig", "context")


@dataclass(frozen=True)
class ClusterTrap:
    """The options of a trap, as argument spec, and the words of consent that its changes may need.

    ``tasks`` is the entry point of its role: main is the node's where it has a part there as well.
    """

    options: Mapping[str, Mapping[str, Any]]
    allows: tuple[str, ...]
    tasks: str = "main"


CLUSTER_TRAPS: dict[str, ClusterTrap] = {
    mtu.TRAP: ClusterTrap(calico_mtu.OPTIONS, (probes.CONSENT,)),
    cni_token.TRAP: ClusterTrap(cni_token.OPTIONS, (cni_token.CONSENT,)),
    probes.TRAP: ClusterTrap(calico_probes.OPTIONS, (probes.CONSENT,)),
    exporter_findings.TRAP: ClusterTrap(process_metrics.OPTIONS, (exporter_findings.CONSENT,), "cluster"),
}
