"""promtool, prometheus and Debian's package of node-exporter, below .cache: nothing is installed on this machine.

Installed, Debian's prometheus would start a service.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.api.archive import Archive
from tests.lab.host import locked
from tests.lab.image import SUITE

FOLDER = Path(__file__).resolve().parents[2] / ".cache/prometheus"
EXPORTER = "prometheus-node-exporter"
_LOCK_TIMEOUT = 600  # seconds that another download may take; 6 were measured


def promtool() -> Path:
    """The program that checks and tests rules."""
    return _made() / "root/usr/bin/promtool"


def prometheus() -> Path:
    return _made() / "root/usr/bin/prometheus"


def exporter() -> Path:
    """Debian's package of node-exporter, to be installed on a node of the lab."""
    [package] = (_made() / "packages").glob(f"{EXPORTER}_*.deb")
    return package


def _made() -> Path:
    made = FOLDER / SUITE
    if not made.is_dir():  # a finished one has its name by one rename
        FOLDER.mkdir(parents=True, exist_ok=True)
        with locked(FOLDER / ".lock", "the folder of Prometheus' programs", timeout=_LOCK_TIMEOUT):
            if not made.is_dir():
                _make(made)
    return made


def _make(made: Path) -> None:
    for remains in FOLDER.glob(".build-*"):
        shutil.rmtree(remains)
    folder = Path(tempfile.mkdtemp(prefix=".build-", dir=FOLDER))
    archive = Archive(folder / "apt", SUITE)
    archive.unpack(("prometheus",), folder / "root")
    archive.download((EXPORTER,), folder / "packages")
    shutil.rmtree(folder / "apt")
    folder.rename(made)
