"""Make the programs where they are not there yet, and say where they are: `python -m tests.api`."""

from __future__ import annotations

import sys

from tests.api import build
from tests.lab import LabError


def main() -> int:
    """Return the exit code."""
    try:
        print(f"kubernetes: {build.ensure()}", flush=True)
    except LabError as error:
        print(f"kubernetes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
