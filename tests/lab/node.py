"""One node: a disk, a network namespace, and systemd-nspawn that boots the one inside of the other."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import time
from pathlib import Path

from tests.lab import process, supervisor
from tests.lab.access import Access, answers, close_masters
from tests.lab.disk import Disk
from tests.lab.host import LabError, unmount, write
from tests.lab.network import Network

BOOT_TIMEOUT = 60  # seconds until ssh answers; 0.3 to 5 were measured
REUSE_TIMEOUT = 5  # seconds for a node that runs to answer, before it is booted again
GRACE = 8  # seconds for an orderly shutdown; 2 were measured
# Debian's package python3-pyroute2, as Python finds it
PYROUTE2 = tuple(f"usr/lib/python3/dist-packages/{name}" for name in ("pyroute2", "pr2modules"))


@dataclasses.dataclass(frozen=True)
class Node:
    """number counts from 1; folder holds console.log and process.json."""

    number: int
    folder: Path
    disk: Disk
    network: Network
    access: Access

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return self.network.address(self.number)

    @property
    def machine(self) -> str:
        return self.network.netns(self.number)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def running(self) -> process.Process | None:
        """nspawn's process: the recorded one, or one that a killed run had no time to record."""
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            recorded = process.Process(**json.loads((self.folder / "process.json").read_text()))
            if recorded.alive:
                return recorded
        return next(iter(process.with_argument(f"--machine={self.machine}")), None)

    def ensure(self) -> str:
        """Bring it up with the disk it has, if that is whole; says what it did: reused, started or created."""
        whole = self.disk.usable
        if whole and self.running:
            with contextlib.suppress(LabError):
                self._wait(REUSE_TIMEOUT)
                return "reused"
        self.halt(0 if not whole else GRACE)
        if not whole:
            self.make_disk()
        self.boot()
        return "started" if whole else "created"

    def make_disk(self) -> None:
        """A fresh one. The last of several nodes has no pyroute2, as some distributions have none."""
        last = self.number == len(self.access.addresses) > 1
        self.disk.create(self.access.node_files(self.name), PYROUTE2 if last else ())

    def boot(self) -> None:
        """Boot with the disk as it is, links made anew, and wait until ssh answers and the boot is through."""
        self.disk.mount()
        self.network.make_node(self.number)
        self._spawn()
        self._wait(BOOT_TIMEOUT)

    def _spawn(self) -> None:
        """Enter the network namespace before nspawn, not by its --network-namespace-path.

        That option mounts /sys first, and the node then reads the machine's links in /sys/class/net.
        """
        command = [
            "nsenter", f"--net={self.network.netns_path(self.number)}",
            "systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit", "--boot",
            f"--directory={self.disk.root}", f"--machine={self.machine}", f"--hostname={self.name}",
            "--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE",  # clock, modules: the machine's
            "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--setenv=SYSTEMD_COLORS=0",
        ]  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        supervisor.spawn(self.machine, command, self.console)
        started = process.with_argument(f"--machine={self.machine}")
        if started:
            write(self.folder / "process.json", json.dumps(dataclasses.asdict(started[0])) + "\n")

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not answers(self.address):
            if self.running is None:
                raise LabError(f"{self.name}: systemd-nspawn ended at once.{self._console_tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: no ssh on {self.address} after {timeout:g} s.{self._console_tail()}")
            time.sleep(0.03)
        # sshd greets before the last units are up; a node with a failed unit ("degraded") is up as well.
        state = self.run("systemctl is-system-running --wait", timeout=timeout)
        if state.stdout.strip() not in ("running", "degraded"):
            raise LabError(f"{self.name}: boot ended as {state.stdout or state.stderr!r}.{self._console_tail()}")

    def _console_tail(self) -> str:
        lines = self.console.read_text(errors="replace").splitlines()[-15:] if self.console.exists() else []
        return f" Last lines of {self.console}:\n" + "\n".join(lines)

    def halt(self, grace: float) -> None:
        """End all its processes (orderly within `grace` seconds, then not) and remove its links."""
        halt(self.machine, grace)
        close_masters(self.network.lab_id, self.address)
        self.network.remove_node(self.number)
        (self.folder / "process.json").unlink(missing_ok=True)

    def run(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a shell command over ssh; timeout in seconds."""
        ssh = ["ssh", "-F", str(self.access.config), self.name, command]
        try:
            return subprocess.run(
                ssh, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name}: no end after {timeout:g} s: {command}") from error


def halt(machines: str, grace: float) -> None:
    """End the machines whose name matches this pattern, and all that they leave on the machine when killed.

    nspawn takes SIGTERM for "shut down in order". Killed, it leaves its container running: the processes in
    it are found by their control group, which carries the machine's name (as a service: with a suffix).
    """
    process.end(lambda: process.with_argument(f"--machine={machines}"), grace)
    process.end(lambda: process.in_group(machines, f"{machines}-*.service"), grace=0)
    supervisor.remove(machines)
    for folder in Path("/run/systemd/nspawn/propagate").glob(machines):
        unmount(str(folder))
        with contextlib.suppress(OSError):
            folder.rmdir()
