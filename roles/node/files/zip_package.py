# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pack a pure-Python package that this Python has into a zip file to import from: zip_package.py NAME.

Prints the path of the file, which is the caller's to remove. Ends with 3 where there is no such package.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

NOT_HERE = 3


def main() -> int:
    """Return the exit code."""
    spec = find_spec(sys.argv[1])
    if spec is None or spec.origin is None:
        return NOT_HERE
    package = Path(spec.origin).parent
    descriptor, path = tempfile.mkstemp(prefix="nodeward-", suffix=".zip")
    with os.fdopen(descriptor, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.rglob("*.py")):
            archive.write(file, file.relative_to(package.parent))
    sys.stdout.write(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
