# Private to the collection nodeward.calico: may change in any release.
"""The report as JUnit XML: a suite for each node, in it a case for each trap.

A case fails where the trap found something of the severity that fails the run, or, where none was given,
anything but mere information. What is found besides stands in the case's output. A node that was not seen is
one case with an error. As Jenkins, GitLab and GitHub's actions read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from .findings import Finding, is_at_least

LEAST = "low"

_CLUSTER = "the cluster"
# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(model: Mapping[str, Any], fail_on: str = "") -> str:
    """Return the XML; ``fail_on`` is a severity, '' for LEAST."""
    least = fail_on or LEAST
    root = ElementTree.Element("testsuites", {"name": _clean(f"nodeward {model['kind']}")})
    if model["cluster"]["findings"]:
        _suite(root, _CLUSTER, (), model["cluster"]["findings"], least)
    for node in model["nodes"]:
        suite = _suite(root, node["name"], sorted(node["facts"]), node["findings"], least)
        if node["error"]:
            case = _case(suite, node["name"], "seen")
            ElementTree.SubElement(case, "error", {"message": _clean(node["error"]), "type": node["state"]})
    for suite in root:
        _count(suite, suite)
    _count(root, root.iter("testcase"))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(
    root: ElementTree.Element, name: str, traps: Sequence[str], findings: Sequence[Finding], least: str
) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(name)})
    others = dict.fromkeys(finding["trap"] for finding in findings)
    for trap in dict.fromkeys((*traps, *others)):
        case = _case(suite, name, trap)
        found = [finding for finding in findings if finding["trap"] == trap]
        failing = [finding for finding in found if is_at_least(finding, least)]
        if failing:
            message = _clean(f"{len(failing)} found, the first: {failing[0]['id']}")
            failure = ElementTree.SubElement(case, "failure", {"message": message, "type": failing[0]["severity"]})
            failure.text = _told(failing)
        rest = [finding for finding in found if finding not in failing]
        if rest:
            ElementTree.SubElement(case, "system-out").text = _told(rest)
    return suite


def _case(suite: ElementTree.Element, node: str, trap: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", {"classname": _clean(node), "name": _clean(trap)})


def _told(findings: Iterable[Finding]) -> str:
    return _clean("\n\n".join("\n".join(_lines(finding)) for finding in findings))


def _lines(finding: Finding) -> list[str]:
    return [
        f"{finding['severity']}: {finding['id']}",
        *(f"{part}: {finding[part]}" for part in ("where", "observed", "wanted", "why", "remedy")),
        f"harden mends it: {'yes' if finding['mended'] else 'no'}",
    ]


def _count(element: ElementTree.Element, cases: Iterable[ElementTree.Element]) -> None:
    all_of_them = list(cases)
    element.set("tests", str(len(all_of_them)))
    for attribute, tag in (("failures", "failure"), ("errors", "error")):
        element.set(attribute, str(sum(case.find(tag) is not None for case in all_of_them)))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
