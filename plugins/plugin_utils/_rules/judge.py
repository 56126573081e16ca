# Private to the collection nodeward.calico: may change in any release.
"""What the rules find in a report: pure, over the facts that its nodes returned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from ...module_utils._core.plan import Finding
from .._report.findings import count, everywhere
from .functions import OPTIONS
from .load import Rule

TRAP = "rules"
UNSEEN = ("unreachable", "failed", "not run")
# What jmespath lets through beside its own errors, where a function meets what it does not know.
UNFIT = (JMESPathError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
_LONGEST = 300  # characters of what was observed

Model = dict[str, Any]


def judged(model: Model, rules: Iterable[Rule]) -> Model:
    """Return the report with what the rules find in it."""
    rules = list(rules)
    of_nodes = [rule for rule in rules if rule.scope == "node"]
    nodes = [_node(node, of_nodes) for node in model["nodes"]]
    fleet = {"nodes": [node for node in nodes if node["state"] not in UNSEEN], "cluster": model["cluster"]}
    found = [finding for rule in rules if rule.scope == "fleet" for finding in _found(rule, fleet)]
    cluster = {**model["cluster"], "findings": [*model["cluster"]["findings"], *found]}
    told = {**model, "nodes": nodes, "cluster": cluster}
    totals = {state: sum(node["state"] == state for node in nodes) for state in model["totals"]}
    return {**told, "totals": totals, "severities": count(finding for _node, finding in everywhere(told))}


def _node(node: Model, rules: Iterable[Rule]) -> Model:
    if node["state"] in UNSEEN:
        return node
    found = [finding for rule in rules for finding in _found(rule, node)]
    is_more = node["state"] == "ok" and any(finding["severity"] != "info" for finding in found)
    return {**node, "findings": [*node["findings"], *found], "state": "findings" if is_more else node["state"]}


def _found(rule: Rule, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for each in _elements(rule, document):
            if _is_true(_asked(rule.when, each)):
                yield _finding(rule, _text(_asked(rule.where, each)), _text(_asked(rule.observed, each)))
    except UNFIT as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding(
            id=f"{TRAP}.unfit", severity="low", where=rule.name, observed=why, wanted="a rule that can be asked here",
            why="one of its expressions does not fit what is there, so nobody knows what it would have found",
            remedy="Mend the rule: functions take no null, where `value && function(value)` helps",
        ).describe()  # fmt: skip


def _elements(rule: Rule, document: Mapping[str, Any]) -> list[Any]:
    if not rule.each:
        return [document]
    told = _asked(rule.each, document)
    return told if isinstance(told, list) else []


def _asked(expression: str, document: Any) -> Any:
    return jmespath.search(expression, document, OPTIONS)


def _is_true(value: Any) -> bool:
    """Tell whether JMESPath takes it for true: a number is, 0 too."""
    return not (value is None or value is False or (isinstance(value, (str, list, dict)) and not value))


def _finding(rule: Rule, where: str, observed: str) -> dict[str, Any]:
    return Finding(
        id=f"{TRAP}.{rule.id}", severity=rule.severity, where=where, observed=observed, wanted=rule.wanted,
        why=rule.why, remedy=rule.remedy,
    ).describe()  # fmt: skip


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
