"""What the daemon of bird_watchdog costs on a node with many processes: `python -m tests.bench`.

Two daemons are measured, with both BIRDs there and with none (then it looks for them). The exit code is 1 when one
costs more than it may.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_files import program

from tests.unit.node.fake_birds import Birds, cpu_seconds, wait_for

PROCESSES = 5000
SECONDS = 60.0
SETTLED = 35.0  # seconds after a start; its two looks at every process are over
MOST_CPU, MOST_MEMORY = 0.1, 20.0  # percent of a core, MB


def start(folder: Path, sockets: Path) -> subprocess.Popen[bytes]:
    """Start a daemon with its defaults but for the places of its files."""
    folder.mkdir()
    places = {name: str(folder / name) for name in ("events", "metrics")}
    (folder / "config").write_text(json.dumps({**places, "sockets": str(sockets)}))
    (folder / "daemon.py").write_text(program())
    return subprocess.Popen([sys.executable, "-I", "-S", str(folder / "daemon.py"), str(folder / "config")])


def memory(pid: int) -> float:
    """Return the resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def main() -> int:
    """Return the exit code."""
    sleeping = [os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ) for _ in range(PROCESSES)]
    watchdogs: dict[str, subprocess.Popen[bytes]] = {}
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        birds = Birds(Path(folder))
        try:
            for name in ("bird", "bird6"):
                birds.start(name, busy=0.02)
                wait_for(Path(birds.socket(name)).exists)
            watchdogs["both BIRDs"] = start(birds.folder / "both", birds.folder)
            watchdogs["no BIRD"] = start(birds.folder / "none", birds.folder / "none")
            for each in ("both", "none"):
                wait_for((birds.folder / each / "metrics").exists)
            return measure(watchdogs)
        finally:
            for process in watchdogs.values():
                process.terminate()
                process.wait()
            birds.end()
            for pid in sleeping:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def measure(watchdogs: dict[str, subprocess.Popen[bytes]]) -> int:
    """Print what they cost; return 1 when one costs too much."""
    time.sleep(SETTLED)
    before = {name: cpu_seconds(process.pid) for name, process in watchdogs.items()}
    begin = time.monotonic()
    time.sleep(SECONDS)
    took, code = time.monotonic() - begin, 0
    for name, process in watchdogs.items():
        cpu = 100 * (cpu_seconds(process.pid) - before[name]) / took
        resident = memory(process.pid)
        good = cpu <= MOST_CPU and resident <= MOST_MEMORY
        code = code if good else 1
        print(
            f"bird_watchdog, {PROCESSES} processes, {took:.0f} s, {name}: {cpu:.3f} % of a core (at most {MOST_CPU}), "
            f"{resident:.1f} MB resident (at most {MOST_MEMORY:.0f}){'' if good else ': TOO MUCH'}",
            flush=True,
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
