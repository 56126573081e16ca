"""How the end of a step becomes a count."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.counts import count_step
from tests.stages.model import Count, Step

PASSED = '<testcase classname="a" name="one"/>'
FAILED = '<testcase classname="a" name="two"><failure message="1 != 2"/></testcase>'
ERROR = '<testcase classname="a" name="three"><error message="no fixture"/></testcase>'
SKIPPED = '<testcase classname="a" name="four"><skipped message="no kernel"/></testcase>'

EXIT_CODES = [
    ("well", None, Count(1)),
    ("badly", "exit code 2", Count(0, ("ruff: exit code 2",))),
]

REPORTS = [
    ("all pass", [PASSED, PASSED], None, 2, []),
    ("a failure", [PASSED, FAILED], "exit code 1", 1, ["unit: a::two: failure: 1 != 2"]),
    ("an error", [PASSED, ERROR], "exit code 1", 1, ["unit: a::three: error: no fixture"]),
    ("a skipped test has not passed", [PASSED, SKIPPED], None, 1, ["unit: a::four: skipped: no kernel"]),
    ("nothing collected", [], "exit code 5", 0, ["unit: exit code 5, and ran no test at all"]),
    ("interrupted before the first test", [], "interrupted", 0, ["unit: interrupted, and ran no test at all"]),
    ("nothing collected and no complaint", [], None, 0, ["unit: ran no test at all"]),
    ("coverage too low", [PASSED], "exit code 1", 1, ["unit: exit code 1 although no test failed"]),
]


@pytest.mark.parametrize(("problem", "expected"), [case[1:] for case in EXIT_CODES], ids=[c[0] for c in EXIT_CODES])
def test_a_step_without_report_counts_by_its_end(problem, expected):
    assert count_step(Step("ruff", ("ruff",)), problem) == expected


@pytest.mark.parametrize(
    ("tests", "problem", "passed", "failures"), [case[1:] for case in REPORTS], ids=[c[0] for c in REPORTS]
)
def test_a_report_counts_by_its_tests(tmp_path: Path, tests, problem, passed, failures):
    report = tmp_path / "unit.xml"
    report.write_text(f"<testsuites><testsuite>{''.join(tests)}</testsuite></testsuites>")
    count = count_step(Step("unit", ("pytest",), report=report), problem)
    assert count == Count(passed, tuple(failures))


def test_of_a_stage_in_part_one_step_may_have_no_test(tmp_path: Path):
    report = tmp_path / "faults.xml"
    report.write_text("<testsuites><testsuite></testsuite></testsuites>")
    step = Step("faults", ("pytest", "-k", "clock"), report=report, is_part=True)
    assert count_step(step, "exit code 5") == Count()
    assert count_step(step, "exit code 4") == Count(0, ("faults: exit code 4, and ran no test at all",))


@pytest.mark.parametrize("content", [None, "", "<testsuites><testsuite>"], ids=["missing", "empty", "cut off"])
@pytest.mark.parametrize("problem", [None, "exit code 4"])
def test_a_report_that_cannot_be_read_is_a_failure(tmp_path: Path, content, problem):
    report = tmp_path / "unit.xml"
    if content is not None:
        report.write_text(content)
    count = count_step(Step("unit", ("pytest",), report=report), problem)
    assert count.passed == 0
    assert count.failures == (f"unit: {problem or 'ended well'}, but left no report that can be read",)
