"""Pass on what a command prints while it prints it, and remember the end of it.

Who reads the end of a log alone, as CI's may show no more, has to find there what a failed step said.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import IO

_LINES = 80
_COLUMNS = 200
_KEPT = _LINES * 400
"""Bytes of which the last lines are taken."""
_PATIENCE = 5.0
"""Seconds for the rest after the command's end; what it left running may hold the pipe open for good."""


class Output:
    """Read a command's output to its end, beside the command, and print it as it comes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._end = b""
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    def _pass_on(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._end = (self._end + chunk)[-_KEPT:]
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()

    def last_lines(self) -> tuple[str, ...]:
        """Return the last lines that are not empty, each shortened, once the command has ended."""
        self._reader.join(_PATIENCE)
        lines = self._end.decode(errors="replace").splitlines()
        return tuple(line[:_COLUMNS] for line in lines if line.strip())[-_LINES:]
