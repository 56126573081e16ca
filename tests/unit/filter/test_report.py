"""What the nodes returned, as one model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter import report as report_filter
from ansible_collections.nodeward.calico.plugins.filter import report_lines as lines_filter
from ansible_collections.nodeward.calico.plugins.filter.report import node_error, report
from ansible_collections.nodeward.calico.plugins.filter.report_lines import report_lines

from tests.unit.filter.node_results import (
    CHANGE,
    CHANGED,
    FAILED,
    FILE,
    FINDING,
    FOUND,
    MENDED,
    OK,
    PENDING,
    REFUSED,
    UNREACHABLE,
    model_of,
)

# As ansible-core 2.17 to 2.19 return them.
NO_PYTHON_2_17 = {
    "changed": False,
    "failed": True,
    "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n",
    "module_stdout": "",
    "msg": "The module failed to execute correctly, you probably need to set the interpreter.\nSee stdout/stderr "
    "for the exact error",
    "rc": 127,
}
NO_PYTHON_2_19 = {
    **NO_PYTHON_2_17,
    "msg": "The module interpreter '/opt/py' was not found.",
    "module_stderr": "/bin/sh: 1: /opt/py: not found\n",
}
PYTHON_NOT_EXECUTABLE = {
    **NO_PYTHON_2_17,
    "msg": "Module result deserialization failed.",
    "module_stderr": "/bin/sh: 1: /usr/bin/python3: Permission denied\n",
    "rc": 126,
}
NO_SUDO = {**NO_PYTHON_2_17, "msg": "MODULE FAILURE", "module_stderr": "/bin/sh: 1: sudo: not found\n"}
NO_PYTHON_WITH_A_TERMINAL = {
    **NO_PYTHON_2_17,
    "msg": "Module result deserialization failed.",
    "module_stderr": "Shared connection to 10.0.0.9 closed.\r\n",
    "module_stdout": "/bin/sh: 1: /usr/bin/python3: not found\r\n",
}
NO_SUDO_WITH_A_TERMINAL = {
    **NO_PYTHON_WITH_A_TERMINAL,
    "module_stdout": "/bin/sh: 1: sudo: not found\r\n",
}

CRASHED = {
    "changed": False,
    "failed": True,
    "module_stderr": "Traceback (most recent call last):\n  File ...\nMemoryError\n",
    "msg": "MODULE FAILURE: No start of json char found\nSee stdout/stderr for the exact error",
    "rc": 1,
}

ERRORS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("ok", OK, []),
    ("changed", CHANGED, []),
    ("never looked at", {}, ["n1: the node was not looked at", "run again"]),
    ("unreachable", UNREACHABLE, ["n1: not reached (Failed to connect", "22: No route to host)", "ssh and power"]),
    ("without python, 2.17", NO_PYTHON_2_17, ["n1: no usable Python was found", "Install python3 (3.9 or newer)"]),
    ("without python, 2.19", NO_PYTHON_2_19, ["n1: no usable Python was found", "ansible_python_interpreter"]),
    ("python not executable", PYTHON_NOT_EXECUTABLE, ["n1: no usable Python was found"]),
    ("without python, with a terminal", NO_PYTHON_WITH_A_TERMINAL, ["n1: no usable Python was found"]),
    ("without sudo, with a terminal", NO_SUDO_WITH_A_TERMINAL,
     ["n1: Module result", "(/bin/sh: 1: sudo: not found). Install it"]),
    ("without sudo", NO_SUDO, ["n1: MODULE FAILURE", "sudo: not found", "or log in as root"]),
    ("refused by us", REFUSED, ["n1: kernel.pid_max: 5 is outside of what this kernel accepts. Set pid_limits_pid"]),
    ("crashed", CRASHED, ["n1: MODULE FAILURE: No start of json char found", "MemoryError"]),
    ("127 without failure", {**OK, "rc": 127}, []),
]  # fmt: skip


@pytest.mark.parametrize(("result", "told"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_node_error(result, told):
    error = node_error(result, "n1")
    assert bool(error) == bool(told)
    for part in told:
        assert part in error
    assert "\n" not in error


def test_no_escape_sequence_reaches_the_terminal_through_ansible_s_own_error_line():
    assert node_error({"failed": True, "msg": "/etc/70-\x1b[31mevil: bad"}, "n1") == "n1: /etc/70-?[31mevil: bad"


def test_a_missing_sudo_is_not_taken_for_a_missing_python():
    assert "Python" not in node_error(NO_SUDO, "n1")


REFUSAL = {**FINDING, "id": "pid_limits.refused"}

STATES = [
    ("ok", OK, False, "ok"),
    ("something to know only", {**OK, "findings": [{**FINDING, "severity": "info"}]}, False, "ok"),
    ("changed", CHANGED, False, "changed"),
    ("in check mode", CHANGED, True, "would change"),
    ("changed, with a finding left", {**CHANGED, "findings": [FINDING]}, False, "changed"),
    ("pending", PENDING, False, "pending"),
    ("pending beside a change", {**CHANGED, "pending": PENDING["pending"]}, False, "pending"),
    ("audited, to be mended", {**OK, "changes": [CHANGE], "findings": [MENDED]}, False, "findings"),
    ("audited, would be refused", {**OK, "findings": [MENDED, REFUSAL]}, False, "refused"),
    ("hardened, with a finding left", FOUND, False, "findings"),
    ("failed", REFUSED, False, "failed"),
    ("unreachable", UNREACHABLE, False, "unreachable"),
    ("never looked at", {}, False, "not run"),
]


@pytest.mark.parametrize(("result", "check_mode", "state"), [c[1:] for c in STATES], ids=[c[0] for c in STATES])
def test_state(result, check_mode, state):
    model = report(["n1"], {"n1": {"node_result": result}}, "harden", check_mode)
    assert model["nodes"][0]["state"] == state
    assert {name: count for name, count in model["totals"].items() if count} == {state: 1}


def test_single_roles_leave_results_of_their_own():
    of_a_role = {"pid_limits_result": CHANGED}
    beside = {"node_result": FOUND, "pid_limits_result": CHANGED}
    model = report(["n1", "n2"], {"n1": of_a_role, "n2": beside}, "harden", False)
    assert [node["state"] for node in model["nodes"]] == ["changed", "changed"]
    assert model["nodes"][1]["changes"] == [CHANGE, FILE]
    assert model["nodes"][1]["findings"] == FOUND["findings"]
    assert model["traps"] == ["pid_limits"]


def test_what_is_known_of_the_run_is_kept():
    model = report([], {}, "audit", False, time="2026-11-22T082858Z", limit="n1", tags=["all"])
    assert model["run"] == {"time": "2026-11-22T082858Z", "limit": "n1", "tags": ["all"]}


def test_the_model_of_three_nodes():
    model = model_of({"n3": UNREACHABLE, "n1": CHANGED, "n2": FOUND})
    assert [node["name"] for node in model["nodes"]] == ["n1", "n2", "n3"]
    assert (model["format"], model["kind"], model["check_mode"]) == (1, "harden", False)
    assert {name: n for name, n in model["totals"].items() if n} == {"unreachable": 1, "changed": 1, "findings": 1}
    assert model["nodes"][0]["changes"] == [CHANGE, FILE]
    assert model["nodes"][1]["findings"] == FOUND["findings"]
    assert (model["nodes"][2]["changes"], model["nodes"][2]["facts"]) == ([], {})
    json.dumps(model)


def test_a_node_without_a_result_is_a_row_too():
    model = report(["n1", "n2"], {"n1": {}, "n2": {"node_result": None}}, "audit", True)
    assert [node["state"] for node in model["nodes"]] == ["not run", "not run"]


def test_ansible_finds_the_filters():
    assert set(report_filter.FilterModule().filters()) == {"report", "node_error", "joined"}
    assert lines_filter.FilterModule().filters() == {"report_lines": report_lines}


ALLOWED = {**CHANGED, "changes": [{**CHANGE, "target": "restart kubelet.service", "before": None, "after": None}]}


def test_two_runs_on_a_node_are_joined():
    first = {**PENDING, "changed": True, "changes": [CHANGE]}
    variables = {"n1": {"node_first_result": first, "node_result": ALLOWED}}
    [node] = report(variables, variables, "harden", check_mode=False)["nodes"]
    assert (node["state"], node["pending"]) == ("changed", [])
    assert [change["target"] for change in node["changes"]] == [CHANGE["target"], "restart kubelet.service"]
    assert "  restart kubelet.service  [n1]" in report_lines(report(variables, variables, "harden", False), "f")


def test_a_result_takes_over_what_an_earlier_run_had_done():
    first = {**OK, "changed": True, "changes": [CHANGE], "findings": [{"id": "link_mtu.missing"}]}
    second = {**OK, "changes": ALLOWED["changes"], "missing": []}
    together = report_filter.joined(second, first)
    assert together == {**second, "changed": True, "changes": [CHANGE, *ALLOWED["changes"]]}


def test_the_first_run_is_told_where_the_second_failed():
    first = {**PENDING, "changed": True, "changes": [CHANGE]}
    variables = {"n1": {"node_first_result": first, "node_result": FAILED}}
    [node] = report(variables, variables, "harden", check_mode=False)["nodes"]
    assert (node["state"], node["error"]) == ("failed", "n1: the kubelet does not answer")
    assert (node["changes"], node["pending"], node["facts"]) == ([CHANGE], PENDING["pending"], OK["facts"])


ETCD = {"changed": True, "changes": [CHANGE], "pending": [], "findings": []}


def test_a_defragmentation_does_not_tell_what_harden_would_do():
    told = {"n1": {"node_result": CHANGED, "etcd_defrag_result": {"changed": True, "changes": [FILE], "findings": []}}}
    [node] = report(told, told, "defrag", False)["nodes"]
    assert (node["changes"], node["facts"]) == ([FILE], CHANGED["facts"])


BOTH = ["etcd_timing.values", "etcd_timing.renew_deadline"]
ETCD_RESULTS = [
    ("both were changed", ETCD, ETCD, ["etcd_timing.renew_deadline"]),
    ("one waits", ETCD, {**ETCD, "changed": False, "pending": [CHANGE]}, BOTH),
    ("one failed", ETCD, {**ETCD, "failed": True, "msg": "no"}, BOTH),
    ("none was tried", {}, {}, BOTH),
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "two", "told"), [row[1:] for row in ETCD_RESULTS], ids=[row[0] for row in ETCD_RESULTS]
)
def test_what_a_run_has_mended_on_all_members_is_no_finding_any_more(one, two, told):
    decision = {
        "findings": [
            {**MENDED, "id": "etcd_timing.values"},
            {**FINDING, "id": "etcd_timing.renew_deadline", "mended": False},
        ],
        "due": {"node1": {}, "node2": {}},
    }
    variables = {
        "node1": {"node_result": OK, "etcd_decision_result": decision, "etcd_member_result": one},
        "node2": {"node_result": OK, "etcd_member_result": two},
    }
    model = report(variables, variables, "harden", False)
    assert [finding["id"] for finding in model["nodes"][0]["findings"]] == told
