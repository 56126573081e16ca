# Private to the collection nodeward.calico: may change in any release.
"""How many restarts a plan comes to, and roughly how long they take, one after another. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...module_utils._core.plan import CONSENTS
from ...module_utils._kube import exporter_findings, probes
from ...module_utils._node.traps import ON_NODES

PAUSE = 30  # seconds after the first node, harden_pause

# Seconds from one restart until all is seen well again, rough: for etcd and the kubelet what the lab needs (its members
# settle for two election timeouts of 5 s; a node is Ready 10 s after its kubelet), for a pod of calico-node its probes,
# and one of node-exporter starts at once.
_SECONDS = {
    "kubelet_restart": 30, "uplink_change": 5, "pod_veth_change": 5, "exporter_install": 15, "etcd_restart": 15,
    "etcd_outage": 15, "calico_rollout": 40, "calico_pod_restart": 40, "exporter_rollout": 10,
}  # fmt: skip
_SHARE = 0.05  # of the nodes in a batch (playbooks/parts/consented.yml)

Model = Mapping[str, Any]


def disruptions(model: Model) -> list[dict[str, Any]]:
    """Return for each kind of disruption that is to come: its word, how often, seconds, and whether it is allowed.

    To come is what waits for consent, and in check mode what a real run would do.
    """
    parts = [("changes", True)] * model["check_mode"] + [("pending", False)]
    each = [(word, _nodes(model, part, word), allowed) for word in CONSENTS for part, allowed in parts]
    return [_told(model, word, nodes, allowed) for word, nodes, allowed in each if nodes]


def _nodes(model: Model, part: str, word: str) -> int:
    return sum(any(change["disrupts"] == word for change in node[part]) for node in model["nodes"])


def _told(model: Model, word: str, nodes: int, allowed: bool) -> dict[str, Any]:
    times = _PODS[word](model) if word in _PODS else nodes
    rounds = batches(times) if word in ON_NODES else times  # the others go one by one
    pause = PAUSE if word in ON_NODES and times > 1 else 0
    return {"word": word, "times": times, "seconds": rounds * _SECONDS[word] + pause, "allowed": allowed}


def _pods(model: Model) -> int:
    """A rollout is planned once, and restarts calico-node on every node of the cluster."""
    seen = [(node["facts"].get(probes.TRAP) or {}).get("nodes") for node in model["nodes"]]
    return max((number for number in seen if isinstance(number, int)), default=len(model["nodes"]))


def _exporter_pods(model: Model) -> int:
    """The same of the DaemonSets that run node-exporter, of which each has its own number of pods."""
    seen = [(node["facts"].get(exporter_findings.TRAP) or {}).get("daemon_sets") for node in model["nodes"]]
    return sum(int(each.get("pods") or 0) for listed in seen for each in listed or ()) or len(model["nodes"])


# Rollouts, by the number of pods that they restart.
_PODS = {probes.CONSENT: _pods, exporter_findings.CONSENT: _exporter_pods}


def batches(nodes: int) -> int:
    """Return in how many batches nodes are done: one, two, then 5 % of them at a time."""
    left = nodes - 3
    return min(nodes, 2) + (math.ceil(left / max(math.floor(nodes * _SHARE), 1)) if left > 0 else 0)
