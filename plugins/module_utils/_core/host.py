# Private to the collection nodeward.calico: may change in any release.
"""The host port: beside netlink and the HTTP clients, the only file that touches the world."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Callable, Protocol

from . import echo as icmp
from . import io_priority, lock, netlink
from .errors import NodewardError
from .files import (
    BYTES_SURVIVE,
    ENCODING,
    make_folder,
    nearest,
    remove_durably,
    remove_folder_durably,
    why_not_writable,
    write_atomically,
    write_stream,
)
from .http import Answer, Request, send, stream
from .links import Link, Network

# Bytes; nothing we read comes near, and what is larger or has no end must not take the node's memory.
LARGEST_FILE = 16 * 1024 * 1024
PIECE = 64 * 1024

# One that ended, and that nobody asked how yet, has no mounts: EINVAL (fs/proc_namespace.c, mounts_open_common).
MOUNTS_OF_A_PROCESS = re.compile(r"/proc/[0-9]+/mount(info|s)")

# Seconds for one command; systemd itself gives up on a unit after 90 (DefaultTimeoutStartSec=).
COMMAND_PATIENCE = 150
TIMED_OUT = 124  # the exit status of timeout(1) then

# AnsibleModule.run_command: (return code, stdout, stderr)
RunCommand = Callable[[list[str]], tuple[int, str, str]]


class UnfinishedError(NodewardError):
    """A command that could not be started, or was ended as it took too long. Quotes nothing that it printed."""


class Host(Protocol):
    """What observe and the verbs may ask of a node. All paths are absolute."""

    def read_text(self, path: str) -> str | None:
        """Return the text of a file (undecodable bytes as surrogates), None where there is none.

        Raises OSError for what is no file, such as a FIFO, or too large.
        """

    def read_end(self, path: str, size: int) -> str:
        """Return the last ``size`` bytes of a file, whole lines, '' where there is none. Raises as read_text does."""

    def list_folder(self, path: str) -> list[str]:
        """Return the sorted names in a folder, [] where there is none."""

    def is_folder(self, path: str) -> bool:
        """Tell whether there is a folder of this name."""

    def link_target(self, path: str) -> str | None:
        """Return where a symbolic link points, None when ``path`` is none."""

    def modified(self, path: str) -> float | None:
        """Return when a file was last written, in seconds since 1970, None where there is none."""

    def link_made(self, path: str) -> float | None:
        """Return when a symbolic link itself was made, in seconds since 1970, None where there is none."""

    def is_writable(self, path: str) -> bool:
        """Tell whether an existing file can be written (False on a read-only file system)."""

    def why_not_writable(self, path: str, size: int) -> str:
        """Say why ``size`` bytes could not be written to ``path``, '' when they could."""

    def page_size(self) -> int:
        """Return the memory page size in bytes."""

    def machine(self) -> str:
        """Return the kernel's hardware name, as ``uname -m`` prints it."""

    def interpreter(self) -> str:
        """Return the path of the Python that runs this, by the name that outlives its next version."""

    def write_file(self, path: str, text: str, mode: int) -> None:
        """Write a whole file, durably, old or new at any moment. Raises OSError."""

    def remove_file(self, path: str) -> None:
        """Remove a file if it is there. Raises OSError."""

    def make_folder(self, path: str) -> None:
        """Make a folder (mode 0755) if it is not there. Raises OSError."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder if it is there. Raises OSError."""

    def write_value(self, path: str, value: str) -> None:
        """Write one value into a file of the kernel (/proc/sys, /sys). Raises OSError."""

    def io_priority(self, thread: int) -> int | None:
        """Return the I/O priority of a thread (ioprio_get(2)), None where it has ended or nothing tells."""

    def set_io_priority(self, thread: int, value: int) -> None:
        """Set the I/O priority of a thread; one that has ended needs none. Raises OSError."""

    def wall_clock(self) -> float:
        """Return the time in seconds since 1970."""

    def run(self, command: Sequence[str], patience: float = COMMAND_PATIENCE) -> str:
        """Return what a command printed.

        Raises NodewardError when it fails, and of that UnfinishedError when it is not through in ``patience`` seconds.
        """

    def send_http(self, request: Request) -> Answer:
        """Send a request. Raises NodewardError where nobody answers."""

    def stream(self, request: Request) -> Iterator[bytes]:
        """Send a request and yield the lines of its answer as they come. Raises NodewardError."""

    def write_stream(self, path: str, pieces: Iterable[bytes], mode: int) -> None:
        """Write what comes into a new file, durably; nothing is left of one that breaks off. Raises OSError."""

    def pieces(self, path: str) -> Iterator[bytes]:
        """Yield what is in a file, of any size. Raises OSError."""

    def free_space(self, path: str) -> int:
        """Return the bytes that are free where a folder is, or would be."""

    def disk(self, path: str) -> int:
        """Return the number of the file system that a folder is on, or would be."""

    def echo(self, address: str, size: int, patience: float) -> str:
        """Send one ICMP echo that may not be cut into pieces: see echo.echo(). Raises NodewardError, OSError."""

    def clock(self) -> float:
        """Return seconds from any moment on."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def network(self) -> Network:
        """Return all links, addresses and default routes. Raises MissingPackageError, OSError."""

    def link(self, name: str, peer: bool = False) -> Link | None:
        """Return one link, or its other end in a pod, None where there is none. Raises as network() does."""

    def set_link_mtu(self, name: str, mtu: int, peer: bool = False) -> None:
        """Set the MTU of a link, or of its other end in a pod. Raises as network() does."""


class LocalHost:
    """The node that this code runs on; below ``root`` in tests.

    Commands run by ``run_command``, which raises OSError where a program cannot be started.
    """

    def __init__(self, root: str = "/", run_command: RunCommand | None = None) -> None:
        self._root = root
        self._run_command = run_command

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def read_text(self, path: str) -> str | None:
        # A process or a cgroup may end, and its files vanish, between listing, opening and reading.
        gone = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ESRCH, errno.ENODEV)
        try:
            with open(self._path(path), "rb", opener=_without_waiting) as stream:
                return _all_of(stream, path).decode(ENCODING, BYTES_SURVIVE)
        except OSError as error:
            has_ended = error.errno == errno.EINVAL and MOUNTS_OF_A_PROCESS.fullmatch(path)
            if error.errno in gone or has_ended:
                return None
            raise OSError(error.errno, error.strerror, path) from error  # reading alone does not name it

    def read_end(self, path: str, size: int) -> str:
        try:
            with open(self._path(path), "rb", opener=_without_waiting) as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "it is no regular file", path)
                start = max(stream.seek(0, os.SEEK_END) - size, 0)
                stream.seek(start)
                text = stream.read(size).decode(ENCODING, BYTES_SURVIVE)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return ""
        return text.partition("\n")[2] if start else text

    def list_folder(self, path: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(self._path(path)))
        return []

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(self._path(path))

    def link_target(self, path: str) -> str | None:
        # EINVAL: it is no link. A process, and the links below it in /proc, may end at any moment.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ProcessLookupError):
            try:
                return os.readlink(self._path(path))
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
        return None

    def modified(self, path: str) -> float | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.stat(self._path(path)).st_mtime
        return None

    def link_made(self, path: str) -> float | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(self._path(path)).st_mtime
        return None

    def is_writable(self, path: str) -> bool:
        return os.access(self._path(path), os.W_OK)

    def why_not_writable(self, path: str, size: int) -> str:
        return why_not_writable(self._path(path), size)

    def page_size(self) -> int:
        return os.sysconf("SC_PAGE_SIZE")

    def machine(self) -> str:
        return os.uname().machine

    def interpreter(self) -> str:
        # a virtualenv may be made for one run: the one that it was made with stays
        usual, own = "/usr/bin/python3", getattr(sys, "_base_executable", sys.executable)
        return usual if os.path.realpath(usual) == os.path.realpath(own) else own

    def python(self) -> tuple[int, int]:
        """Return the version of the Python that runs this."""
        return sys.version_info[:2]

    def is_root(self) -> bool:
        """Tell whether this process may change the node."""
        return os.geteuid() == 0

    def write_file(self, path: str, text: str, mode: int) -> None:
        write_atomically(self._path(path), text, mode)

    def remove_file(self, path: str) -> None:
        remove_durably(self._path(path))

    def make_folder(self, path: str) -> None:
        make_folder(self._path(path))

    def remove_folder(self, path: str) -> None:
        remove_folder_durably(self._path(path))

    def run(self, command: Sequence[str], patience: float = COMMAND_PATIENCE) -> str:
        words = " ".join(command)
        if self._run_command is None:
            raise NodewardError(what="no command may be run here", where=words, remedy="Run it on the node")
        try:
            code, output, errors = self._run_command(["timeout", "--kill-after=5", f"{patience:g}", *command])
        except OSError as error:
            raise UnfinishedError(
                what=f"the command cannot be started: {error.strerror or error}",
                where=words,
                remedy="Run it on the node; where no process can start, see what holds the process ids",
            ) from error
        if code == TIMED_OUT:
            raise UnfinishedError(
                what=f"the command was ended, as it took more than {patience:g} s",
                where=words,
                remedy="Run it on the node and see what it waits for, then run again",
            )
        if code != 0:
            told = " ".join((errors or output).split()) or "it said nothing"
            raise NodewardError(
                what=f"the command ended with {code}: {_both_ends(told)}",
                where=words,
                remedy="Run it on the node and mend what it names, then run again",
            )
        return output

    def send_http(self, request: Request) -> Answer:
        return send(request)

    def stream(self, request: Request) -> Iterator[bytes]:
        return stream(request)

    def write_stream(self, path: str, pieces: Iterable[bytes], mode: int) -> None:
        write_stream(self._path(path), pieces, mode)

    def pieces(self, path: str) -> Iterator[bytes]:
        with open(self._path(path), "rb") as stream:
            yield from iter(lambda: stream.read(2**20), b"")

    def free_space(self, path: str) -> int:
        state = os.statvfs(nearest(self._path(path)))
        return state.f_bavail * state.f_frsize

    def disk(self, path: str) -> int:
        return os.stat(nearest(self._path(path))).st_dev

    def echo(self, address: str, size: int, patience: float) -> str:
        return icmp.echo(address, size, patience)

    def clock(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wall_clock(self) -> float:
        return time.time()

    def io_priority(self, thread: int) -> int | None:
        with contextlib.suppress(ProcessLookupError):
            return io_priority.get(thread, self.machine()) if io_priority.is_known(self.machine()) else None
        return None

    def set_io_priority(self, thread: int, value: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            io_priority.put(thread, value, self.machine())

    def network(self) -> Network:
        return netlink.read()

    def link(self, name: str, peer: bool = False) -> Link | None:
        return netlink.link(name, peer)

    def set_link_mtu(self, name: str, mtu: int, peer: bool = False) -> None:
        if peer:
            netlink.set_other_mtu(name, mtu)
        else:
            netlink.set_mtu(name, mtu)

    def write_value(self, path: str, value: str) -> None:
        with open(self._path(path), "wb", buffering=0) as stream:
            stream.write(value.encode(ENCODING))

    def lock(self, patience: float = lock.PATIENCE) -> contextlib.AbstractContextManager[None]:
        """Keep other runs of this collection off the node; waits up to ``patience`` seconds."""
        return lock.held(self._path(lock.LOCK), patience)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO would otherwise wait for its writer, and the whole run with it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _all_of(stream: BinaryIO, path: str) -> bytes:
    state = os.fstat(stream.fileno())
    if not stat.S_ISREG(state.st_mode) and state.st_rdev != os.stat(os.devnull).st_rdev:
        raise OSError(errno.EINVAL, "it is no regular file", path)
    content = bytearray()
    # piecemeal: files of /proc/sys refuse to be read by the megabyte
    while piece := stream.read(PIECE):
        content += piece
        if len(content) > LARGEST_FILE:
            raise OSError(errno.EFBIG, f"it is larger than {LARGEST_FILE} bytes", path)
    return bytes(content)


def _both_ends(told: str) -> str:
    """Return what a command said, the middle of it left out where it is long: Python names the cause last."""
    return told if len(told) <= 500 else f"{told[:200]} ... {told[-300:]}"
