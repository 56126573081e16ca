# Private to the collection nodeward.calico: may change in any release.
"""The traps of the cluster, each a module of its own: what their roles' variables are called after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import calico_mtu, calico_probes, cni_token, mtu, probes

# Variables of every role of these: where the module runs and what it reaches the API server with.
ACCESS = ("host", "kubeconfig", "context")


@dataclass(frozen=True)
class ClusterTrap:
    """The options of a trap, as argument spec, and the words of consent that its changes may need."""

    options: Mapping[str, Mapping[str, Any]]
    allows: tuple[str, ...]


CLUSTER_TRAPS: dict[str, ClusterTrap] = {
    mtu.TRAP: ClusterTrap(calico_mtu.OPTIONS, (probes.CONSENT,)),
    cni_token.TRAP: ClusterTrap(cni_token.OPTIONS, (cni_token.CONSENT,)),
    probes.TRAP: ClusterTrap(calico_probes.OPTIONS, (probes.CONSENT,)),
}
