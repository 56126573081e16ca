"""Print the table of faults, of pytest's reports: `python -m tests.faults REPORT...`."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.table import table


def main(paths: list[str]) -> int:
    """Return 1 where there is no report; whether tests failed, or none was chosen, is said by those who ran them."""
    there = [path for path in map(Path, paths) if path.is_file()]
    missing = sorted(set(paths) - set(map(str, there)))
    tests = [test for path in there for test in ElementTree.parse(path).iter("testcase")]  # noqa: S314  # pytest's own
    print(
        "\n".join([*table(tests), *(f"  {path}: not there: its tests did not come to their end" for path in missing)])
    )
    return 0 if there else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
