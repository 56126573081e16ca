# Private to the collection nodeward.calico: may change in any release.
"""The module calico_mtu: its options, and what it does with them on an API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.errors import NodewardError
from .._core.plan import CONSENTS
from . import act, install, mtu, mtu_detection, mtu_findings, rollout, way_back
from .act import Orders
from .install import Calico
from .mtu import TRAP, Policy, Uplink
from .objects import ClusterPlan
from .port import Api
from .rollout import Waiting

OPTIONS: dict[str, dict[str, Any]] = {
    "uplinks": {"type": "dict"},
    "rollout": {"type": "bool", "default": True},
    "raise_others": {"type": "bool", "default": False},
    "pod_timeout": {"type": "int", "default": 600},
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
    "allow": {"type": "list", "elements": "str", "choices": list(CONSENTS), "default": []},
    **OPTIONS,
}


def run(api: Api, params: Mapping[str, Any], check_mode: bool, waiting: Waiting) -> dict[str, Any]:
    """Set Calico's MTU, or bring back what was before, and return the module's result. Raises NodewardError."""
    rollout.require_limit(TRAP, params["pod_timeout"])
    orders = Orders(TRAP, params["allow"], check_mode, waiting)
    if params["state"] == "restored":
        return act.act(api, orders, lambda: way_back.planned(api, TRAP, params["rollout"]), forgets=True)
    policy = Policy(uplinks(params["uplinks"] or {}), params["rollout"], params["raise_others"])
    seen: list[Calico] = []

    def planned() -> ClusterPlan:
        seen.append(install.capture(api))
        return mtu.plan(seen[-1], policy)

    # before anything is restarted: those are the ones with the MTU of before
    pods = api.items("/api/v1/pods")
    result = act.act(api, orders, planned)
    kept = mtu_findings.by_owner(pods) if result["changes"] else {}
    findings = [finding.describe() for finding in mtu_findings.old_pods(kept, _lowers(result["changes"]))]
    return {
        **result,
        "findings": [*result["findings"], *findings],
        "facts": {TRAP: {**shown(seen[-1], policy), "pods_with_the_old_mtu": kept}},
    }


def uplinks(given: Mapping[str, Any]) -> tuple[Uplink, ...]:
    """Read what the filter nodeward.calico.uplinks returns. Raises NodewardError."""
    try:
        return tuple(
            Uplink(node, str(each["name"]), int(each["mtu"]), str(each.get("address") or ""))
            for node, each in given.items()
        )
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
        raise NodewardError(
            what=f"has an entry without a name or an MTU ({error})",
            where=f"{TRAP}_uplinks",
            remedy="Give a dictionary like {node1: {name: eth0, mtu: 1500}}, or leave it out",
        ) from error


def shown(calico: Calico, policy: Policy) -> dict[str, Any]:
    """Shape what was seen for results."""
    version = calico.version
    return {
        "install": "operator" if calico.operator else "manifest",
        "version": None if version is None else ".".join(map(str, version)),
        "encapsulations": mtu.encapsulations(calico),
        "uplinks": {str(each): sum(u.mtu == each for u in policy.uplinks) for each in _mtus(policy)},
        "nodes": len(calico.nodes),
        "missed_names": mtu_detection.missed(calico, {each.name for each in policy.uplinks}),
    }


def _mtus(policy: Policy) -> list[int]:
    return sorted({each.mtu for each in policy.uplinks})


def _lowers(changes: list[dict[str, Any]]) -> bool:
    """Tell whether a number goes down; from Calico's own detection to a value may be either."""
    numbers = [
        (change["before"], change["after"])
        for change in changes
        if str(change["after"]).isdecimal() and "annotations" not in change["target"]
    ]
    return any(not str(before or "").isdecimal() or int(after) < int(before) for before, after in numbers)
