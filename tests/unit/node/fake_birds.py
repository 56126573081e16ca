"""Real processes that look like BIRD: with its name, Calico's command line, a control socket, and any CPU share."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# BIRD 1.6.8's own words, shortened: an established peer with graceful restart (another says what its caps are).
PEER = """1002-{name}   BGP      master   up     04:00:07    Established
1006-  Preference:     100
   BGP state:          Established
     Neighbor address: 10.9.0.2
     Neighbor caps:    refresh enhanced-refresh {caps}AS4
     Session:          internal multihop AS4

"""
STATUS = """1000-BIRD 1.6.8
1011-Router ID is 10.9.0.1
 Current server time is 2026-11-26 03:58:53
{extra}0013 Daemon is up and running
"""
INTERFACES = "2005-interface state address\n1005-lo        up    10.9.0.1/32\n eth0      up    10.9.0.2/24\n0000 \n"
RECOVERING = "0024-Graceful restart recovery in progress\n   Waiting for 2 protocols to recover\n"


def replies(*peers: str, extra: str = "") -> str:
    """Return what BIRD answers after its greeting; ``peers`` are the capabilities of each ('restart-able ')."""
    blocks = "".join(PEER.format(name=f"Mesh_{number}", caps=caps) for number, caps in enumerate(peers))
    head = "2002-name     proto    table    state  since       info\n1002-device1  Device   master   up     04:00:03\n"
    return f"{INTERFACES}{head}1006-  Preference:     240\n{blocks}0000 \n{STATUS.format(extra=extra)}"


# argv: what comes before the words of BIRD is for this program, which the kernel nevertheless calls "bird".
_PROGRAM = """
import os, socket, sys, threading, time
busy, folder = float(sys.argv[1]), sys.argv[2]
try:
    os.nice(-19)  # other tests run on the same cores
except PermissionError:
    pass
path = sys.argv[sys.argv.index("-s") + 1]
def serve():
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(8)
        while True:
            peer, _ = listening.accept()
            if os.path.exists(folder + "/silent"):
                open(folder + "/hangs", "w").close()
                time.sleep(60)
            with peer:
                peer.sendall(b"0001 BIRD 1.6.8 ready.\\n")
                peer.recv(1000)
                peer.sendall(open(folder + "/replies", "rb").read())
                peer.recv(1)
if os.path.exists(folder + "/replies"):
    threading.Thread(target=serve, daemon=True).start()
while True:
    if os.path.exists(folder + "/calm"):
        time.sleep(0.1)
        continue
    until = time.monotonic() + 0.02 * busy
    while time.monotonic() < until:
        pass
    time.sleep(0.02 * (1 - busy) if busy < 1 else 0.0005)
"""


class Birds:
    """Starts them, in a folder of their own with a short name, and ends what it started.

    The folder holds what they say (``replies``) and how they are: ``calm`` and ``silent`` are files that may be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.say(replies("restart-able "))
        for name in ("bird", "bird6"):
            (folder / name).symlink_to(os.path.realpath(sys.executable))

    def say(self, text: str) -> None:
        (self.folder / "replies").write_text(text)

    def mark(self, name: str, there: bool = True) -> None:
        (self.folder / name).touch() if there else (self.folder / name).unlink()

    def socket(self, name: str = "bird") -> str:
        return str(self.folder / f"{name}.ctl")

    def listens(self, name: str = "bird") -> bool:
        """Whether its socket takes connections: the file is there a moment before."""
        entries = Path("/proc/net/unix").read_text().splitlines()
        accepts = "00010000"  # SO_ACCEPTCON, in the kernel's include/linux/net.h
        return any(entry.endswith(f" {self.socket(name)}") and entry.split()[3] == accepts for entry in entries)

    def start(
        self, name: str = "bird", busy: float = 1.0, control: str | None = None, supervised: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start one with this control socket (Calico's when none is given), with ``supervised`` anew when it ends."""
        words = [str(self.folder / name), "-c", _PROGRAM, str(busy), str(self.folder)]
        words += ["-R", "-s", control or self.socket(name), "-d"]
        if supervised:
            words = ["sh", "-c", 'while :; do "$@"; done', "runsv", *words]
        process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def child(self, supervisor: subprocess.Popen[bytes]) -> int:
        """Return the process that a supervisor has started by now."""

        def pids() -> list[int]:
            path = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
            children = [int(pid) for pid in path.read_text().split()]
            return [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip().startswith("bird")]

        wait_for(lambda: bool(pids()))
        return pids()[0]

    def end(self) -> None:
        for process in self.started:
            # each is the leader of its own group
            if process.poll() is None or process.args[0] == "sh":  # type: ignore[index]
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(done: Callable[[], bool], patience: float = 20.0) -> None:
    """Wait until something is so; fail where it is not in time."""
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """Return what a process has used, by other means than the daemon's."""
    return time.clock_gettime((~pid << 3) | 2)  # its CPU clock, as clock_getcpuclockid(3) numbers it
