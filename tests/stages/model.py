"""The words of the runner: a stage is a list of steps, a step is one command with a count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Count:
    """What one step, stage or run came to. Every failure stands here by its reason."""

    passed: int = 0
    failures: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        return len(self.failures)

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failures + other.failures)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


@dataclass(frozen=True)
class Step:
    """One command. It counts as one result by its exit code, or, with a report, as the tests in it."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None
    """A JUnit file that the command writes."""
    needs: tuple[Path, ...] = ()
    """Files without which the command would do nothing and still end well."""
    is_part: bool = False
    """Words for pytest chose some of the tests; of a stage's steps one may be left with none."""
    always: bool = False
    """Runs also after a failure, a time limit or Ctrl-C in a step before it."""


@dataclass(frozen=True)
class Stage:
    name: str
    steps: tuple[Step, ...]
    limit: float
    """Seconds that all steps may take together, and in a run of several stages what those before it left of theirs."""
    in_order: bool = False
    """Whether a step needs those before it: after a failure the rest counts as failed without being run."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    problem: str | None = None
    """How it ended other than well ("exit code 2", "time limit of 60 s"), or None."""
    last_lines: tuple[str, ...] = ()
    """Of its output."""


@dataclass(frozen=True)
class Outcome:
    """What came of a stage."""

    stage: str
    count: Count
    seconds: float
    interrupted: bool = field(default=False)
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The last lines of each step that failed."""
