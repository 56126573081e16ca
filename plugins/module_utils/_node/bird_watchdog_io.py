# Private to the collection nodeward.calico: may change in any release.
"""What the watchdog of bird_watchdog does to the world, a step each: /proc, the control sockets, signals, its files.

A part of the program that a node gets, see bird_watchdog_files.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import sys
import time
from typing import Any, Callable

from .bird_watchdog_decision import FOREIGN, SILENT, UNREACHABLE, Answer, Config, Process, Sample
from .bird_watchdog_reading import links, measure, parse, understand, wrong

PATIENCE = 2.0  # seconds for all answers of a control socket
LARGEST_EVENTS = 1 << 20  # bytes of the file of events before it is put aside as FILE.1
BAD_CONFIG = (OSError, ValueError, TypeError, RecursionError)
LARGEST_FILE = 8 << 20  # bytes that are read; the links of a node with 5,000 take half a megabyte
LARGEST_ANSWER = 8 << 20  # bytes; 50,000 interfaces make 3 MB


def clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(path: str) -> str:
    """By system calls, at half of what a stream costs. A pipe in the place of a file is not waited for.

    Of what has no end, such as a device, it is the beginning.
    """
    handle, left = os.open(path, os.O_RDONLY | os.O_NONBLOCK), LARGEST_FILE
    parts: list[bytes] = []
    try:
        while left > 0 and (part := os.read(handle, 1 << 16)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts).decode("utf-8", "replace")
    finally:
        os.close(handle)


def read_some(path: str) -> str:
    """Return '' for what cannot be read, or is gone meanwhile."""
    with contextlib.suppress(OSError):
        return read(path)
    return ""


def read_end(path: str) -> list[str]:
    """Return the lines of a file of events, the last ones where it grew too large; [] for what is no such file."""
    with contextlib.suppress(OSError), open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode):
            start = stream.seek(max(0, status.st_size - 2 * LARGEST_EVENTS))
            lines = stream.read(2 * LARGEST_EVENTS).decode("utf-8", "replace").splitlines()
            return lines[1:] if start else lines
    return []


def read_config(path: str) -> Config:
    """Raises BAD_CONFIG, see one_line()."""
    given = {**json.loads(read(path))}
    for key, what in wrong({**Config()._asdict(), **given}):
        raise ValueError(f"{key}: {what}")
    return Config(**given)


def one_line(path: str, error: Exception) -> str:
    return "".join(each if each.isprintable() else "?" for each in f"{path}: {error}"[:300])


def sample(config: Config, pid: int, cpu: float) -> Sample:
    return measure(clock(), cpu, f"{config.proc}/{pid}", read_some, config.groups)


def look(config: Config, pid: int) -> tuple[Process, float] | None:
    """Return what parse() does, None for what is gone as well."""
    try:
        return parse(pid, read(f"{config.proc}/{pid}/stat"), read(f"{config.proc}/{pid}/cmdline"), config.sockets)
    except OSError:
        return None


def owns(process: Process, proc: str) -> bool:
    """Tell whether Calico's socket is of this process, without a connection, which one that hangs does not take."""
    folder = f"{proc}/{process.pid}"
    try:
        # the names of sockets are those within its container; the file has to be this node's
        if not os.path.samefile(f"{folder}/root{process.control}", process.control):
            return False
        pattern = rf" (\d+) {re.escape(process.control)}$"
        sockets = {f"socket:[{number}]" for number in re.findall(pattern, read(f"{folder}/net/unix"), re.MULTILINE)}
        return any(os.readlink(f"{folder}/fd/{each}") in sockets for each in os.listdir(f"{folder}/fd"))
    except OSError:
        return False


def ask(process: Process, proc: str = "/proc") -> Answer:
    """Ask BIRD what a kill would harm; an answer, or a full queue of its own, proves that the socket is its own."""
    deadline, text = time.monotonic() + PATIENCE, bytearray()
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE)
            control.connect(process.control)
            listener = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4]
            if int.from_bytes(listener, sys.byteorder) != process.pid:
                return Answer(FOREIGN)
            control.sendall(b"show interfaces summary\nshow protocols all\nshow status\n")
            while not re.search(rb"^0013 .*\n\Z", text[-99:], re.MULTILINE):  # the end of the status
                left = deadline - time.monotonic()
                if left <= 0:
                    return Answer(SILENT)
                control.settimeout(left)
                piece = control.recv(1 << 18)
                text += piece
                if not piece or len(text) > LARGEST_ANSWER:
                    return Answer(UNREACHABLE)
    except socket.timeout:
        return Answer(SILENT)
    except OSError as error:
        return Answer(SILENT if isinstance(error, BlockingIOError) and owns(process, proc) else UNREACHABLE)
    return understand(text.decode("utf-8", "replace"))


def evidence(config: Config, process: Process, answer: Answer) -> dict[str, Any]:
    """Return what a person would want to know afterwards, as far as it can be had."""
    facts: dict[str, Any] = {"peers": " ".join(answer.unaware)[:2000]}  # a datagram to the journal has an end
    if answer.interfaces is not None:
        facts["interfaces"] = answer.interfaces
    with contextlib.suppress(OSError):
        folder = f"{config.proc}/{process.pid}/net"
        facts.update(links(read(f"{folder}/dev"), read(f"{folder}/igmp")))
    import subprocess  # noqa: PLC0415 - megabytes that are needed a few times a year

    script = "perf record -q -F 99 -e cpu-clock:u -o - -p $1 -- sleep 1 | perf report -q --stdio -s sym -i -"
    command = ["timeout", "-s", "KILL", "5", "sh", "-c", script, "sh", str(process.pid)]
    with contextlib.suppress(OSError):
        # a group of its own, which timeout ends as a whole; our signals are blocked, theirs must not be
        done = subprocess.run(
            command,
            capture_output=True,
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()),
            check=False,
        )
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        facts["symbols"] = ", ".join(" ".join(line.split()) for line in lines if "%" in line)[:300]
    return facts


def kill(config: Config, process: Process, open_handle: Callable[[int], int] | None) -> str:
    """Kill this process and no other that may have its id by now; return what went wrong, '' for nothing.

    ``open_handle`` is os.pidfd_open; without it, or before Linux 5.3, the id has to do.
    """
    handle = -1
    with contextlib.suppress(OSError):
        handle = open_handle(process.pid) if open_handle else -1
    try:
        found = look(config, process.pid)
        if found is None or found[0] != process:
            return "it is gone"
        number = signal.Signals[f"SIG{config.signal}"]
        os.kill(process.pid, number) if handle < 0 else signal.pidfd_send_signal(handle, number)
        return ""
    except OSError as error:
        return str(error)
    finally:
        if handle >= 0:
            os.close(handle)


def send(address: str, text: str) -> None:
    """Send a datagram to a socket of systemd; nobody may be there, or read."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
        stream.settimeout(PATIENCE)
        stream.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)


def append(path: str, line: str) -> None:
    """Write a line to the file of events, on its own even where a full disk cut the last one off. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(path).st_size > LARGEST_EVENTS:
            os.replace(path, f"{path}.1")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW, 0o640)
    with open(handle, "rb+", buffering=0) as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        is_cut = status.st_size and os.pread(handle, 1, status.st_size - 1) != b"\n"
        stream.write(b"\n" * bool(is_cut) + line.encode() + b"\n")


def put(path: str, text: str) -> None:
    """Write a file whole, in a folder that somebody else may own. Raises OSError."""
    staged = f"{path}.new"
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError("it is no regular file")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as stream:
        os.fchmod(stream.fileno(), 0o644)  # whatever the umask
        stream.write(text)
    os.replace(staged, path)
