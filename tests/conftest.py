"""Settings of all tests."""

from __future__ import annotations

import signal
from pathlib import Path

from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / ".cache/hypothesis")
# A shared machine is slow now and then: time limits are the stages', not each example's.
settings.register_profile("nodeward", deadline=None, print_blob=True)
settings.load_profile("nodeward")


def pytest_configure() -> None:
    """End at SIGTERM as at Ctrl-C: fixtures take down what they started, also when a stage's time is over."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
