"""The table of faults, made of what pytest reports: what was tried, what survived, and how many bytes are lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from xml.etree.ElementTree import Element

PROPERTY = "fault"
"""The name of the property of a test in pytest's report that holds its Fault."""


@dataclass
class Fault:
    """What came of one kind of fault, in one test; several tests may be one row of the table."""

    name: str
    tried: int = 0
    counted: int = 0  # tries that came to their end
    survived: int = 0
    bytes_lost: int | None = None  # None where nobody counts them
    unlike: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    def outcome(self, moment: str, unlike: Sequence[str], bytes_lost: int | None) -> None:
        """Count what came of one try: what is not as after an undisturbed run, how much of what was there is gone."""
        self.counted += 1
        self.survived += not unlike and not bytes_lost
        self.unlike += [f"{moment}: {line}" for line in unlike]
        self._lose(bytes_lost)

    def add(self, other: Fault) -> None:
        """Have what another test counted in the same row."""
        self.tried += other.tried
        self.counted += other.counted
        self.survived += other.survived
        self.unlike += other.unlike
        self.measured += other.measured
        self._lose(other.bytes_lost)

    def _lose(self, bytes_lost: int | None) -> None:
        if bytes_lost is not None:
            self.bytes_lost = (self.bytes_lost or 0) + bytes_lost

    def property(self) -> tuple[str, str]:
        """Return it as a property of a test."""
        return PROPERTY, json.dumps(asdict(self))

    def row(self) -> str:
        """Return its line of the table; what is lost is not known where a try broke off before its end."""
        lost = "-" if self.bytes_lost is None else str(self.bytes_lost)
        if self.tried != self.counted:
            lost = "?"
        return f"{self.name:<76}  {self.tried:>5}  {self.survived:>8}  {lost:>10}"


def table(tests: Iterable[Element]) -> list[str]:
    """Return the lines of the table, and below it each test whose result is not in it, or is no good one."""
    rows: dict[str, Fault] = {}
    troubles: list[str] = []
    for test in tests:
        faults = list(_faults(test))
        for fault in faults:
            rows.setdefault(fault.name, Fault(fault.name)).add(fault)
        if trouble := _trouble(test) or ("" if faults else "counted nothing"):
            name = f"{test.get('classname')}::{test.get('name')}" if test.get("name") else "a test that was interrupted"
            troubles.append(f"{name}: {trouble}")
    lines = [f"{'fault':<76}  tried  survived  bytes lost", *(rows[name].row() for name in sorted(rows))]
    measured = [f"  {line}" for name in sorted(rows) for line in rows[name].measured]
    lines += ["", "measured:", *measured] if measured else []
    return [*lines, *(["", "not as it should be:"] if troubles else []), *(f"  {trouble}" for trouble in troubles)]


def _faults(test: Element) -> Iterator[Fault]:
    for each in test.iter("property"):
        if each.get("name") == PROPERTY:
            yield Fault(**json.loads(each.get("value", "")))


def _trouble(test: Element) -> str:
    found = next((each for kind in ("failure", "error", "skipped") for each in test.iter(kind)), None)
    return "" if found is None else f"{found.tag}: {' '.join(found.get('message', '').split())[:160]}"
