# Private to the collection nodeward.calico: may change in any release.
"""What a run of harden made of what an audit had found before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...module_utils._node import paths
from .findings import Finding, count, everywhere

# In these states nobody has looked at the node again: nothing of it counts as mended.
UNSEEN = ("unreachable", "failed", "refused", "not run")

Key = tuple[str, str, str]  # node, id, where


def with_before(model: Mapping[str, Any], audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model with ``before``: when the audit was, what it found, and what of that is mended by now.

    What waits for consent is still there, and so is what was found by a trap that this run left out, or
    on paths that it did not measure.
    """
    still = set(_still(model))
    seen = {node["name"]: set(node["facts"]) for node in model["nodes"] if node["state"] not in UNSEEN}
    mended = [(node, f) for node, f in everywhere(audit) if _is_mended(node, f, still, seen)]
    found = count(finding for _node, finding in everywhere(audit))
    gone = count(finding for _node, finding in mended)
    by_node: dict[str, list[Finding]] = {}
    for node, finding in mended:
        by_node.setdefault(node, []).append(finding)
    return {
        **model,
        "before": {
            "time": audit["run"].get("time", ""),
            "severities": found,
            "left": {severity: found[severity] - gone[severity] for severity in found},
            "mended": by_node,
        },
    }


def _is_mended(node: str, finding: Finding, still: set[Key], seen: Mapping[str, set[str]]) -> bool:
    looked = paths.NAME if finding["id"].startswith(paths.IDS) else finding["trap"]
    return looked in seen.get(node, ()) and (node, finding["id"], finding["where"]) not in still


def _still(model: Mapping[str, Any]) -> Iterator[Key]:
    """Return what is found now, and what waits for consent under the id that its finding had in the audit."""
    for node, finding in everywhere(model):
        yield node, finding["id"], finding["where"]
    for each in model["nodes"]:
        for change in each["pending"]:
            target = change["target"]
            yield each["name"], f"{change['trap']}.{target.replace(' ', ':')}", target
