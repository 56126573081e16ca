# Private to the collection nodeward.calico: may change in any release.
"""What the page draws itself from: the model with every text once, so that 1,000 nodes stay below 1 MB.

Findings and changes are four numbers each: a finding is (kind, where, observed, wanted), a kind is what many
nodes have in common; a change is (target, before, after, word of consent). page.js reads this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...module_utils._core.plan import CONSENTS
from .compare import UNSEEN
from .findings import SEVERITIES, Finding, everywhere
from .texts import shortened, visible

# The worst first, as the report has them; page.js takes those before "pending" for not seen.
STATES = (*UNSEEN, "pending", "changed", "would change", "findings", "ok")


class _Table:
    """Gives every value a number, the same to the same."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    @property
    def values(self) -> list[Any]:
        return list(self.numbers)


class _Builder:
    def __init__(self, traps: Iterable[str], longest: int) -> None:
        self.longest = longest
        self.texts, self.kinds, self.traps, self.sets = _Table(), _Table(), _Table(), _Table()
        for trap in traps:
            self.traps.number(visible(trap))

    def text(self, text: object) -> int:
        return self.texts.number(shortened(visible("" if text is None else text), self.longest))

    def finding(self, finding: Finding) -> list[int]:
        kind = (
            shortened(visible(finding["id"]), self.longest),
            self.traps.number(visible(finding["trap"])),
            SEVERITIES.index(finding["severity"]),
            self.text(finding["why"]),
            self.text(finding["remedy"]),
            int(bool(finding["mended"])),
        )
        return [self.kinds.number(kind), *(self.text(finding[part]) for part in ("where", "observed", "wanted"))]

    def change(self, change: Mapping[str, Any]) -> list[int]:
        word = change["disrupts"] if change["disrupts"] in CONSENTS else ""
        return [*(self.text(change[part]) for part in ("target", "before", "after")), self.text(word)]

    def node(self, node: Mapping[str, Any], mended: Iterable[Finding], done: Iterable[Mapping[str, Any]]) -> list[Any]:
        seen = tuple(sorted(self.traps.number(visible(trap)) for trap in node["facts"]))
        return [
            shortened(visible(node["name"]), self.longest),
            STATES.index(node["state"]),
            self.text(node["error"]),
            self.sets.number(seen),
            _flat(self.finding(finding) for finding in node["findings"]),
            _flat(self.finding(finding) for finding in mended),
            _flat(self.change(change) for change in done),
            _flat(self.change(change) for change in node["pending"]),
        ]


def _flat(groups: Iterable[list[int]]) -> list[int]:
    return [number for group in groups for number in group]


def page_data(model: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """Return the data; texts are cut after ``longest`` characters."""
    found = [finding["trap"] for _node, finding in everywhere(model)]
    build = _Builder(sorted({*model["traps"], *found}), longest)
    mended: Mapping[str, list[Finding]] = model.get("before", {}).get("mended", {})
    acts = model["kind"] != "audit"  # an audit's changes are what its findings say harden mends
    nodes = [build.node(node, mended.get(node["name"], ()), node["changes"] if acts else ()) for node in model["nodes"]]
    cluster = _flat(build.finding(finding) for finding in model["cluster"]["findings"])
    return {
        "severities": SEVERITIES,
        "states": STATES,
        "unseen": len(UNSEEN),
        "nodes": nodes,
        "cluster": cluster,
        "traps": build.traps.values,
        "kinds": build.kinds.values,
        "sets": build.sets.values,
        "texts": build.texts.values,
    }


def encoded(data: Mapping[str, Any]) -> str:
    """Return JSON in ASCII in which no text can end the element that it stands in, or begin another one."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
