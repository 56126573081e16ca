# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why calico-node may be 0/1 on a node. Documented in diagnosis.yml."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable

from ..plugin_utils._diagnose.pod import read
from ..plugin_utils._diagnose.steps import UNKNOWN, Outcome, Seen, likeliest, walked
from .report import printable, report

_NAME = 18  # columns
_MEANING = 12


def diagnosis(
    host: str,
    variables: Mapping[str, Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    now: float | None = None,
    failed: str = "",
) -> list[str]:
    """Return the walk through the traps and the likeliest cause, as lines for a terminal.

    ``variables`` are hostvars after an audit of the host. ``pods`` and ``events`` are what the API server has of
    calico-node, None where it was not asked, or where it was and ``failed`` says why it told nothing.
    """
    [node] = report([host], variables, "audit", False)["nodes"]
    if node["error"]:
        return [printable(node["error"])]
    results = [result for result in variables[host].values() if isinstance(result, Mapping) and "facts" in result]
    cluster: Mapping[str, Any] | None = next(
        (each["facts"].get("calico_probes") for each in results if "calico_probes" in (each["facts"] or {})), {}
    )
    seen = Seen(host, node["facts"], tuple(node["findings"]), cluster=cluster or {}, failed=failed)
    names = (str(seen.at("cni_token", "node") or host), host)  # its name in the cluster may be another one
    pod = None if pods is None else read(pods, events, names, time.time() if now is None else now)
    walk = walked(replace(seen, pod=pod))
    lines = [f"Why calico-node may be 0/1 on {host}:", ""]
    lines += [f"  {step:{_NAME}}{outcome.meaning:{_MEANING}} {outcome.seen}" for step, outcome in walk]
    return [printable(line) for line in [*lines, "", *_end(walk)]]


def _end(walk: Sequence[tuple[str, Outcome]]) -> list[str]:
    """Return the likeliest cause and what mends it; where there is none, what is left to look at."""
    cause = likeliest(walk)
    if cause:
        step, outcome = cause
        return [f"Likeliest: {step}: {outcome.seen}", f"Then: {outcome.remedy}"]
    unknown = [(step, outcome) for step, outcome in walk if outcome.meaning == UNKNOWN]
    named = ", ".join(step for step, _outcome in unknown) or "nothing"
    remedies = [f"  {step}: {outcome.remedy}" for step, outcome in unknown if outcome.remedy]
    return [f"No cause was found. Not known: {named}", *remedies]


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"diagnosis": diagnosis}
