# Private to the collection nodeward.calico: may change in any release.
"""The host port: beside netlink and the HTTP clients, the only file that touches the world."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from .errors import NodewardError
from .files import BYTES_SURVIVE, ENCODING, remove_durably, why_not_writable, write_atomically

LOCK = "/run/nodeward.lock"
LOCK_PATIENCE = 60.0  # seconds; an apply takes well under one
LOCK_INTERVAL = 0.2  # seconds

# Bytes; nothing we read comes near, and what is larger or has no end must not take the node's memory.
LARGEST_FILE = 16 * 1024 * 1024
PIECE = 64 * 1024


class Host(Protocol):
    """What observe and the verbs may ask of a node. All paths are absolute."""

    def read_text(self, path: str) -> str | None:
        """Return the text of a file (undecodable bytes as surrogates), None where there is none.

        Raises OSError for what is no file, such as a FIFO, or too large.
        """

    def list_folder(self, path: str) -> list[str]:
        """Return the sorted names in a folder, [] where there is none."""

    def link_target(self, path: str) -> str | None:
        """Return where a symbolic link points, None when ``path`` is none."""

    def is_writable(self, path: str) -> bool:
        """Tell whether an existing file can be written (False on a read-only file system)."""

    def why_not_writable(self, path: str, size: int) -> str:
        """Say why ``size`` bytes could not be written to ``path``, '' when they could."""

    def page_size(self) -> int:
        """Return the memory page size in bytes."""

    def machine(self) -> str:
        """Return the kernel's hardware name, as ``uname -m`` prints it."""

    def write_file(self, path: str, text: str, mode: int) -> None:
        """Write a whole file, durably, old or new at any moment. Raises OSError."""

    def remove_file(self, path: str) -> None:
        """Remove a file if it is there. Raises OSError."""

    def write_value(self, path: str, value: str) -> None:
        """Write one value into a file of the kernel (/proc/sys, /sys). Raises OSError."""


class LocalHost:
    """The node that this code runs on; below ``root`` in tests."""

    def __init__(self, root: str = "/") -> None:
        self._root = root

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def read_text(self, path: str) -> str | None:
        # A process or a cgroup may end, and its files vanish, between listing, opening and reading.
        gone = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ESRCH, errno.ENODEV)
        try:
            with open(self._path(path), "rb", opener=_without_waiting) as stream:
                return _all_of(stream, path).decode(ENCODING, BYTES_SURVIVE)
        except OSError as error:
            if error.errno in gone:
                return None
            raise OSError(error.errno, error.strerror, path) from error  # reading alone does not name it

    def list_folder(self, path: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(self._path(path)))
        return []

    def link_target(self, path: str) -> str | None:
        return os.readlink(self._path(path)) if os.path.islink(self._path(path)) else None

    def is_writable(self, path: str) -> bool:
        return os.access(self._path(path), os.W_OK)

    def why_not_writable(self, path: str, size: int) -> str:
        return why_not_writable(self._path(path), size)

    def page_size(self) -> int:
        return os.sysconf("SC_PAGE_SIZE")

    def machine(self) -> str:
        return os.uname().machine

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

    def write_value(self, path: str, value: str) -> None:
        with open(self._path(path), "wb", buffering=0) as stream:
            stream.write(value.encode(ENCODING))

    @contextlib.contextmanager
    def lock(self, patience: float = LOCK_PATIENCE) -> Iterator[None]:
        """Keep other runs of this collection off the node; waits up to ``patience`` seconds.

        The kernel gives the lock back when the process ends, however it ends.
        """
        try:
            descriptor = os.open(self._path(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NodewardError(
                what=f"the node cannot be locked: {error.strerror}",
                where=LOCK,
                remedy="Make the folder writable, then run again",
            ) from error
        try:
            _wait_for_lock(descriptor, patience)
            yield
        finally:
            os.close(descriptor)


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


def _wait_for_lock(descriptor: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise NodewardError(
                    what=f"another run of nodeward.calico has held the lock for {patience:.0f} s",
                    where=LOCK,
                    remedy="Wait for it to end (fuser -v names it), then run again",
                ) from None
        time.sleep(LOCK_INTERVAL)
