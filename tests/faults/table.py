"""The table of faults: what was tried, what survived it, and how many bytes are lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What came of one kind of fault, in one test; several tests may be one row of the table."""

    name: str
    tried: int = 0
    survived: int = 0
    bytes_lost: int | None = None  # None where nobody counted them
    unlike: list[str] = field(default_factory=list)

    def outcome(self, moment: str, unlike: list[str], bytes_lost: int | None) -> None:
        """Count what came of one try: what is not as after an undisturbed run, how much of what was there is gone."""
        self.survived += not unlike and not bytes_lost
        if bytes_lost is not None:
            self.bytes_lost = (self.bytes_lost or 0) + bytes_lost
        self.unlike += [f"{moment}: {line}" for line in unlike]


def table(faults: Iterable[Fault]) -> list[str]:
    """Return the lines of the table; those of one name are one row."""
    rows: dict[str, Fault] = {}
    for each in faults:
        row = rows.setdefault(each.name, Fault(each.name))
        row.tried += each.tried
        row.survived += each.survived
        if each.bytes_lost is not None:
            row.bytes_lost = (row.bytes_lost or 0) + each.bytes_lost
    lost = ["-" if row.bytes_lost is None else row.bytes_lost for row in rows.values()]
    lines = [
        f"{row.name:<58}  {row.tried:>5}  {row.survived:>8}  {its:>10}"
        for row, its in zip(rows.values(), lost, strict=True)
    ]
    return [f"{'fault':<58}  tried  survived  bytes lost", *lines]
