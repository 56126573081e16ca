# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as lines for a terminal. Documented in report_lines.yml."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Callable

from ..module_utils._core.plan import BY_DEFAULT, CONSENTS
from ..plugin_utils._report.findings import SEVERITIES
from .report import STATES, printable

# Rows and names beyond these are counted, not printed; the file has them all.
ROWS = 20
NAMES = 5

# Characters of what was observed and is wanted; the pages and the JSON report have the whole.
LONGEST = 240


def report_lines(report: Mapping[str, Any], path: str, *others: str) -> list[str]:
    """Return the summary, a table of the nodes, what was changed and found (by kind), and where the files are."""
    done = [] if report["kind"] == "audit" else _grouped(report, "changes", _change_line)
    lines = [
        _summary(report),
        "",
        *_table(report["nodes"]),
        *_nearest(report),
        *_paths(report),
        *_section("Would change" if report["check_mode"] else "Changed", done),
        *_section("Waiting for consent", _pending(report)),
        *_section("What that takes, roughly", [_disruption(each) for each in report["disruptions"]]),
        *_section("Held back", _held_back(report)),
        *_section("Mended since the audit", _mended(report)),
        *_section("Findings", _findings(report)),
        *_section("Not done", _errors(report)),
        "",
        f"Report: {path}",
        *(f"        {other}" for other in others),
    ]
    return [printable(line) for line in lines]


def _summary(report: Mapping[str, Any]) -> str:
    count = len(report["nodes"])
    states = ", ".join(f"{number} {state}" for state, number in report["totals"].items() if number)
    mode = " in check mode" if report["check_mode"] else ""
    traps = ", ".join(report["traps"]) or "none"
    return f"{report['kind']}{mode}: {count} node{'s' * (count != 1)} ({states}); traps: {traps}"


def _table(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [("NODE", "STATE", "CHANGES", "PENDING", *(severity.upper() for severity in SEVERITIES))]
    for node in sorted(nodes, key=lambda node: STATES.index(node["state"])):
        found = [sum(f["severity"] == severity for f in node["findings"]) for severity in SEVERITIES]
        counts = (len(node["changes"]), len(node["pending"]), *found)
        rows.append((node["name"], node["state"], *(str(count) for count in counts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return _shortened(lines, ROWS + 1, "nodes")


def _nearest(report: Mapping[str, Any]) -> list[str]:
    """Name the node that is nearest to run out of process ids, as it was seen before any change."""
    bindings = [(node["facts"].get("pid_limits", {}).get("binding"), node) for node in report["nodes"]]
    seen = [(binding, node) for binding, node in bindings if binding]
    if report["kind"] != "audit" or not seen:
        return []
    binding, node = max(seen, key=lambda pair: pair[0]["share"])
    used = f"{binding['used']} of {binding['limit']} threads, {binding['share']:.1%} of {binding['name']}"
    return ["", f"Nearest to a limit on threads: {node['name']}, {used}"]


def _paths(report: Mapping[str, Any]) -> list[str]:
    """Say how many paths between nodes were measured, what that put on the network, and who could not take part."""
    told = [node["facts"]["paths"] for node in report["nodes"] if node["facts"].get("paths")]
    if not told:
        return []
    measured = [path for each in told for path in each["measured"]]
    left, packets = sum(each["left"] for each in told), sum(each["packets"] for each in told)
    silent = sum(path["passes"] is None for path in measured)
    count = f"{len(measured)}{f' of {len(measured) + left}' if left else ''} measured"
    count += f" ({silent} of them silent)" if silent else ""
    rate = max(each["per_second"] for each in told)
    # nobody measures a path to a node without one, and such a node measures none
    without = [node["name"] for node in report["nodes"] if not (node["facts"].get("link_mtu") or {}).get("uplink")]
    why = f"; no uplink was seen on {_names(without)}" if without else ""
    return ["", f"Paths: {count}, {packets} packets, at most {rate} a second from a node{why}"]


def _grouped(report: Mapping[str, Any], part: str, line: Callable[[Mapping[str, Any]], str]) -> list[str]:
    """Say the same thing about many nodes once, with their names."""
    groups: dict[str, list[str]] = {}
    for node in report["nodes"]:
        for item in node[part]:
            groups.setdefault(line(item), []).append(node["name"])
    return [f"{text}  [{_names(names)}]" for text, names in groups.items()]


def _findings(report: Mapping[str, Any]) -> list[str]:
    # what harden leaves may wait for just that word, where others were given
    told = partial(_finding_line, given=BY_DEFAULT if report["kind"] == "audit" else ())
    of_the_cluster = [f"{told(finding)}  [the cluster]" for finding in report["cluster"]["findings"]]
    lines = [*of_the_cluster, *_grouped(report, "findings", told)]
    return sorted(lines, key=lambda line: SEVERITIES.index(line.split(maxsplit=1)[0]))


def _mended(report: Mapping[str, Any]) -> list[str]:
    """Say what an audit had found and is no more, by severity; the page has it node by node."""
    before = report.get("before")
    if not before:
        return []
    found, left = before["severities"], before["left"]
    told = ", ".join(f"{found[severity] - left[severity]} of {found[severity]} {severity}" for severity in SEVERITIES)
    return [f"{told}  (audit of {before['time']})"]


def _errors(report: Mapping[str, Any]) -> list[str]:
    """Say the same error of many nodes once; each begins with the name of its node."""
    groups: dict[str, list[str]] = {}
    for node in report["nodes"]:
        if node["error"]:
            groups.setdefault(node["error"].removeprefix(f"{node['name']}: "), []).append(node["name"])
    return [f"{_names(names)}: {text}" for text, names in groups.items()]


def _pending(report: Mapping[str, Any]) -> list[str]:
    """Say what waits, and with which words it may be done."""
    waiting = [change for node in report["nodes"] if not node["held_back_by"] for change in node["pending"]]
    words = sorted({change["disrupts"] for change in waiting})
    allow = [f"To allow all of it: -e harden_allow={','.join(words)}"] if words else []
    return [*_grouped(report, "pending", lambda c: f"{_change_line(c)} ({c['disrupts']})"), *allow]


def _disruption(told: Mapping[str, Any]) -> str:
    times = "once" if told["times"] == 1 else f"{told['times']} times"
    long = f"{told['seconds']} s" if told["seconds"] < 120 else f"{round(told['seconds'] / 60)} min"
    return f"{CONSENTS[told['word']]}: {times}, {long}{'' if told['allowed'] else ', if it is allowed'}"


def _held_back(report: Mapping[str, Any]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for node in report["nodes"]:
        if node["held_back_by"]:
            groups.setdefault(_names(node["held_back_by"]), []).append(node["name"])
    return [
        f"{_names(names)}: what was consented to was not done since {failed} failed" for failed, names in groups.items()
    ]


def _change_line(change: Mapping[str, Any]) -> str:
    if change["target"].startswith("file "):
        verb = "remove" if change["after"] is None else "write" if change["before"] is None else "rewrite"
        return f"{verb} {change['target']}"
    if change["target"].startswith("folder "):
        return f"{'remove' if change['after'] is None else 'make'} {change['target']}"
    if change["target"].startswith("run "):
        return change["target"] if change["after"] is not None else f"stop {change['target'][4:]}, and at boot"
    if change["before"] is None and change["after"] is None:
        return str(change["target"])
    before, after = ("absent" if state is None else state for state in (change["before"], change["after"]))
    where, _hash, keys = str(change["target"]).partition("#")
    # several keys at once: what was and is says which of them change
    return f"set {where if ',' in keys else change['target']}: {before} -> {after}"


def _finding_line(finding: Mapping[str, Any], given: Collection[str]) -> str:
    """Say a finding, and the consent that mending it needs unless it is given without being named."""
    where = f"{finding['severity'].ljust(6)}  {finding['id']}"
    if finding["mended"]:
        # the id names the parameter or file already, and a file's text is nothing for a line
        told = "" if finding["where"].startswith("file ") else f": {finding['observed']}, wanted {finding['wanted']}"
        _command, _e, consent = finding["remedy"].partition(" -e ")
        needs = consent if consent.removeprefix("harden_allow=") not in given else ""
        return f"{where}{told}; harden mends it{f' with {needs}' if needs else ''}"
    told = f"{_short(finding['observed'])}, wanted {_short(finding['wanted'])}"
    return f"{where}  {finding['where']}: {told}. {finding['remedy']}."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for line in _shortened(lines, ROWS, "lines"))] if lines else []


def _shortened(lines: list[str], most: int, what: str) -> list[str]:
    rest = len(lines) - most
    return lines if rest <= 0 else [*lines[:most], f"... and {rest} more {what}, see the file"]


def _names(names: list[str]) -> str:
    rest = len(names) - NAMES
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:NAMES])} and {rest} more"


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"report_lines": report_lines}
