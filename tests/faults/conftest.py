"""A lab for each worker, a row of the table for each test, and the table itself, printed at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.table import Fault, table
from tests.fleet.fleet import Fleet
from tests.lab import Lab

FAULT = "fault"


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """What this test counts; its name is the first line of the docstring, and of its parameters those that are text.

    It goes the way of pytest's own properties, which reach us from every worker.
    """
    summary = (request.function.__doc__ or "").strip().splitlines()[0].rstrip(".")
    parameters = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    fault = Fault(", ".join([summary, *(value for value in parameters if isinstance(value, str))]))
    yield fault
    request.node.user_properties.append((FAULT, asdict(fault)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, also of what failed half-way."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    faults = [
        Fault(**value)
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, value in report.user_properties
        if name == FAULT
    ]
    if faults:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(table(sorted(faults, key=lambda fault: fault.name))))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    lab = Lab(name="faults" + os.environ.get("PYTEST_XDIST_WORKER", ""), nodes=3)
    lab.down()
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Fleet:
    lab.reset()
    return Fleet(lab, tmp_path)
