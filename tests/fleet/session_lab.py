"""A lab of three nodes that one session of pytest has for itself, or each of its workers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tests.lab import Lab


@contextlib.contextmanager
def session_lab(name: str) -> Iterator[Lab]:
    """Bring it up anew, without what a killed session left of it, and take it down."""
    lab = Lab(name=name + os.environ.get("PYTEST_XDIST_WORKER", ""), nodes=3)
    lab.down()
    lab.up()
    yield lab
    lab.down()
