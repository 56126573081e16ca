"""A node in memory, that plays its part of the kernel and can be broken at any step."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ansible_collections.nodeward.calico.plugins.module_utils._core import echo
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Link, MissingPackageError, Network

# What the kernel makes of a value that is written to one of its files; may raise OSError.
Kernel = Callable[[str], str]

Answers = Answer | Callable[[Request], Answer]


class FakeHost:
    """Implements the host port. ``calls`` are the mutating calls, in order, each as (verb, path).

    ``links`` maps a symbolic link to its target. Everything below a path in ``read_only`` refuses to be
    written. ``kernel`` maps a file of the kernel to how it answers. The mutating calls whose numbers, from
    1, are in ``broken`` fail with an input/output error. ``commands`` maps a command line to what it prints;
    any other one fails. ``answers`` maps a method and a URL to what a server answers, which may be a function;
    any other one is answered by nobody. ``priorities`` are
    those of threads. ``carries`` has the largest packet that an address answers. Time passes only in sleep and where
    nobody answers. ``times`` are those of files. Folders are
    there when something is in them or when they were made. Without a ``network`` it has
    no pyroute2.
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
        commands: Mapping[str, str] | None = None,
        network: Network | None = None,
    ) -> None:
        self.files = dict(files or {})
        self.links = dict(links or {})
        self.read_only = read_only
        self.disk_full = disk_full
        self.kernel = dict(kernel or {})
        self.broken = broken
        self.commands = dict(commands or {})
        self.present_network = network
        self.folders: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.modes: dict[str, int] = {}
        self.times: dict[str, float] = {}
        self.now = 0.0
        self.answers: dict[str, Answers] = {}
        self.requests: list[Request] = []
        self.priorities: dict[int, int] = {}
        self.space: dict[str, int] = {"/": 10**12}
        self.disks: dict[str, int] = {}
        self.carries: dict[str, int] = {}

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

    def read_end(self, path: str, size: int) -> str:
        return (self.read_text(path) or "")[-size:]

    def list_folder(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        everything = [*self.files, *self.links]
        return sorted({name[len(prefix) :].split("/")[0] for name in everything if name.startswith(prefix)})

    def is_folder(self, path: str) -> bool:
        return path in self.folders or bool(self.list_folder(path))

    def link_target(self, path: str) -> str | None:
        return self.links.get(path)

    def modified(self, path: str) -> float | None:
        return self.times.get(path, 0.0) if self._followed(path) in self.files else None

    def link_made(self, path: str) -> float | None:
        return self.times.get(path, 0.0) if path in self.links else None

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

    def interpreter(self) -> str:
        return "/usr/bin/python3"

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

    def make_folder(self, path: str) -> None:
        self._mutate("make", path)
        self.folders.add(path)

    def remove_folder(self, path: str) -> None:
        self._mutate("remove folder", path)
        self.folders.discard(path)

    def run(self, command: Sequence[str], _patience: float = 0) -> str:
        words = " ".join(command)
        self._mutate("run", words)
        if words not in self.commands:
            raise NodewardError(what="the command ended with 1: unknown", where=words, remedy="Teach the fake host")
        return self.commands[words]

    def send_http(self, request: Request) -> Answer:
        self.requests.append(request)
        answers = self.answers.get(f"{request.method} {request.url}")
        if answers is None:
            raise NodewardError(what="does not answer (Connection refused)", where=request.url, remedy="Teach it")
        return answers(request) if callable(answers) else answers

    def stream(self, request: Request) -> Iterator[bytes]:
        yield from self.send_http(request).body.encode().splitlines(keepends=True)

    def write_stream(self, path: str, pieces: Iterable[bytes], mode: int) -> None:
        content = b"".join(pieces)
        self._mutate("write", path)
        self.modes[path] = mode
        self.files[path] = content.decode("latin-1")

    def pieces(self, path: str) -> Iterator[bytes]:
        yield self.files[path].encode("latin-1")

    def free_space(self, path: str) -> int:
        return next((self.space[folder] for folder in sorted(self.space, reverse=True) if path.startswith(folder)), 0)

    def disk(self, path: str) -> int:
        return next((self.disks[folder] for folder in sorted(self.disks, reverse=True) if path.startswith(folder)), 0)

    def echo(self, address: str, size: int, patience: float) -> str:
        carries = self.carries.get(address, 0)
        if size <= carries:
            return echo.ANSWERED
        self.now += patience
        return echo.LOST

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wall_clock(self) -> float:
        return 1.7e9 + self.now

    def io_priority(self, thread: int) -> int | None:
        return self.priorities.get(thread)

    def set_io_priority(self, thread: int, value: int) -> None:
        self._mutate("set io", str(thread))
        self.priorities[thread] = value

    def network(self) -> Network:
        if self.present_network is None:
            raise MissingPackageError("pyroute2", "No module named 'pyroute2'")
        return self.present_network

    def link(self, name: str, peer: bool = False) -> Link | None:
        network = self.network()
        return network.pod_ends.get(name) if peer else network.named(name)

    def set_link_mtu(self, name: str, mtu: int, peer: bool = False) -> None:
        self._mutate("set peer" if peer else "set link", name)
        network, found = self.network(), self.link(name, peer)
        if found is None:
            raise OSError(errno.ENODEV, "No such device", name)
        changed = replace(found, mtu=mtu)
        if peer:
            self.present_network = replace(network, pod_ends={**network.pod_ends, name: changed})
        else:
            links = tuple(changed if link.name == name else link for link in network.links)
            self.present_network = replace(network, links=links)

    def write_value(self, path: str, value: str) -> None:
        self._mutate("set", path)
        self.files[path] = self.kernel.get(path, str)(value) + "\n"


def refuses(_value: str) -> str:
    """Answer as the kernel does to a value that is out of its bounds."""
    raise OSError(errno.EINVAL, "Invalid argument")


def clamps(to: str) -> Kernel:
    """Answer as older kernels do: take the value, and keep another one."""
    return lambda _value: to
