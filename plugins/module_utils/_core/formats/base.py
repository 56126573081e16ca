# Private to the collection nodeward.calico: may change in any release.
"""What all formats share: a pure pair of functions on the text of a file that we do not own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Format:
    """``get(text, key)`` returns a value as it is written, None where there is no such key.

    ``put(text, key, value)`` returns the text with that one key set, or without it for None, and everything
    else as it was; putting back what ``get`` returned before gives the old text. Both raise UnsureError.
    """

    get: Callable[[str, str], str | None]
    put: Callable[[str, str, str | None], str]


class UnsureError(Exception):
    """A text that may not mean what it seems to mean, so it is not touched. ``line`` counts from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what, line)
        self.what = what
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"
