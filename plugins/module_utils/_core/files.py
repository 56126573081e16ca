# Private to the collection nodeward.calico: may change in any release.
"""Files that are, at any moment and after any crash, either wholly old or wholly new."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

# The text of a file we did not write may hold any bytes; they survive a round trip this way.
ENCODING = "utf-8"
BYTES_SURVIVE = "surrogateescape"

# Extended attributes that vouch for the old content: with new content the file would not be trusted.
OF_THE_CONTENT = {"security.ima", "security.evm"}

# What a file system should keep free besides our own text, in bytes: a disk this full is about to
# stop the node anyway, and a half-done change is worse than none.
HEADROOM = 64 * 1024


def staging_path(path: str) -> str:
    """Return the name under which ``path`` is staged, in the same folder.

    A leading dot and another ending keep it out of what kubelet, systemd and cron read there. The name
    is always the same, so that what a killed run leaves behind is overwritten by the next one.
    """
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.nodeward")


def write_atomically(path: str, text: str, mode: int) -> None:
    """Replace ``path`` with ``text``, durably; an existing file keeps its owner, mode and labels.

    ``mode`` is used for a new file only. A symbolic link is followed, so that the link itself stays.
    Raises OSError with nothing changed.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if _is_special(target):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    make_folder(folder)
    staged = staging_path(target)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode(ENCODING, BYTES_SURVIVE))
            _dress_like(staged, target, mode)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
        raise
    _sync_folder(folder)


def write_stream(path: str, pieces: Iterable[bytes], mode: int) -> None:
    """Write what comes into ``path``, durably; where it breaks off nothing is left of it. Raises OSError."""
    folder = os.path.dirname(path)
    make_folder(folder)
    staged = staging_path(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
        raise
    _sync_folder(folder)


def nearest(path: str) -> str:
    """Return the path, or the nearest folder above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def remove_durably(path: str) -> None:
    """Remove ``path``; it is no error when it is gone already. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        _sync_folder(os.path.dirname(path))


def remove_folder_durably(path: str) -> None:
    """Remove an empty folder; it is no error when it is gone already. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)
        _sync_folder(os.path.dirname(path))


def why_not_writable(path: str, size: int) -> str:
    """Say why ``size`` bytes could not be written to ``path``, or return '' when they could.

    Looks only, so that check mode gives the same answer as the real run.
    """
    folder = os.path.dirname(os.path.realpath(path))
    new = 1  # the staged file, and folders that are missing
    while not os.path.exists(folder):
        folder, new = os.path.dirname(folder), new + 1
    if not os.path.isdir(folder):
        return f"{folder} is not a folder"
    if os.path.isdir(path):
        return f"{path} is a folder"
    if _is_special(path):
        return f"{path} is no regular file (a link to /dev/null masks a file of this name)"
    # access() tells a read-only file system from a writable one, for root too.
    if not os.access(folder, os.W_OK):
        return f"{folder} is read-only"
    if os.path.exists(path) and not os.access(path, os.W_OK):
        return f"{path} is read-only or immutable (lsattr)"
    return _why_no_room(folder, size, new)


def _is_special(path: str) -> bool:
    """Tell whether a name leads to a device, a FIFO or a socket, which a file of ours must not replace."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _why_no_room(folder: str, size: int, new: int) -> str:
    state = os.statvfs(folder)
    if state.f_bfree * state.f_frsize < size + HEADROOM:
        return f"the disk under {folder} is full ({state.f_bfree * state.f_frsize // 1024} KiB free)"
    if state.f_files and state.f_ffree < new:  # some file systems count no inodes at all
        return f"the disk under {folder} has {state.f_ffree} free inodes, {new} needed"
    return ""


def _dress_like(staged: str, target: str, mode: int) -> None:
    if not os.path.exists(target):
        os.chmod(staged, mode)
        return
    old = os.stat(target)
    os.chown(staged, old.st_uid, old.st_gid)
    os.chmod(staged, stat.S_IMODE(old.st_mode))
    for attribute in set(os.listxattr(target)) - OF_THE_CONTENT:
        os.setxattr(staged, attribute, os.getxattr(target, attribute))


def make_folder(folder: str) -> None:
    """Make a folder and those above it, so that it is there after a power cut like the file in it.

    No error when it is there. Raises OSError.
    """
    if not os.path.isdir(folder):
        make_folder(os.path.dirname(folder))
        os.mkdir(folder, mode=0o755)
        _sync_folder(os.path.dirname(folder))


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
