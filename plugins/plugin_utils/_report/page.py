# Private to the collection nodeward.calico: may change in any release.
"""The report as one HTML page that needs nothing else: it opens from disk, without a network.

Everything that comes from nodes is escaped here, or is drawn by page.js as text. Should something be missed
all the same, the page's own policy lets no other script run than page.js, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from .charts import charts
from .findings import SEVERITIES
from .page_data import encoded, page_data
from .texts import visible

LARGEST = 1_000_000  # bytes
# Characters that one text may have; the next smaller one where the page would otherwise be too large.
LONGEST = (400, 160, 80, 40)

_KEY = (*SEVERITIES, "clean", "absent", "unseen")
_KEY_TEXTS = {"clean": "nothing found", "absent": "did not run there", "unseen": "node not seen"}


def render(model: Mapping[str, Any]) -> str:
    """Return the page of a model, below LARGEST where shortening texts can do that."""
    figures, page = charts(model), ""
    for longest in LONGEST:
        page = _page(model, figures, encoded(page_data(model, longest)))
        if len(page.encode()) < LARGEST:
            break
    return page


@cache
def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _page(model: Mapping[str, Any], figures: Iterable[str], data: str) -> str:
    css, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    title = escape(f"{model['kind']}{' in check mode' if model['check_mode'] else ''}: {_nodes(len(model['nodes']))}")
    drawn = "".join(figures)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nodeward {title}</title>
<style>{css}</style>
</head>
<body>
<a class="skip" href="#nodes">To the nodes</a>
<header>
<h1>nodeward {title}</h1>
<p class="soft">{escape(visible(_run(model)))}</p>
{_tallies(model)}
</header>
<noscript><p class="error">This page draws itself with JavaScript. The JSON file beside it has the same.</p></noscript>
<main>
<div class="bar" role="search" aria-label="Filters">
<label>trap <select id="by-trap"><option value="">all</option></select></label>
<label>severity <select id="by-severity"><option value="">all</option></select></label>
<label>finding <select id="by-kind"><option value="">all</option></select></label>
<label>node <input id="by-node" type="search" placeholder="part of a name ( / )" autocomplete="off"></label>
<button id="reset" type="button">Show all (Esc)</button>
<span id="shown" role="status"></span>
</div>
<h2>The fleet</h2>
{_when(model)}
<ul class="key" aria-label="Key">{_key()}</ul>
<div id="map" aria-label="Nodes by trap; move with the arrow keys, Enter goes to the node"></div>
<section id="cluster"><h2>The cluster</h2></section>
<section id="kinds"><h2>What was found</h2></section>
{f'<section id="charts"><h2>In numbers</h2><div class="charts">{drawn}</div></section>' if drawn else ""}
<section><h2>Node by node</h2><div id="nodes"></div></section>
</main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def _nodes(number: int) -> str:
    return f"{number} node{'s' * (number != 1)}"


def _run(model: Mapping[str, Any]) -> str:
    run = model["run"]
    states = ", ".join(f"{number} {state}" for state, number in model["totals"].items() if number)
    limits = [f"--limit {run['limit']}"] if run.get("limit") else []
    tags = [f"--{name.replace('_', '-')} {','.join(run[name])}" for name in ("tags", "skip_tags") if run.get(name)]
    traps = f"traps: {', '.join(model['traps']) or 'none'}"
    return " · ".join([run.get("time", ""), states, traps, *limits, *(tag for tag in tags if tag != "--tags all")])


def _tallies(model: Mapping[str, Any]) -> str:
    before = model.get("before")
    tallies = []
    for severity in SEVERITIES:
        was = ""
        if before:
            was = f"<small>{before['severities'][severity]} before, {before['left'][severity]} of them left</small>"
        tallies.append(f'<li class="{severity}"><b>{model["severities"][severity]}</b>{severity} {was}</li>')
    return f'<ul class="tallies" aria-label="Findings by severity">{"".join(tallies)}</ul>'


def _when(model: Mapping[str, Any]) -> str:
    if "before" not in model:
        return ""
    before = escape(visible(model["before"]["time"]))
    return (
        f'<p class="when"><label><input type="radio" name="when" value="before"> before (audit of {before})</label> '
        '<label><input type="radio" name="when" value="after" checked> after</label></p>'
    )


def _key() -> str:
    return "".join(f'<li class="{look}">{_KEY_TEXTS.get(look, look)}</li>' for look in _KEY)
