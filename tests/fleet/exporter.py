"""A real node-exporter, Debian's, on a node of the lab."""

from __future__ import annotations

import re
import subprocess

from tests.lab import Lab, bird
from tests.prometheus import programs

_URL = "http://127.0.0.1:9100/metrics"
_GET = f"python3 -c 'import urllib.request; print(urllib.request.urlopen(\"{_URL}\").read().decode())'"


def install(lab: Lab, node: str) -> None:
    """Install Debian's package, as a person would."""
    with programs.exporter().open("rb") as package:
        subprocess.run([*lab.ssh_command(node), "cat > /tmp/exporter.deb"], stdin=package, check=True, timeout=60)
    lab.run(node, "dpkg --install /tmp/exporter.deb; rm /tmp/exporter.deb")


def metrics(lab: Lab, node: str) -> str:
    """Return what the exporter of a node gives, once it gives something."""
    bird.until(lambda: lab.run(node, _GET, check=False).returncode == 0, f"the metrics of {node}")
    return lab.run(node, _GET).stdout


def threads(lab: Lab, node: str) -> float:
    """Return the threads of a node, as its exporter counts them."""
    found = re.search(r"^node_processes_threads (\S+)$", metrics(lab, node), re.MULTILINE)
    assert found
    return float(found[1])
