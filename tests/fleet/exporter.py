"""A real node-exporter, Debian's, on a node of the lab."""

from __future__ import annotations

import hashlib
import re
import subprocess

from tests.lab import Lab, bird
from tests.prometheus import programs

ARCHIVE = "/srv/archive"
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


def offer(lab: Lab, node: str) -> None:
    """Have the node's apt know the package, of an archive on its own disk: nodes reach no other."""
    deb = programs.exporter()
    fields = subprocess.run(["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True, timeout=60)
    with deb.open("rb") as package:
        digest = hashlib.file_digest(package, "sha256").hexdigest()
        package.seek(0)
        copy = f"mkdir -p {ARCHIVE} && cat > {ARCHIVE}/{deb.name}"
        subprocess.run([*lab.ssh_command(node), copy], stdin=package, check=True, timeout=60)
    where = f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}"
    listed = f"deb [trusted=yes] file:{ARCHIVE} ./"
    lab.run(node, f"cat > {ARCHIVE}/Packages <<'END'\n{fields.stdout.strip()}\n{where}\n\nEND")
    lab.run(node, f"echo '{listed}' > /etc/apt/sources.list; apt-get update")
