# Private to the collection nodeward.calico: may change in any release.
"""The module process_metrics: its options, and what it does with them on an API server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._core.errors import NodewardError
from .._core.plan import CONSENTS
from .._node import process_metrics
from . import act, exporters, rollout, undo, way_back
from .act import Orders
from .exporter_findings import CONSENT, TRAP
from .exporter_scrapes import HarmError, Scrapes
from .exporters import Exporters, Policy
from .objects import ClusterPlan
from .port import Api
from .rollout import Waiting

# A matter of both, the node's exporter and the DaemonSet's.
OPTIONS: dict[str, dict[str, Any]] = {
    "textfile": process_metrics.OPTIONS["textfile"],
    "scrape_timeout": process_metrics.OPTIONS["scrape_timeout"],
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
    if params["scrape_timeout"] < 1:
        what = f"{params['scrape_timeout']} s is no time in which anything can be scraped"
        raise NodewardError(
            what, f"{TRAP}_scrape_timeout", "Set it to the scrape_timeout of your Prometheus, in seconds"
        )
    scrapes = Scrapes(api, params["scrape_timeout"], waiting)
    orders = Orders(TRAP, params["allow"], check_mode, waiting, scrapes.judge)
    if params["state"] == "restored":
        orders = Orders(TRAP, params["allow"], check_mode, waiting)
        return act.act(api, orders, lambda: way_back.planned(api, TRAP, consent=CONSENT), forgets=True)
    policy = Policy(textfile=params["textfile"])
    seen: list[Exporters] = []

    def planned() -> ClusterPlan:
        seen.append(exporters.capture(api))
        made = exporters.plan(seen[-1], policy)
        if made.split(orders.allow)[0] and not check_mode:
            for exporter in seen[-1].found:
                scrapes.look(exporter)
        return made

    result = _acted(api, orders, planned)
    return {**result, "facts": {TRAP: {"daemon_sets": exporters.shown(seen[-1])}}}


def _acted(api: Api, orders: Orders, planned: Callable[[], ClusterPlan]) -> dict[str, Any]:
    """Act; where an exporter does worse then, note that on its DaemonSet, which is left out from there on."""
    try:
        return act.act(api, orders, planned)
    except undo.UndoneError as error:
        harm = error.__cause__
        if not isinstance(harm, HarmError):
            raise
        why = f"{harm.where}: {harm.what}"
    ref = harm.ref
    noted = act.act(api, orders, lambda: exporters.note(api.get(ref.path) or {}, ref, why))
    rest = _acted(api, orders, planned)
    return {**rest, "changed": True, **{part: noted[part] + rest[part] for part in ("changes", "diff")}}
