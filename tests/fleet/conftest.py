"""A lab of three nodes for the whole session (of each worker), and ansible-playbook as a user runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet
from tests.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    lab = Lab(name="fleet" + os.environ.get("PYTEST_XDIST_WORKER", ""), nodes=3)
    lab.down()
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Fleet:
    """Fresh nodes, as incident B found them."""
    lab.reset()
    return Fleet(lab, tmp_path)
