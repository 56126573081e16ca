"""All node traps in one run, on a whole node below a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal, sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason, WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import metrics_findings, run, traps

from tests.unit.node.whole_node import FILES, PID_MAX, host, params, tree

__all__ = ["host"]  # a fixture


def test_hardening_the_node_of_incident_b(tmp_path, host):
    result = run.harden(params(), host, check_mode=False)
    assert result["changed"] is True
    assert [(c["target"], c["before"], c["after"]) for c in result["changes"][:1]] == [
        ("sysctl kernel.pid_max", "49152", "4194304")
    ]
    assert (tmp_path / PID_MAX[1:]).read_text() == "4194304"
    assert (tmp_path / sysctl_d.drop_in("pid_limits")[1:]).read_text().splitlines()[1:] == ["kernel.pid_max = 4194304"]
    assert result["pending"] == []
    assert [d["before_header"] for d in result["diff"]] == [c["target"] for c in result["changes"]]
    kept = dict(journal.decode((tmp_path / journal.PATH[1:]).read_text()).entries)
    assert {target: entry.before for target, entry in kept.items()} == {
        "sysctl kernel.pid_max": "49152",
        f"file {sysctl_d.drop_in('pid_limits')}": None,
    }


def test_a_second_run_changes_nothing_at_all(tmp_path, host):
    run.harden(params(), host, check_mode=False)
    before = tree(tmp_path)
    result = run.harden(params(), host, check_mode=False)
    assert result["changed"] is False
    assert result["changes"] == []
    assert tree(tmp_path) == before


def test_what_a_trap_tries_and_puts_back_is_no_change_and_no_error(monkeypatch, tmp_path, host):
    told = metrics_findings.none("process_metrics", "none runs", "see there")
    tried = []

    def attempt(changes, _host, policy):
        tried.append((len(changes), policy.pid_max))
        return Plan(findings=(told,))

    monkeypatch.setattr(run, "TRIED", {"pid_limits": attempt})
    foretold = run.harden(params(), host, check_mode=True)
    result = run.harden(params(), host, check_mode=False)
    assert tried == [(len(foretold["changes"]), 4194304)]
    assert (result["changed"], result["changes"], result["diff"]) == (False, [], [])
    assert result["findings"] == [*foretold["findings"], told.describe()]
    assert (tmp_path / PID_MAX[1:]).read_text() == FILES[PID_MAX]


def test_check_mode_writes_nothing_and_foretells_the_real_run(tmp_path, host):
    before = tree(tmp_path)
    foretold = run.harden(params(), host, check_mode=True)
    assert tree(tmp_path) == before
    assert run.harden(params(), host, check_mode=False) == foretold


def test_informing_writes_nothing_and_tells_what_hardening_would_do(tmp_path, host):
    before = tree(tmp_path)
    told = run.inform(params(), host)
    assert tree(tmp_path) == before
    assert told["changed"] is False
    done = run.harden(params(), host, check_mode=False)
    assert told["changes"] == done["changes"]
    told["facts"].pop("rules")  # which audits alone look at
    assert told["facts"] == done["facts"]
    mended = [finding for finding in told["findings"] if finding["mended"]]
    assert {c["target"] for c in done["changes"]} <= {f["where"] for f in mended}
    # besides: the node is near a limit that this run raises, which is then no finding any more
    assert {f["id"] for f in mended if f["where"] not in {c["target"] for c in done["changes"]}} == {
        "pid_limits.in_use"
    }
    rest = [finding for finding in told["findings"] if not finding["mended"]]
    assert sorted(rest, key=str) == sorted(done["findings"], key=str)


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path, host):
    (tmp_path / sysctl_d.drop_in("pid_limits")[1:]).write_bytes(b"\xff\xfe\n")
    result = run.harden(params(), host, check_mode=True)
    assert result["diff"][-1]["before"] == "\ufffd\ufffd\n"
    json.dumps(result).encode()


class Disruptive:
    """A trap whose only change waits for consent."""

    OPTIONS: Mapping[str, Any] = {}

    Policy: Any = type(None)

    @staticmethod
    def observe(_host: object) -> None:
        return None

    @staticmethod
    def plan(_facts: None, _policy: None) -> Plan:
        return Plan(changes=(WriteFile("/etc/kubelet", None, "x", Reason("k", "why", disrupts="kubelet_restart")),))

    @staticmethod
    def shown(_facts: None, _policy: None = None) -> dict[str, Any]:
        return {}


def test_what_disrupts_is_only_planned(tmp_path, host, monkeypatch):
    monkeypatch.setitem(traps.TRAPS, "k", Disruptive)
    given: dict[str, Any] = {
        "pid_limits": None,
        "link_mtu": None,
        "bird_watchdog": None,
        "cni_token": None,
        "k": {},
        "tags": ["all"],
        "skip_tags": [],
        "allow": ["uplink_change"],
    }
    result = run.harden(given, host, check_mode=False)
    assert result["changed"] is False
    assert [(c["target"], c["disrupts"]) for c in result["pending"]] == [("file /etc/kubelet", "kubelet_restart")]
    assert not (tmp_path / "etc/kubelet").exists()


def test_what_disrupts_is_done_with_consent(tmp_path, host, monkeypatch):
    monkeypatch.setitem(traps.TRAPS, "k", Disruptive)
    given: dict[str, Any] = {
        "pid_limits": None,
        "link_mtu": None,
        "bird_watchdog": None,
        "cni_token": None,
        "k": {},
        "tags": ["all"],
        "skip_tags": [],
        "allow": ["kubelet_restart"],
    }
    result = run.harden(given, host, check_mode=False)
    assert (result["changed"], result["pending"]) == (True, [])
    assert (tmp_path / "etc/kubelet").exists()


SELECTIONS = [
    ("every one", ["a", "b"], ["all"], [], ["a", "b"]),
    ("in their own order", ["b", "a"], ["all"], [], ["a", "b"]),
    ("those given only", ["b"], ["all"], [], ["b"]),
    ("by tag", ["a", "b"], ["b"], [], ["b"]),
    ("a tag among others", ["a", "b"], ["etcd", "a"], [], ["a"]),
    ("a tag of a trap that is not given", ["a"], ["b"], [], []),
    ("a tag of no trap", ["a", "b"], ["etcd"], [], []),
    ("tagged", ["a", "b"], ["tagged"], [], ["a", "b"]),
    ("all beside a tag", ["a", "b"], ["all", "b"], [], ["a", "b"]),
    ("untagged", ["a", "b"], ["untagged"], [], []),
    ("always", ["a", "b"], ["always"], [], []),
    ("left out", ["a", "b"], ["all"], ["a"], ["b"]),
    ("asked for and left out", ["a", "b"], ["a"], ["a"], []),
    ("all left out", ["a", "b"], ["all"], ["all"], []),
    ("tagged left out", ["a", "b"], ["a"], ["tagged"], []),
    ("others left out", ["a", "b"], ["all"], ["etcd"], ["a", "b"]),
    ("none given", [], ["all"], [], []),
]


@pytest.mark.parametrize(
    ("given", "tags", "skip_tags", "wanted"), [case[1:] for case in SELECTIONS], ids=[case[0] for case in SELECTIONS]
)
def test_traps_selected_by_tags(monkeypatch, given, tags, skip_tags, wanted):
    monkeypatch.setattr(traps, "TRAPS", dict.fromkeys("ab", Disruptive))
    assert traps.selected(given, tags, skip_tags) == wanted


@pytest.mark.parametrize(
    ("tags", "skip_tags"), [(["pid_limit"], []), (["etcd", "always"], []), (["all"], ["pid_limits"])]
)
@pytest.mark.parametrize(
    "act", [run.inform, partial(run.harden, check_mode=True), partial(run.harden, check_mode=False)]
)
def test_tags_that_leave_no_trap_are_no_success(host, tags, skip_tags, act):
    with pytest.raises(NodewardError) as refused:
        act({**params(), "tags": tags, "skip_tags": skip_tags}, host)
    assert "Name one of pid_limits with --tags" in str(refused.value)
    assert ", ".join(tags) in str(refused.value)


@pytest.mark.parametrize(
    ("tags", "skip_tags"), [(["pid_limits", "pid_limit"], []), (["all"], ["pid_limit"]), (["all"], ["pidlimits"])]
)
def test_a_mistyped_tag_is_no_success_even_where_a_trap_is_left(host, tags, skip_tags):
    with pytest.raises(NodewardError, match=r"no trap is called pid_?limit"):
        run.inform({**params(), "tags": tags, "skip_tags": skip_tags}, host)


def test_a_run_that_was_given_no_trap_is_told_which_there_are(host):
    with pytest.raises(NodewardError, match="no trap is left to run") as refused:
        run.inform({**params(), "pid_limits": None}, host)
    assert f"Name one of {', '.join(traps.TRAPS)} with --tags" in refused.value.remedy


def test_other_people_s_tags_do_not_matter(host):
    tags = ["pid_limits", "web", "always"]
    assert run.inform({**params(), "tags": tags, "skip_tags": ["slow"]}, host)["facts"]


RULES_ASKED = [
    ("all", ["all"], [], True),
    ("rules alone", ["rules"], [], True),
    ("a trap", ["pid_limits"], [], False),
    ("all but rules", ["all"], ["rules"], False),
]


@pytest.mark.parametrize(
    ("tags", "skip_tags", "asked"), [row[1:] for row in RULES_ASKED], ids=[row[0] for row in RULES_ASKED]
)
def test_what_rules_alone_look_at_is_looked_at_in_audits_that_ask_them(host, tags, skip_tags, asked):
    given = {**params(), "tags": tags, "skip_tags": skip_tags}
    assert ("rules" in run.inform(given, host)["facts"]) is asked
    if tags == ["rules"]:
        with pytest.raises(NodewardError, match="no trap is left to run"):
            run.harden({**given, "state": "hardened", "allow": []}, host, True)
    else:
        assert "rules" not in run.harden({**given, "state": "hardened", "allow": []}, host, True)["facts"]
