"""A lab of three nodes for the whole session (of each worker), and ansible-playbook as a user runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet
from tests.fleet.session_lab import session_lab
from tests.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with session_lab("fleet") as lab:
        yield lab


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Fleet:
    """Fresh nodes, as incident B found them."""
    lab.reset()
    return Fleet(lab, tmp_path)
