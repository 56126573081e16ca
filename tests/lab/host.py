"""What every part of the lab does to this machine: run a command, take a lock, write a file, read the mounts."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

# Where the labs of all checkouts of this machine know of each other; short, because ssh's control sockets
# live below it (a unix socket's path holds 108 characters) and private, for the same reason.
RUN = Path("/run/nodeward-lab")

PACKAGE_OF = {
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}


class LabError(Exception):
    """Something the lab cannot do; the message says what, where, and what to do about it."""


def require(*tools: str) -> None:
    """Refuse early, before anything is touched, where a tool or the rights are missing."""
    if os.geteuid() != 0:
        raise LabError(
            "the lab makes mounts, network namespaces and containers: run it as root (you are not root here)"
        )
    require_tools(*tools)


def require_tools(*tools: str) -> None:
    """Refuse where a tool is missing, and name the packages that have it."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({PACKAGE_OF[tool] for tool in missing}))
        raise LabError(f"missing on this machine: {', '.join(missing)}. Do: apt-get install {packages}")


def run(
    command: Sequence[str], *, timeout: float = 60, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a short command that changes this machine, and wait for it; timeout in seconds.

    close_fds=False lets the command inherit the lab's lock (the only inheritable descriptor we have):
    when we are killed half-way, whoever cleans up waits until the command has ended as well.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            check=False, close_fds=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {timeout:g} s: {' '.join(command)}") from error
    except FileNotFoundError as error:
        raise LabError(f"cannot run {command[0]}: {error}") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-1000:]}")
    return done


@contextlib.contextmanager
def locked(path: Path, what: str, timeout: float = 300) -> Iterator[None]:
    """Hold the exclusive lock `path` (made, with its folder, when it is not there).

    The holder may remove the file to leave nothing behind: a lock counts only while its path still names it.
    """
    deadline = time.monotonic() + timeout
    while True:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # the folder went again in between: once more
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _take(fd, path):
                break
            os.close(fd)
        if time.monotonic() > deadline:
            holder = path.read_text().strip() if path.exists() else ""
            raise LabError(
                f"{what} is in use by another process ({holder or 'unknown'}) since {timeout:g} s; lock: {path}"
            )
        time.sleep(0.05)
    try:
        os.ftruncate(fd, 0)
        os.write(fd, f"pid {os.getpid()}\n".encode())
        os.set_inheritable(fd, True)
        yield
    finally:
        os.close(fd)


def _take(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a whole file, so that a reader (or a later run, after a crash) sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.chmod(mode)
    beside.replace(path)


@dataclasses.dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo, as far as the lab cares."""

    target: str
    kind: str
    source: str
    options: str


def mounts() -> list[Mount]:
    """All mounts this process sees, in the order they were made."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, source, options = after.split(" ", 2)
        found.append(Mount(_unescape(before.split(" ")[4]), kind, _unescape(source), options))
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def unmount(target: str, patience: float = 3) -> None:
    """Unmount; where it stays busy (somebody's shell stands in it) detach it, after `patience` seconds."""
    deadline = time.monotonic() + patience
    while run(["umount", target], check=False).returncode != 0:
        if all(mount.target != target for mount in mounts()):
            return
        if time.monotonic() > deadline:
            run(["umount", "--lazy", target])
            return
        time.sleep(0.1)


def exit_status(act: Callable[[], None], program: str) -> int:
    """Run what a command line asks for: 0 done, 1 not done (stderr says why), 130 interrupted."""
    try:
        act()
    except LabError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
