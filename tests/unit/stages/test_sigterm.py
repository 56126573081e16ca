"""What a test has started is taken down, also when a stage's time is over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEST = """
import time
from pathlib import Path
import pytest

HERE = Path(__file__).parent

@pytest.fixture
def lab():
    (HERE / "up").touch()
    yield
    (HERE / "up").unlink()

def test_that_takes_long(lab):
    (HERE / "runs").touch()
    time.sleep(60)
"""


def test_fixtures_end_at_sigterm(tmp_path):
    (tmp_path / "test_long.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 50
        while not (tmp_path / "runs").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        assert (tmp_path / "up").exists()
        process.terminate()
        told, _nothing = process.communicate(timeout=50)
    finally:
        process.kill()
        process.wait()
    assert b"KeyboardInterrupt" in told
    assert not (tmp_path / "up").exists()
