# Private to the collection nodeward.calico: may change in any release.
"""Findings as the modules return them (``Finding.describe``): their order, their number, and where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...module_utils._core import plan

# The worst first.
SEVERITIES = tuple(reversed(plan.SEVERITIES))

# Where findings stand that belong to no single node.
CLUSTER = ""

Finding = Mapping[str, Any]


def everywhere(model: Mapping[str, Any]) -> Iterator[tuple[str, Finding]]:
    """Return every finding of a model with the name of its node, CLUSTER for those of the cluster."""
    for finding in model["cluster"]["findings"]:
        yield CLUSTER, finding
    for node in model["nodes"]:
        for finding in node["findings"]:
            yield node["name"], finding


def count(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many there are of each severity, the worst first."""
    numbers = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        numbers[finding["severity"]] += 1
    return numbers


def is_at_least(finding: Finding, severity: str) -> bool:
    """Tell whether a finding is of this severity or a worse one."""
    return SEVERITIES.index(finding["severity"]) <= SEVERITIES.index(severity)


def failures(model: Mapping[str, Any], severity: str) -> dict[str, str]:
    """Return, for each node (CLUSTER too) with findings of this severity or worse, what they are in one sentence."""
    told: dict[str, list[str]] = {}
    for node, finding in everywhere(model):
        if is_at_least(finding, severity):
            told.setdefault(node, []).append(f"{finding['id']} ({finding['severity']})")
    return {
        node: f"{node or 'the cluster'}: {len(ids)} of severity {severity} or worse: {', '.join(ids)}"
        for node, ids in told.items()
    }
