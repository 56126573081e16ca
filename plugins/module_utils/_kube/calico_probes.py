# Private to the collection nodeward.calico: may change in any release.
"""The module calico_probes: its options, and what it does with them on an API server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._core.errors import NodewardError
from .._core.plan import CONSENTS
from . import act, budget, install, probes, rollout, way_back
from .act import Orders
from .install import Calico
from .objects import ClusterPlan
from .port import Api
from .probes import ABSENT, TRAP, Policy
from .rollout import Waiting

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "FATAL", ABSENT)

# The defaults of the policy stand here and nowhere else.
OPTIONS: dict[str, dict[str, Any]] = {
    "timeout": {"type": "int", "default": 60},
    "initial_delay": {"type": "int", "default": 60},
    "failure_threshold": {"type": "int", "default": 10},
    "other_timeout": {"type": "int", "default": 10},
    "startup_probe": {"type": "bool", "default": True},
    "round_trip": {"type": "float"},
    "startup_loglevel": {"type": "str", "choices": list(LEVELS)},
    "containers": {"type": "str", "default": "[?name=='calico-node']"},
    "pod_timeout": {"type": "int", "default": 600},
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
    # all words, so that one list of consents serves every module
    "allow": {"type": "list", "elements": "str", "choices": list(CONSENTS), "default": []},
    **OPTIONS,
}

# No probe waits for more than a day, and what a round trip of a minute makes is a number that the API server can hold.
_BOUNDS = {
    "timeout": (1, rollout.DAY),
    "initial_delay": (0, rollout.DAY),
    "failure_threshold": (1, rollout.DAY),
    "other_timeout": (1, rollout.DAY),
    "round_trip": (0, 60_000),
}

# What a JMESPath expression makes of a list of containers; Ansible has jmespath for json_query.
Search = Callable[[str, Sequence[Any]], Any]


def run(api: Api, params: Mapping[str, Any], check_mode: bool, waiting: Waiting, search: Search) -> dict[str, Any]:
    """Raise the floors, or bring back what was before, and return the module's result. Raises NodewardError."""
    _require_sense(params)
    orders = Orders(TRAP, params["allow"], check_mode, waiting)
    if params["state"] == "restored":
        return act.act(api, orders, lambda: way_back.planned(api, TRAP), forgets=True)
    seen: list[tuple[Calico, Policy]] = []

    def planned() -> ClusterPlan:
        calico = install.capture(api)
        seen.append((calico, _policy(calico, params, search)))
        return probes.plan(*seen[-1])

    result = act.act(api, orders, planned)
    return {**result, "facts": {TRAP: shown(*seen[-1])}}


def shown(calico: Calico, policy: Policy) -> dict[str, Any]:
    """Shape what was seen for results."""
    version = calico.version
    node = next((each for each in calico.containers if each.get("name") == probes.NODE), {})
    return {
        "install": "operator" if calico.operator else "manifest",
        "version": None if version is None else ".".join(map(str, version)),
        "managers": install.managers(calico.daemon_set, "livenessProbe"),
        "installation_managers": install.managers(calico.installation, "spec") if calico.installation else [],
        "nodes": len(calico.nodes),
        "round_trip": round(calico.round_trip if policy.round_trip is None else policy.round_trip, 4),
        "startup_needed": policy.seconds(calico),
        "startup_budget": budget.present_seconds(node),
    }


def _policy(calico: Calico, params: Mapping[str, Any], search: Search) -> Policy:
    floors = {name: params[name] for name in OPTIONS if name not in ("containers", "pod_timeout", "round_trip")}
    milliseconds = params["round_trip"]
    return Policy(
        **floors,
        containers=selected(calico, params["containers"], search),
        round_trip=None if milliseconds is None else milliseconds / 1000,
    )


def selected(calico: Calico, expression: str, search: Search) -> tuple[str, ...]:
    """Return the names of the containers that an expression selects. Raises NodewardError where it selects none."""
    try:
        found = search(expression, calico.containers)
    except (ValueError, TypeError) as error:  # jmespath's own errors are ValueErrors
        raise _bad_expression(expression, f"is no JMESPath expression ({error})") from error
    listed = found if isinstance(found, list) else [] if found is None else [found]
    names = [str(each.get("name") if isinstance(each, dict) else each) for each in listed]
    unknown = probes.unknown_containers(calico, names)
    if not names or unknown:
        have = ", ".join(str(each.get("name")) for each in calico.containers)
        raise _bad_expression(expression, f"selects {', '.join(unknown) or 'nothing'}; containers are {have}")
    return tuple(names)


def _bad_expression(expression: str, what: str) -> NodewardError:
    return NodewardError(
        what=f"{expression!r} {what}",
        where=f"{TRAP}_containers",
        remedy="Give an expression over the list of containers, for example [?name=='calico-node']",
    )


def _require_sense(params: Mapping[str, Any]) -> None:
    rollout.require_limit(TRAP, params["pod_timeout"])
    for name, (least, most) in _BOUNDS.items():
        given = 0 if params[name] is None else params[name]
        if not least <= given <= most:  # nor is nan
            what = f"{given} is too {'small' if given < least else 'large'}"
            raise NodewardError(what, f"{TRAP}_{name}", f"Give {least} to {most}, or leave it out")
