"""Settings of all tests."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import configuration, settings

configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / ".cache/hypothesis")
# A shared machine is slow now and then: time limits are the stages', not each example's.
settings.register_profile("nodeward", deadline=None, print_blob=True)
settings.load_profile("nodeward")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured: record_property("measured", text), which reaches us from every worker."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        for name, text in getattr(report, "user_properties", ()):
            if name == "measured" and report.when == "call":
                terminalreporter.write_line(f"measured: {report.nodeid.rpartition('::')[2]}: {text}")


def pytest_configure() -> None:
    """End at SIGTERM as at Ctrl-C: fixtures take down what they started, also when a stage's time is over."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print at once what will take minutes; pytest keeps all else that a test prints until one fails."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def printed(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text} ", end="", flush=True)

    return printed
