"""A lab for the drills, and what `make drills` prints of each: the incident, the failure, the cure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.fleet import NODES, Fleet
from tests.fleet.session_lab import session_lab
from tests.fleet.watchdog import IDENTIFIER
from tests.lab import Lab

ACCOUNTS = pytest.StashKey[list["Account"]]()


class Account:
    """What one drill has shown, in lines; each says how long it took since the one above."""

    def __init__(self, incident: str) -> None:
        self.lines = [incident]
        self._last = time.monotonic()

    def before(self, text: str) -> None:
        """Say what failed without the trap."""
        self._add("failed before", text)

    def after(self, text: str) -> None:
        """Say what holds with the trap."""
        self._add("holds after", text)

    def _add(self, when: str, text: str) -> None:
        now = time.monotonic()
        self.lines.append(f"  {when:<13}  {text}  (after {now - self._last:.1f} s)")
        self._last = now


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Account:
    """The account of this drill; its first line is the first of the test's docstring."""
    summary = (request.function.__doc__ or "").strip().splitlines()[0]
    account = Account(summary)
    request.config.stash.setdefault(ACCOUNTS, []).append(account)
    return account


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the accounts, also those of drills that failed half-way."""
    terminalreporter.section("drills")
    for account in config.stash.get(ACCOUNTS, []):
        terminalreporter.write_line("\n".join(account.lines))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with session_lab("drills") as lab:
        yield lab


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Iterator[Fleet]:
    """Fresh nodes; what the watchdog said on them stands beside a failure."""
    lab.reset()
    yield Fleet(lab, tmp_path)
    for node in NODES:
        print(node, lab.run(node, f"journalctl --no-hostname --identifier={IDENTIFIER}").stdout)
