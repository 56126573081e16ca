"""What the nodes returned, as one model, and as lines."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter import report as report_filter
from ansible_collections.nodeward.calico.plugins.filter import report_lines as lines_filter
from ansible_collections.nodeward.calico.plugins.filter.report import node_error, report
from ansible_collections.nodeward.calico.plugins.filter.report_lines import report_lines
from hypothesis import given
from hypothesis import strategies as st

OK: dict[str, Any] = {
    "changed": False,
    "failed": False,
    "changes": [],
    "pending": [],
    "findings": [],
    "facts": {"pid_limits": {"binding": {"name": "kernel.pid_max", "limit": 49152, "used": 98, "share": 0.002}}},
}
CHANGE = {
    "trap": "pid_limits",
    "target": "sysctl kernel.pid_max",
    "before": "49152",
    "after": "4194304",
    "why": "because",
    "disrupts": "",
}
FILE = {
    **CHANGE,
    "target": "file /etc/sysctl.d/99-zz-nodeward-pid_limits.conf",
    "before": None,
    "after": "kernel.pid_max = 1\n",
}
CHANGED = {**OK, "changed": True, "changes": [CHANGE, FILE]}
PENDING = {**OK, "pending": [{**FILE, "target": "file /etc/kubelet", "disrupts": "kubelet_restart"}]}
FINDING = {
    "id": "pid_limits.in_use",
    "trap": "pid_limits",
    "severity": "high",
    "where": "kernel.pid_max",
    "observed": "46210 of 49152 threads (94%)",
    "wanted": "below 50%",
    "why": "because",
    "remedy": "Stop it",
    "mended": False,
}
FOUND = {**OK, "findings": [{**FINDING, "severity": "info", "id": "pid_limits.read_only"}, FINDING]}

# As ansible-core 2.17 to 2.19 return them.
UNREACHABLE = {
    "changed": False,
    "msg": "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.9 port 22:\r\n No route to host",
    "unreachable": True,
}
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
REFUSED = {
    "changed": False,
    "failed": True,
    "msg": "kernel.pid_max: 5 is outside of what this kernel accepts.\n  Set pid_limits_pid_max.",
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
MENDED = {**FINDING, "id": "pid_limits.sysctl:kernel.pid_max", "where": "sysctl kernel.pid_max", "mended": True}

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


def model_of(results: dict[str, dict[str, Any]], kind: str = "harden", check_mode: bool = False) -> dict[str, Any]:
    variables = {name: {"node_result": result} for name, result in results.items()}
    return report(list(results), variables, kind, check_mode)


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


def test_the_results_are_not_touched():
    results = {"n1": copy.deepcopy(CHANGED), "n2": copy.deepcopy(UNREACHABLE)}
    report_lines(model_of(results), "/r")
    assert results == {"n1": CHANGED, "n2": UNREACHABLE}


THREE = """\
harden: 3 nodes (1 unreachable, 1 changed, 1 findings); traps: pid_limits

NODE  STATE        CHANGES  PENDING  HIGH  MEDIUM  LOW  INFO
n3    unreachable  0        0        0     0       0    0
n1    changed      2        0        0     0       0    0
n2    findings     0        0        1     0       0    1

Changed:
  set sysctl kernel.pid_max: 49152 -> 4194304  [n1]
  write file /etc/sysctl.d/99-zz-nodeward-pid_limits.conf  [n1]

Findings:
  high    pid_limits.in_use  kernel.pid_max: 46210 of 49152 threads (94%), wanted below 50%. Stop it.  [n2]
  info    pid_limits.read_only  kernel.pid_max: 46210 of 49152 threads (94%), wanted below 50%. Stop it.  [n2]

Not done:
  n3: not reached (Failed to connect to the host via ssh: ssh: connect to host 10.0.0.9 port 22: No route to host). \
Check address, ssh and power, then run again; a run that broke off midway is finished then.

Report: /r/harden.json"""


def test_the_lines_of_three_nodes():
    lines = report_lines(model_of({"n3": UNREACHABLE, "n1": CHANGED, "n2": FOUND}), "/r/harden.json")
    assert "\n".join(lines) == THREE


TITLES = [
    ("harden", False, "Changed:", "harden: 1 node (1 changed); traps: pid_limits"),
    ("harden", True, "Would change:", "harden in check mode: 1 node (1 would change); traps: pid_limits"),
]


@pytest.mark.parametrize(("kind", "check_mode", "title", "first"), TITLES)
def test_what_would_be_changed_is_said_so(kind, check_mode, title, first):
    lines = report_lines(model_of({"n1": CHANGED}, kind, check_mode), "/r")
    assert title in lines
    assert lines[0] == first


def test_an_error_of_many_nodes_is_told_once():
    lines = report_lines(model_of({"n1": REFUSED, "n2": UNREACHABLE, "n3": REFUSED}), "/r")
    told = lines[lines.index("Not done:") + 1 : -2]
    assert [line.split(":")[0] for line in told] == ["  n1, n3", "  n2"]


def test_an_audit_names_the_node_that_is_nearest_to_a_limit():
    def using(threads: int) -> dict[str, Any]:
        binding = {"name": "kernel.pid_max", "limit": 49152, "used": threads, "share": round(threads / 49152, 4)}
        return {**OK, "facts": {"pid_limits": {"binding": binding}}}

    results = {"n1": using(900), "n2": using(46210), "n3": UNREACHABLE, "n4": {**OK, "facts": {"pid_limits": {}}}}
    told = "Nearest to a limit on threads: n2, 46210 of 49152 threads, 94.0% of kernel.pid_max"
    assert told in report_lines(model_of(results, "audit"), "/r")
    assert told not in report_lines(model_of(results), "/r")


def test_an_audit_tells_what_is_mended_once_and_without_the_text_of_files():
    file = {**MENDED, "id": "pid_limits.file:/etc/f", "where": "file /etc/f", "wanted": "a = 1\nb = 2\n"}
    lines = report_lines(model_of({"n1": {**OK, "changes": [CHANGE], "findings": [MENDED, file]}}, "audit"), "/r")
    assert "Changed:" not in lines
    told = "46210 of 49152 threads (94%), wanted below 50%; harden mends it"
    assert lines[lines.index("Findings:") + 1 : -2] == [
        f"  high    pid_limits.sysctl:kernel.pid_max: {told}  [n1]",
        "  high    pid_limits.file:/etc/f; harden mends it  [n1]",
    ]


VERBS = [(None, "b", "write"), ("a", "b", "rewrite"), ("a", None, "remove")]


@pytest.mark.parametrize(("before", "after", "verb"), VERBS)
def test_what_is_done_to_a_file(before, after, verb):
    change = {**FILE, "before": before, "after": after}
    assert f"  {verb} {FILE['target']}  [n1]" in report_lines(model_of({"n1": {**OK, "changes": [change]}}), "/r")


@pytest.mark.parametrize(("after", "told"), [("now", "run x.service"), (None, "stop x.service, and at boot")])
def test_what_is_done_to_a_unit(after, told):
    change = {**CHANGE, "target": "run x.service", "before": None if after else "now", "after": after}
    assert f"  {told}  [n1]" in report_lines(model_of({"n1": {**OK, "changes": [change]}}), "/r")


def test_what_waits_for_consent():
    lines = report_lines(model_of({"n1": PENDING}), "/r")
    assert lines[lines.index("Waiting for consent:") + 1] == "  write file /etc/kubelet (kubelet_restart)  [n1]"


def test_a_thousand_nodes_stay_short():
    def result(number: int) -> dict[str, Any]:
        change = {**CHANGE, "before": str(32768 + number % 100)}
        return {**CHANGED, "changes": [change], "findings": FOUND["findings"]} if number % 10 else UNREACHABLE

    lines = report_lines(model_of({f"n{number:04}": result(number) for number in range(1000)}), "/r")
    assert len(lines) < 80
    assert lines[0] == "harden: 1000 nodes (100 unreachable, 900 changed); traps: pid_limits"
    assert "... and 980 more nodes, see the file" in lines
    assert "  ... and 70 more lines, see the file" in lines
    unreachable = next(line for line in lines if "not reached" in line)
    assert unreachable.startswith("  n0000, n0010, n0020, n0030, n0040 and 95 more: not reached")
    same = next(line for line in lines if "pid_limits.in_use" in line)
    assert same.endswith("[n0001, n0002, n0003, n0004, n0005 and 895 more]")


def test_no_nodes():
    assert report_lines(model_of({}), "/r")[0] == "harden: 0 nodes (); traps: none"


hostile = st.text(st.characters(codec=None, exclude_categories=()))


@given(hostile, hostile, hostile)
def test_hostile_texts_stay_one_printable_line_each(one, two, three):
    finding = {**FINDING, "where": one, "observed": two, "wanted": three, "remedy": one, "id": f"pid_limits.{two}"}
    change = {**CHANGE, "target": f"file {one}", "before": two, "after": three}
    found = {**OK, "findings": [finding], "changes": [change, {**CHANGE, "before": two}], "pending": [change]}
    failed = {**REFUSED, "msg": one, "module_stderr": two}
    lines = report_lines(model_of({f"n{one}": found, f"m{two}": failed}), three)
    assert all(line.isprintable() for line in lines)


def test_ansible_finds_the_filters():
    assert set(report_filter.FilterModule().filters()) == {"report", "node_error", "joined"}
    assert lines_filter.FilterModule().filters() == {"report_lines": report_lines}


# --- consent ------------------------------------------------------------------------------------------

ALLOWED = {**CHANGED, "changes": [{**CHANGE, "target": "restart kubelet.service", "before": None, "after": None}]}
FAILED = {"failed": True, "changed": False, "msg": "the kubelet does not answer"}


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


def test_what_waits_is_told_with_the_words_that_allow_it():
    uplink = {**CHANGE, "target": "link eth0", "before": None, "disrupts": "uplink_change"}
    variables: dict[str, Any] = {"n1": {"node_result": PENDING}, "n2": {"node_result": {**OK, "pending": [uplink]}}}
    lines = report_lines(report(variables, variables, "harden", check_mode=False), "f")
    assert "  write file /etc/kubelet (kubelet_restart)  [n1]" in lines
    assert "  set link eth0: absent -> 4194304 (uplink_change)  [n2]" in lines
    assert "  To allow all of it: -e harden_allow=kubelet_restart,uplink_change" in lines


def test_who_is_held_back_by_whose_failure_is_told():
    held = {"node_first_result": PENDING, "node_result": PENDING, "node_held_back": ["n1"]}
    failed = {"node_first_result": PENDING, "node_result": FAILED}
    variables: dict[str, dict[str, Any]] = {"n1": failed, "n2": held, "n3": held}
    lines = report_lines(report(variables, variables, "harden", check_mode=False), "f")
    assert "  n2, n3: what was consented to was not done since n1 failed" in lines


ETCD = {"changed": True, "changes": [CHANGE], "pending": [], "findings": []}


def test_a_defragmentation_does_not_tell_what_harden_would_do():
    told = {"n1": {"node_result": CHANGED, "etcd_defrag_result": {"changed": True, "changes": [FILE], "findings": []}}}
    [node] = report(told, told, "defrag", False)["nodes"]
    assert (node["changes"], node["facts"]) == ([FILE], CHANGED["facts"])


def test_several_keys_of_one_place_are_named_by_what_was_and_is():
    change = {**CHANGE, "target": "env /etc/etcd.env#A,B,C", "before": "A=1", "after": "A=2"}
    lines = report_lines(model_of({"n1": {**CHANGED, "changes": [change]}}), "/r")
    assert any("  set env /etc/etcd.env: A=1 -> A=2  [n1]" in line for line in lines)


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


def test_an_audit_says_how_many_paths_were_measured_and_with_how_many_packets():
    def measured(paths: int, packets: int) -> dict[str, Any]:
        return {**OK, "facts": {"paths": {"measured": [{}] * paths, "left": 0, "packets": packets, "per_second": 50}}}

    results = {"n1": measured(4, 8), "n2": measured(2, 6), "n3": UNREACHABLE, "n4": OK}
    told = "Paths: 6 measured, 14 packets, at most 50 a second from a node"
    assert told in report_lines(model_of(results, "audit"), "/r")
    assert not [line for line in report_lines(model_of({"n4": OK}, "audit"), "/r") if line.startswith("Paths:")]
