"""A lab for each worker, and what each test counts for the table of faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.table import Fault
from tests.fleet.fleet import Fleet
from tests.fleet.session_lab import session_lab
from tests.lab import Lab


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """What this test counts; its name is the first line of the docstring, and of its parameters those that are text.

    It goes the way of pytest's own properties, into the report. Ask for it first: what fails before it has no row.
    """
    summary = (request.function.__doc__ or "").strip().splitlines()[0].rstrip(".")
    parameters = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    fault = Fault(", ".join([summary, *(value for value in parameters if isinstance(value, str))]))
    yield fault
    request.node.user_properties.append(fault.property())


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with session_lab("faults") as lab:
        yield lab


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Fleet:
    """Fresh nodes."""
    lab.reset()
    return Fleet(lab, tmp_path)
