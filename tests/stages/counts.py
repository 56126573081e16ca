"""How the end of a command becomes a count. Reads files, runs nothing."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from .model import Count, Step

_NO_TESTS = "exit code 5"
"""pytest's, where its words chose no test."""


def count_step(step: Step, problem: str | None) -> Count:
    """Count a step that has ended.

    ``problem`` is how it ended other than well ("exit code 2", "time limit of 60 s"), or None.
    """
    if step.report is None:
        return Count(1) if problem is None else Count(0, (f"{step.name}: {problem}",))
    return _count_report(step, step.report, problem)


def _count_report(step: Step, report: Path, problem: str | None) -> Count:
    name = step.name
    try:
        tests = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  # our own pytest wrote it
    except (OSError, ElementTree.ParseError):
        return Count(0, (f"{name}: {problem or 'ended well'}, but left no report that can be read",))
    failures = tuple(f"{name}: {reason}" for reason in map(_why_failed, tests) if reason)
    passed = len(tests) - len(failures)
    if not tests and step.is_part and problem == _NO_TESTS:
        return Count()
    if not tests:
        failures = (f"{name}: {problem}, and ran no test at all" if problem else f"{name}: ran no test at all",)
    elif problem and not failures:
        # all tests passed, and yet the command failed: coverage below its limit, a time limit in teardown
        failures = (f"{name}: {problem} although no test failed",)
    return Count(passed, failures)


def _why_failed(test: ElementTree.Element) -> str | None:
    """Say why a test did not pass, or None. A skipped test has proved nothing: it did not pass."""
    for kind in ("failure", "error", "skipped"):
        found = test.find(kind)
        if found is not None:
            message = " ".join(found.get("message", "").split())
            return f"{test.get('classname')}::{test.get('name')}: {kind}: {message[:200]}"
    return None
