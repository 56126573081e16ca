"""What the nodes returned, as lines for a terminal."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.report import report
from ansible_collections.nodeward.calico.plugins.filter.report_lines import report_lines
from hypothesis import given
from hypothesis import strategies as st

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


CONSENT = [
    ("audit", "etcd_restart", ""),
    ("audit", "kubelet_restart", " with harden_allow=kubelet_restart"),
    ("harden", "etcd_restart", " with harden_allow=etcd_restart"),
]


@pytest.mark.parametrize(("kind", "word", "told"), CONSENT)
def test_an_audit_asks_for_no_consent_that_harden_has_anyway(kind, word, told):
    remedy = f"ansible-playbook nodeward.calico.harden --tags etcd_timing -e harden_allow={word}"
    lines = report_lines(model_of({"n1": {**OK, "findings": [{**MENDED, "remedy": remedy}]}}, kind), "/r")
    assert lines[lines.index("Findings:") + 1].endswith(f"; harden mends it{told}  [n1]")


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


def test_several_keys_of_one_place_are_named_by_what_was_and_is():
    change = {**CHANGE, "target": "env /etc/etcd.env#A,B,C", "before": "A=1", "after": "A=2"}
    lines = report_lines(model_of({"n1": {**CHANGED, "changes": [change]}}), "/r")
    assert any("  set env /etc/etcd.env: A=1 -> A=2  [n1]" in line for line in lines)


def measured(paths: int, packets: int, silent: int = 0, left: int = 0, uplink: bool = True) -> dict[str, Any]:
    each = [{"passes": None}] * silent + [{"passes": 1500}] * (paths - silent)
    seen = {"uplink": {"name": "eth0"} if uplink else None}
    told = {"measured": each, "left": left, "packets": packets, "per_second": 50}
    return {**OK, "facts": {"link_mtu": seen, "paths": told}}


MANY = {f"n{number}": UNREACHABLE for number in range(2, 9)}
PATHS = [
    ("all", {"n1": measured(4, 8), "n2": measured(2, 6)}, "6 measured, 14 packets", ""),
    ("some silent", {"n1": measured(4, 8, silent=1), "n2": measured(2, 6)},
     "6 measured (1 of them silent), 14 packets", ""),
    ("some left", {"n1": measured(24, 99, left=6), "n2": measured(2, 6)}, "26 of 32 measured, 105 packets", ""),
    ("one without an uplink", {"n1": measured(4, 8), "n2": measured(0, 0, uplink=False)},
     "4 measured, 8 packets", "n2"),
    ("one that was not looked at", {"n1": measured(4, 8), "n2": OK}, "4 measured, 8 packets", "n2"),
    ("many not reached", {"n1": measured(0, 0), **MANY}, "0 measured, 0 packets", "n2, n3, n4, n5, n6 and 2 more"),
]  # fmt: skip


@pytest.mark.parametrize(("results", "count", "without"), [case[1:] for case in PATHS], ids=[case[0] for case in PATHS])
def test_an_audit_says_how_many_paths_were_measured_with_how_many_packets_and_who_was_left_out(results, count, without):
    [line] = [line for line in report_lines(model_of(results, "audit"), "/r") if line.startswith("Paths:")]
    why = f"; no uplink was seen on {without}" if without else ""
    assert line == f"Paths: {count}, at most 50 a second from a node{why}"


def test_an_audit_that_measured_no_paths_does_not_name_them():
    assert not [line for line in report_lines(model_of({"n4": OK}, "audit"), "/r") if line.startswith("Paths:")]
