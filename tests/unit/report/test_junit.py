"""The report as JUnit XML, read back with a parser."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.nodeward.calico.plugins.plugin_utils._report import junit
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report import fleets


def parsed(model: dict[str, Any], fail_on: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(junit.render(model, fail_on))  # noqa: S314 - our own text


def case(root: ElementTree.Element, node: str, trap: str) -> ElementTree.Element:
    [found] = [each for each in root.iter("testcase") if (each.get("classname"), each.get("name")) == (node, trap)]
    return found


def test_a_suite_for_each_node_and_a_case_for_each_trap():
    root = parsed(fleets.model(12))
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == [f"node{number:04}" for number in range(12)]
    assert [each.get("name") for each in suites["node0004"]] == ["bird_watchdog", "cni_token", "link_mtu", "pid_limits"]
    assert (root.get("name"), root.get("tests"), root.get("failures"), root.get("errors")) == (
        "nodeward audit", "50", "10", "1",
    )  # fmt: skip


THRESHOLDS = [("", True, True), ("info", True, True), ("medium", False, True), ("high", False, False)]


@pytest.mark.parametrize(("fail_on", "low", "medium"), THRESHOLDS)
def test_what_fails_is_what_fails_the_run(fail_on, low, medium):
    root = parsed({**fleets.model(23)}, fail_on)
    of_22 = case(root, "node0022", "cni_token"), case(root, "node0022", "pid_limits")
    assert tuple(each.find("failure") is not None for each in of_22) == (low, medium)


def test_a_failure_tells_all_of_a_finding():
    failure = case(parsed(fleets.model(12)), "node0007", "link_mtu").find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("high", "1 found, the first: link_mtu.link:tunl0")
    assert (failure.text or "").splitlines() == [
        "high: link_mtu.link:tunl0",
        "where: link tunl0",
        "observed: 1480",
        "wanted: 1430",
        "why: large packets vanish (incident C)",
        "remedy: ansible-playbook nodeward.calico.harden --tags link_mtu",
        "harden mends it: yes",
    ]


def test_what_does_not_fail_is_told_all_the_same():
    told = case(parsed(fleets.model(12)), "node0003", "pid_limits")
    assert told.find("failure") is None
    assert "info: pid_limits.logins_untouched" in (told.findtext("system-out") or "")


def test_a_node_that_was_not_seen_is_an_error():
    error = case(parsed(fleets.model(12)), "node0011", "seen").find("error")
    assert error is not None
    assert error.get("type") == "unreachable"
    assert "No route to host" in (error.get("message") or "")


def test_the_cluster_is_a_suite_of_its_own():
    model = fleets.model(2)
    model["cluster"]["findings"] = [fleets.PROBES]
    assert case(parsed(model), "the cluster", "calico_probes").find("failure") is not None


def test_hostile_texts_stay_texts():
    root = parsed(fleets.hostile())
    assert {each.tag for each in root.iter()} == {"testsuites", "testsuite", "testcase", "failure", "error"}
    assert fleets.HOSTILE[0] in {suite.get("name") for suite in root}


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_gives_xml_that_can_be_read(text):
    model = fleets.model(2, {0: text})
    model["nodes"][0]["error"] = text
    model["cluster"]["findings"] = [fleets.finding("rules.x", "high", observed=text)]
    parsed(model)
