# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the nodes returned, as one model that every form of the report is made from. Documented in report.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..module_utils._kube.traps import CLUSTER_TRAPS
from ..module_utils._node.traps import TRAPS
from ..plugin_utils._report import cluster
from ..plugin_utils._report.disruptions import disruptions
from ..plugin_utils._report.findings import count, everywhere

FORMAT = 1

# The worst first.
STATES = (
    "unreachable",
    "failed",
    "refused",
    "not run",
    "pending",
    "changed",
    "would change",
    "findings",
    "ok",
)

# Where the roles leave their results: node, what it measured, and each trap's own.
RESULTS = (
    "node_result",
    "node_paths_result",
    *(f"{trap}_result" for trap in dict.fromkeys((*TRAPS, *CLUSTER_TRAPS))),
    "kubelet_config_map_result",
    "etcd_decision_result",
    "etcd_member_result",
    "kubeadm_etcd_args_result",
)
LISTS = ("changes", "pending", "findings")

Node = dict[str, Any]
Report = dict[str, Any]


def report(
    hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], kind: str, check_mode: bool, **run: Any
) -> Report:
    """Return the model: a node for each host in the order of their names, and how many are in each state.

    ``run`` is what else should be known of the run (when, limit, tags); it is kept as it is.
    """
    names = sorted(hosts)
    told = {host: _of_kind(kind, _without_done(variables[host], variables)) for host in names}
    nodes = [_node(host, each, check_mode) for host, each in told.items()]
    model: Report = {
        "format": FORMAT,
        "kind": kind,
        "check_mode": check_mode,
        "run": run,
        "traps": sorted({trap for node in nodes for trap in node["facts"]}),
        "nodes": nodes,
        "cluster": {
            "findings": cluster.findings(variables[host] for host in names),
            "facts": cluster.facts(variables[host] for host in names),
        },
        "totals": {state: sum(node["state"] == state for node in nodes) for state in STATES},
    }
    severities = count(finding for _node, finding in everywhere(model))
    return {**model, "severities": severities, "disruptions": disruptions(model)}


def printable(text: str) -> str:
    """Names of files and messages of nodes may hold anything, but no escape sequence reaches a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def node_error(result: Mapping[str, Any], host: str) -> str:
    """Return why nothing was done on a host and what to do, '' when all went well."""
    return printable(_why(result, host))


def joined(result: Mapping[str, Any], first: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the result of a node's last run with what an earlier one of the same role had done."""
    return _in_turn(first, [result])[0]


def _why(result: Mapping[str, Any], host: str) -> str:
    message = " ".join(str(result.get("msg", "")).split())
    if not result:
        return f"{host}: the node was not looked at. See the error above, mend its cause and run again."
    if result.get("unreachable"):
        return (
            f"{host}: not reached ({message}). Check address, ssh and power, then run again; a run that broke off "
            "midway is finished then."
        )
    if not result.get("failed"):
        return ""
    if _without_python(result):
        return (
            f"{host}: no usable Python was found on the node, nothing was changed. Install python3 (3.9 or newer) "
            "or name it in ansible_python_interpreter, then run again."
        )
    if _without_sudo(result):
        return f"{host}: {message} {' '.join(_last_words(result))}. Install it there, or log in as root."
    return f"{host}: {' '.join([message, *_last_words(result)])}"


def _without_python(result: Mapping[str, Any]) -> bool:
    # 127: the shell found no such command, 126: could not run it; it may also have been sudo. ansible-core
    # names the interpreter in its message, and where it does not, the shell does.
    told = f"{result.get('msg')} {_output(result)}"
    not_run = result.get("rc") in (126, 127) and ("python" in told or "interpreter" in told)
    too_old = "future feature annotations" in told  # before 3.7 Python cannot even read the module
    return not_run or too_old


def _without_sudo(result: Mapping[str, Any]) -> bool:
    return result.get("rc") in (126, 127) and "sudo" in _output(result)


def _last_words(result: Mapping[str, Any]) -> list[str]:
    """Return the last line that came before a module broke off: what the shell, or Python, says is wrong."""
    lines = (line.strip() for line in _output(result).split("\n"))
    # ssh with a terminal sends everything to stdout, and this to stderr
    telling = [line for line in lines if line and not line.startswith("Shared connection to ")]
    return [f"({line[:200]})" for line in telling[-1:]]


def _output(result: Mapping[str, Any]) -> str:
    return f"{result.get('module_stdout', '')}\n{result.get('module_stderr', '')}"


def _node(host: str, variables: Mapping[str, Any], check_mode: bool) -> Node:
    results = [variables[name] for name in RESULTS if variables.get(name)]
    if variables.get("etcd_member_result") and results:
        results[0] = _without_etcd(results[0])
    if variables.get("node_first_result") and results:
        results = _in_turn(variables["node_first_result"], results)
    errors = [error for error in (node_error(result, host) for result in results) if error]
    node: Node = {"name": host, "state": _state(results, errors, check_mode), "error": " ".join(errors)}
    for part in LISTS:
        node[part] = [item for result in results for item in result.get(part, [])]
    node["held_back_by"] = list(variables.get("node_held_back") or variables.get("etcd_held_back") or [])
    node["facts"] = {}
    for result in results:
        for trap, facts in result.get("facts", {}).items():
            known = node["facts"].get(trap)
            # of a trap of both, the node's and the cluster's part
            is_both = isinstance(known, Mapping) and isinstance(facts, Mapping)
            node["facts"][trap] = {**known, **facts} if is_both else facts
    return node


def _without_done(told: Mapping[str, Any], variables: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Take out of the decision for etcd what this run has mended on all members: their changes tell of it."""
    decision = told.get("etcd_decision_result") or {}
    done = [variables.get(host, {}).get("etcd_member_result") or {} for host in decision.get("due") or ()]
    if not done or not all(each.get("changed") and not each.get("failed") for each in done):
        return told
    findings = [finding for finding in decision["findings"] if not finding.get("mended")]
    return {**told, "etcd_decision_result": {**decision, "findings": findings}}


def _of_kind(kind: str, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take out of a defragmentation's results what its look at the nodes has foretold of a harden run."""
    looked = told.get("node_result")
    if kind != "defrag" or not looked:
        return told
    return {**told, "node_result": {**looked, **{part: [] for part in LISTS if part in looked}}}


def _without_etcd(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take what waited for etcd_member out of a node's result, since that tells of it itself."""
    waiting = [change for change in node.get("pending") or [] if change["trap"] != "etcd_timing"]
    return {**node, "pending": waiting} if "pending" in node else node


def _in_turn(first: Mapping[str, Any], results: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Join what a node's first run did with its second one, which was consented to and saw the last state."""
    node, *others = results
    if "changes" in node:
        # in check mode the second one foretells the first one's changes again
        changes = [*(c for c in first.get("changes", []) if c not in node["changes"]), *node["changes"]]
        changed = first.get("changed") or node.get("changed")
        return [{**node, "changes": changes, "changed": changed}, *others]
    return [node, first, *others]


def _state(results: list[Mapping[str, Any]], errors: list[str], check_mode: bool) -> str:
    findings = [finding for result in results for finding in result.get("findings", [])]
    states = {
        "unreachable": any(result.get("unreachable") for result in results),
        "failed": bool(errors),
        "refused": any(finding["id"].endswith(".refused") for finding in findings),
        # in a batch of a play with serial that is still to come, for example
        "not run": not results,
        "pending": any(result.get("pending") for result in results),
        "would change": check_mode and any(result.get("changed") for result in results),
        "changed": any(result.get("changed") for result in results),
        "findings": any(finding["severity"] != "info" for finding in findings),
    }
    return next((state for state, holds in states.items() if holds), "ok")


class FilterModule:
    """Makes the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"report": report, "node_error": node_error, "joined": joined}
