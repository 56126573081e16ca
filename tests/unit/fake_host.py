"""A node in memory, that plays its part of the kernel and can be broken at any step."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Mapping

# What the kernel makes of a value that is written to one of its files; may raise OSError.
Kernel = Callable[[str], str]


class FakeHost:
    """Implements the host port. ``calls`` are the mutating calls, in order, each as (verb, path).

    ``links`` maps a symbolic link to its target. Everything below a path in ``read_only`` refuses to be
    written. ``kernel`` maps a file of the kernel to how it answers. The mutating calls whose numbers, from
    1, are in ``broken`` fail with an input/output error.
    """

    def __init__(
        self,
        files: Mapping[str, str] | None = None,
        *,
        links: Mapping[str, str] | None = None,
        read_only: tuple[str, ...] = (),
        disk_full: bool = False,
        kernel: Mapping[str, Kernel] | None = None,
        broken: frozenset[int] = frozenset(),
    ) -> None:
        self.files = dict(files or {})
        self.links = dict(links or {})
        self.read_only = read_only
        self.disk_full = disk_full
        self.kernel = dict(kernel or {})
        self.broken = broken
        self.calls: list[tuple[str, str]] = []
        self.modes: dict[str, int] = {}

    def _followed(self, path: str) -> str:
        while path in self.links:
            path = posixpath.join(posixpath.dirname(path), self.links[path])
        return posixpath.normpath(path)

    def _is_read_only(self, path: str) -> bool:
        return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in self.read_only)

    def _mutate(self, verb: str, path: str) -> None:
        self.calls.append((verb, path))
        if len(self.calls) in self.broken:
            raise OSError(errno.EIO, "Input/output error", path)
        if self._is_read_only(self._followed(path)):
            raise OSError(errno.EROFS, "Read-only file system", path)

    def read_text(self, path: str) -> str | None:
        return self.files.get(self._followed(path))

    def list_folder(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        everything = [*self.files, *self.links]
        return sorted({name[len(prefix) :].split("/")[0] for name in everything if name.startswith(prefix)})

    def link_target(self, path: str) -> str | None:
        return self.links.get(path)

    def is_writable(self, path: str) -> bool:
        return self._followed(path) in self.files and not self._is_read_only(self._followed(path))

    def why_not_writable(self, path: str, size: int) -> str:
        if self._is_read_only(self._followed(path)):
            return f"{posixpath.dirname(path)} is read-only"
        return f"no room for {size} bytes" if self.disk_full else ""

    def page_size(self) -> int:
        return 4096

    def machine(self) -> str:
        return "x86_64"

    def write_file(self, path: str, text: str, mode: int) -> None:
        self._mutate("write", path)
        if self.disk_full:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        self.modes.setdefault(self._followed(path), mode)
        self.files[self._followed(path)] = text

    def remove_file(self, path: str) -> None:
        self._mutate("remove", path)
        self.links.pop(path, None)
        self.files.pop(path, None)
        self.modes.pop(path, None)

    def write_value(self, path: str, value: str) -> None:
        self._mutate("set", path)
        self.files[path] = self.kernel.get(path, str)(value) + "\n"


def refuses(_value: str) -> str:
    """Answer as the kernel does to a value that is out of its bounds."""
    raise OSError(errno.EINVAL, "Invalid argument")


def clamps(to: str) -> Kernel:
    """Answer as older kernels do: take the value, and keep another one."""
    return lambda _value: to
