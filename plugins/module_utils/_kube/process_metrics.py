# Private to the collection nodeward.calico: may change in any release.
"""The module process_metrics: its options, and what it does with them on an API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.plan import CONSENTS
from .._node import process_metrics
from . import act, exporters, rollout, way_back
from .act import Orders
from .exporter_findings import CONSENT, TRAP
from .exporters import Exporters, Policy
from .objects import ClusterPlan
from .port import Api
from .rollout import Waiting

# The textfile folder is a matter of both, the node's exporter and the DaemonSet's.
OPTIONS: dict[str, dict[str, Any]] = {
    "textfile": process_metrics.OPTIONS["textfile"],
    "pod_timeout": {"type": "int", "default": 600},
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
    "allow": {"type": "list", "elements": "str", "choices": list(CONSENTS), "default": []},
    **OPTIONS,
}


def run(api: Api, params: Mapping[str, Any], check_mode: bool, waiting: Waiting) -> dict[str, Any]:
    """Give node-exporters what they lack, or bring back what was before, and return the module's result.

    Raises NodewardError.
    """
    rollout.require_limit(TRAP, params["pod_timeout"])
    orders = Orders(TRAP, params["allow"], check_mode, waiting)
    if params["state"] == "restored":
        return act.act(api, orders, lambda: way_back.planned(api, TRAP, consent=CONSENT), forgets=True)
    policy = Policy(textfile=params["textfile"])
    seen: list[Exporters] = []

    def planned() -> ClusterPlan:
        seen.append(exporters.capture(api))
        return exporters.plan(seen[-1], policy)

    result = act.act(api, orders, planned)
    return {**result, "facts": {TRAP: {"daemon_sets": exporters.shown(seen[-1])}}}
