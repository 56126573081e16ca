"""The alert rules, their twin for the Prometheus operator, and the dashboard, as the role ships them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

FILES = Path(__file__).resolve().parents[2] / "roles/process_metrics/files"
RULES = FILES / "nodeward.rules.yml"
TWIN = FILES / "nodeward.prometheusrule.yml"
DASHBOARD = FILES / "nodeward.dashboard.json"

_METRIC = re.compile(r"\b(?:node|nodeward|container|etcd|kube)_[a-z0-9_]+\b")
_OBJECT = """\
---
# nodeward.rules.yml for the Prometheus operator, written by `python -m tests.prometheus`: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: nodeward
  labels:
    app.kubernetes.io/name: nodeward
spec:
"""
_LABELS = re.compile(r"\{[^}]*\}")


def groups() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(RULES.read_text())["groups"]
    assert isinstance(loaded, list)
    return loaded


def expressions() -> dict[str, str]:
    """Return the expression of every rule by its name."""
    return {rule.get("alert") or rule["record"]: rule["expr"] for group in groups() for rule in group["rules"]}


def twin() -> str:
    """Write the rules as an object of the Prometheus operator, comments and all."""
    _said, _groups, body = RULES.read_text().partition("groups:\n")
    return _OBJECT + indent(f"groups:\n{body}", "  ")


def queries() -> dict[str, str]:
    """Return the queries of the dashboard by the titles of their panels."""
    found: dict[str, str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for number, target in enumerate(panel["targets"]):
            found[f"{panel['title']} {number}"] = target["expr"]
    return found


def metrics(*expressions: str) -> set[str]:
    """Return the names of the metrics that these expressions read."""
    return set(_names(expressions))


def _names(expressions: tuple[str, ...]) -> Iterator[str]:
    for expression in expressions:
        yield from _METRIC.findall(_LABELS.sub("", expression))
