"""The report's model: its schema, its severities, and what a run of harden made of an audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.nodeward.calico.plugins.filter.report import report
from ansible_collections.nodeward.calico.plugins.filter.report_lines import report_lines
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.compare import with_before
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.findings import (
    SEVERITIES,
    count,
    failures,
    is_at_least,
)

from tests.unit.report import fleets
from tests.unit.report.fleets import LOGINS, PID_MAX, PROBES, TUNNEL, UNREACHABLE, change

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/report.schema.json").read_text())


def model(results: dict[str, dict[str, Any]], kind: str = "audit") -> dict[str, Any]:
    variables = {name: {"node_result": result} for name, result in results.items()}
    return report(list(results), variables, kind, False, time=fleets.TIME)


def found(
    *findings: dict[str, Any], traps: tuple[str, ...] = ("pid_limits", "link_mtu"), **parts: Any
) -> dict[str, Any]:
    return {"changed": False, "findings": list(findings), "facts": {trap: {} for trap in traps}, **parts}


def valid(made: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(made)))


def test_a_report_is_as_its_schema_says():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    valid(fleets.model(120))
    valid(fleets.hostile())
    audit = model({"n1": found(PID_MAX, TUNNEL)})
    waits = change("pid_limits", "file /etc/kubelet", "a", "b", "kubelet_restart")
    valid(with_before(model({"n1": found(pending=[waits])}, "harden"), audit))


BROKEN = [
    ("another format", {"format": 2}),
    ("an unknown state", {"totals": {"tired": 1}}),
    ("a part more", {"extra": 1}),
    ("a severity less", {"severities": {"high": 1}}),
]


@pytest.mark.parametrize("wrong", [case[1] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_the_schema_refuses(wrong):
    with pytest.raises(jsonschema.ValidationError):
        valid({**fleets.model(3), **wrong})


def test_severities_are_counted_over_nodes_and_cluster():
    made = model({"n1": found(PID_MAX, TUNNEL), "n2": found(LOGINS), "n3": UNREACHABLE})
    assert made["severities"] == {"high": 1, "medium": 1, "low": 0, "info": 1}
    assert made["cluster"] == {"findings": [], "facts": {}}


SKIPPED = {"skipped": True, "changed": False}
DONE = {"changed": False, "findings": [], "facts": {}}


@pytest.mark.parametrize(
    ("probes", "node", "told"),
    [
        (SKIPPED, {"cni_token": {"present": True}}, True),
        (SKIPPED, {"cni_token": {"present": False}}, False),
        (SKIPPED, {}, True),
        (DONE, {"cni_token": {"present": True}}, False),
        (None, {"cni_token": {"present": True}}, False),
    ],
    ids=["no way in", "no Calico", "only that was asked for", "looked at", "left out by tags"],
)
def test_a_cluster_that_was_not_looked_at(probes, node, told):
    variables: dict[str, dict[str, Any]] = {"n1": {"node_result": {**DONE, "facts": node}}}
    if probes:
        variables["n1"] |= {"calico_mtu_result": SKIPPED, "calico_probes_result": probes}
    made = report(["n1"], variables, "harden", False, time=fleets.TIME)
    valid(made)
    assert [f["id"] for f in made["cluster"]["findings"]] == ["calico_probes.not_looked_at"] * told
    assert made["nodes"][0]["state"] == "ok"


def test_a_saved_plan_is_of_nodes_alone_whatever_names_the_api_server():
    skipped = {"calico_mtu_result": SKIPPED, "calico_probes_result": SKIPPED, "harden_apply_plan": "plans"}
    made = report(["n1"], {"n1": {"node_result": DONE, **skipped}}, "harden", False, time=fleets.TIME)
    assert made["cluster"]["findings"] == []


def test_severities_are_ordered():
    assert SEVERITIES == ("high", "medium", "low", "info")
    assert count([]) == dict.fromkeys(SEVERITIES, 0)
    assert [is_at_least(PID_MAX, severity) for severity in SEVERITIES] == [False, True, True, True]


FAILURES = [
    ("high", {"n1": "n1: 1 of severity high or worse: link_mtu.link:tunl0 (high)"}),
    ("medium", {
        "n1": "n1: 2 of severity medium or worse: pid_limits.sysctl:kernel.pid_max (medium), "
              "link_mtu.link:tunl0 (high)",
        "": "the cluster: 1 of severity medium or worse: calico_probes.liveness (medium)",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("severity", "told"), FAILURES)
def test_what_fails_a_run(severity, told):
    made = model({"n1": found(PID_MAX, TUNNEL), "n2": found(LOGINS)})
    made["cluster"]["findings"] = [PROBES]
    assert failures(made, severity) == told


def test_nothing_fails_where_nothing_was_found():
    assert failures(model({"n1": found(), "n2": UNREACHABLE}), "info") == {}


# --- before and after -------------------------------------------------------------------------------

AUDIT = model({"n1": found(PID_MAX, TUNNEL), "n2": found(TUNNEL)})

AFTER = [
    ("both mended", {"n1": found(), "n2": found()}, {"n1": [PID_MAX, TUNNEL], "n2": [TUNNEL]}),
    ("one is still found", {"n1": found(TUNNEL), "n2": found()}, {"n1": [PID_MAX], "n2": [TUNNEL]}),
    ("one waits for consent",
     {"n1": found(pending=[change("link_mtu", "link tunl0", "1480", "1430", "uplink_change")]), "n2": found()},
     {"n1": [PID_MAX], "n2": [TUNNEL]}),
    ("one was not reached", {"n1": UNREACHABLE, "n2": found()}, {"n2": [TUNNEL]}),
    ("one failed", {"n1": {"failed": True, "msg": "no"}, "n2": found()}, {"n2": [TUNNEL]}),
    ("one was left out", {"n2": found()}, {"n2": [TUNNEL]}),
    ("a trap did not run", {"n1": found(traps=("pid_limits",)), "n2": found()}, {"n1": [PID_MAX], "n2": [TUNNEL]}),
]  # fmt: skip


@pytest.mark.parametrize(("results", "mended"), [case[1:] for case in AFTER], ids=[case[0] for case in AFTER])
def test_what_was_mended_since_the_audit(results, mended):
    before = with_before(model(results, "harden"), AUDIT)["before"]
    assert before["mended"] == mended
    assert before["severities"] == {"high": 2, "medium": 1, "low": 0, "info": 0}
    gone = count(finding for findings in mended.values() for finding in findings)
    assert before["left"] == {severity: before["severities"][severity] - gone[severity] for severity in SEVERITIES}
    assert before["time"] == fleets.TIME


PATHS = [
    fleets.finding("link_mtu.path:eth0:n2", "high", mended=False),
    fleets.finding("link_mtu.path_silent:eth0:n3", "low", mended=False),
    fleets.finding("link_mtu.paths_not_measured", "info", mended=False),
]
MEASURED = [
    ("a run that sent no packet", ("link_mtu",), [], {"high": 2, "medium": 0, "low": 1, "info": 1}),
    ("a run that measured", ("link_mtu", "paths"), PATHS, {"high": 1, "medium": 0, "low": 0, "info": 0}),
]


@pytest.mark.parametrize(("traps", "gone", "left"), [c[1:] for c in MEASURED], ids=[c[0] for c in MEASURED])
def test_paths_are_mended_only_where_this_run_measured_them(traps, gone, left):
    audit = model({"n1": found(*PATHS, TUNNEL, traps=("link_mtu", "paths"))})
    before = with_before(model({"n1": found(TUNNEL, traps=traps)}, "harden"), audit)["before"]
    assert before["mended"].get("n1", []) == gone
    assert before["left"] == left


def test_the_terminal_says_what_was_mended():
    lines = report_lines(with_before(model({"n1": found(), "n2": found(TUNNEL)}, "harden"), AUDIT), "/r")
    told = lines[lines.index("Mended since the audit:") + 1]
    assert told == f"  1 of 2 high, 1 of 1 medium, 0 of 0 low, 0 of 0 info  (audit of {fleets.TIME})"


def test_the_terminal_tells_what_is_of_the_cluster_and_every_file():
    made = model({"n1": found(LOGINS)})
    made["cluster"]["findings"] = [PROBES]
    lines = report_lines(made, "/r/audit.json", "/r/audit.xml")
    assert lines[lines.index("Findings:") + 1].startswith("  medium  calico_probes.liveness: 1 s, wanted")
    assert lines[lines.index("Findings:") + 1].endswith("[the cluster]")
    assert lines[-2:] == ["Report: /r/audit.json", "        /r/audit.xml"]
