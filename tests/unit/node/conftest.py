"""The processes that look like BIRD, for the tests of the watchdog."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.node.fake_birds import Birds

PERF = """#!/bin/sh
[ "$1" = report ] && echo "    83.10%  [.] if_find_by_index" && echo && echo "    11.90%  [.] if_find_by_name"
exit 0
"""


@pytest.fixture
def birds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Birds]:
    with tempfile.TemporaryDirectory(prefix="birds") as folder:  # short: the path of a socket has 107 characters
        made = Birds(Path(folder))
        # a perf that takes no seconds
        (made.folder / "bin").mkdir()
        (made.folder / "bin/perf").write_text(PERF)
        (made.folder / "bin/perf").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        try:
            yield made
        finally:
            made.end()
