# Private to the collection nodeward.calico: may change in any release.
"""The way to the rules for those that must do without jmespath where it is missing: most runs ask no rule at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...module_utils._core.plan import Finding
from .._report.findings import count, everywhere
from .errors import RuleError

try:
    from .judge import judged
    from .load import load

    _MISSING = ""
except ImportError as error:
    _MISSING = str(error)

Model = dict[str, Any]

# What every audit asks beside the rules of these folders.
OURS = Path(__file__).parents[3] / "roles/report/files/rules"


def folders(given: str | Iterable[str]) -> list[str]:
    """Return the names of folders in a list, or in a text with commas, without empty ones."""
    words = given.split(",") if isinstance(given, str) else list(given)
    return [word for word in (str(each).strip() for each in words) if word]


def unusable(given: str | Iterable[str]) -> str:
    """Return why the rules in these folders cannot be used, '' where they can."""
    named = folders(given)
    if named and _MISSING:
        return f"{_MISSING}. Rules need jmespath and PyYAML on the control machine: install them, or unset audit_rules."
    try:
        if named:
            load([str(OURS), *named])  # so that an id of ours is not found to be taken only when all was looked at
    except RuleError as error:
        return str(error)
    return ""


def found(model: Model, given: str | Iterable[str]) -> Model:
    """Return a report with what the rules in these folders find in it. Raises RuleError."""
    named = folders(given)
    if not named:
        return model
    if not _MISSING:
        return judged(model, load(named))
    cluster = {**model["cluster"], "findings": [*model["cluster"]["findings"], _unasked().describe()]}
    told = {**model, "cluster": cluster}
    return {**told, "severities": count(finding for _node, finding in everywhere(told))}


def _unasked() -> Finding:
    return Finding(
        id="rules.unasked",
        severity="info",
        where="the control machine",
        observed=_MISSING,
        wanted="jmespath, in which rules are written",
        why="rules find what no trap mends, such as a full connection table",
        remedy="Install jmespath for the Python that runs Ansible",
    )
