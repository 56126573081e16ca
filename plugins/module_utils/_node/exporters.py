# Private to the collection nodeward.calico: may change in any release.
"""The node-exporters that run on the node, found by their processes: what they were told, and by which files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Callable, Protocol

from .._core import unit_files
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.host_processes import namespace, services
from .._core.http import Request
from .._core.unit_files import Unit
from .._core.verbs.units import invocation
from . import processes

# By the name of the process, of which the kernel keeps 15 characters.
NAMES = ("node_exporter", "node-exporter", "prometheus-node-exporter"[:15])

SWITCH = "collector.processes"
TEXTFILES = "collector.textfile.directory"

# Debian's build reads this folder where no flag names another one; upstream's has no default.
OF_DEBIAN = {"prometheus-node-exporter": "/var/lib/prometheus/node-exporter"}

# Seconds in which a restarted exporter has to answer (it takes less than one), and between two looks.
COMES_BACK, INTERVAL = 30.0, 1.0
# A scrape may meet a busy moment: the quickest of these counts.
SCRAPES = 3

# Among the metrics of the collector, without which it does not work.
THREADS = "\nnode_processes_threads "

_START = re.compile(r"^[ \t]*ExecStart[ \t]*=[ \t]*(?P<command>\S(?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
_EVERYWHERE = ("", "0.0.0.0", "[::]", "*")  # noqa: S104 - addresses that are read, not listened on


@dataclass(frozen=True)
class Exporter:
    """One that runs. ``unit`` is the unit whose main process it is, with all files but our drop-in; None for none.

    ``is_trusted`` tells whether systemd or root started it: anybody may call a process so, and name a folder to it.
    ``sees_host`` tells whether it sees the node's process ids. ``tls`` is what its --web.config.file says.
    """

    pid: int
    words: tuple[str, ...]
    is_pod: bool = False
    is_trusted: bool = False
    sees_host: bool = True
    tls: bool = False
    unit: Unit | None = None
    drop_in: str | None = None
    invocation: str | None = None

    @property
    def where(self) -> str:
        return self.unit.name if self.unit else f"process {self.pid}"

    @property
    def own(self) -> str:
        """The path of our drop-in."""
        return f"/etc/systemd/system/{self.unit.name if self.unit else ''}.d/99-zz-nodeward-process_metrics.conf"

    @property
    def is_on(self) -> bool:
        return f"--{SWITCH}" in self.words

    @property
    def textfile_folder(self) -> str:
        """The folder that it reads now, '' for none."""
        program = posixpath.basename(self.words[0]) if self.words else ""
        return self.value(TEXTFILES, OF_DEBIAN.get(program, ""))

    @property
    def url(self) -> str:
        """Where its metrics are, on this node."""
        host, _colon, port = self.value("web.listen-address", ":9100").rpartition(":")
        path = self.value("web.telemetry-path", "/metrics")
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{'127.0.0.1' if host in _EVERYWHERE else host}:{port}{path}"

    def value(self, flag: str, usual: str = "") -> str:
        """Return the last value of a flag on the command line (--flag=value, --flag value), the usual one for none."""
        pairs = zip(self.words, (*self.words[1:], ""))
        found = [(word.partition("=")[2] if "=" in word else after) for word, after in pairs if _is(word, flag)]
        return ([usual] + [value for value in found if value])[-1]

    def has(self, flag: str) -> bool:
        """Tell whether it runs with a flag, be it one that Debian's build has by itself."""
        return any(_is(word, flag) for word in self.words) or (flag == TEXTFILES and bool(self.textfile_folder))

    def told(self, flag: str) -> bool:
        """Tell whether a file of its unit other than ours names a flag."""
        named = re.compile(rf"(?<![\w-])--{re.escape(flag)}(?![\w.-])")
        return any(named.search(line) for line in self._lines())

    def start(self) -> str:
        """Return the command of its unit as it is written, '' where none can be told."""
        text = self.unit.files.get(self.unit.start, "") if self.unit else ""
        return ([""] + [found["command"] for found in _START.finditer(text)])[-1]

    def _lines(self) -> Iterator[str]:
        texts = [*self.unit.files.values(), *self.unit.environments.values()] if self.unit else []
        for text in texts:
            yield from (line for line in text.splitlines() if line.lstrip()[:1] not in ("#", ";"))


def observe(host: Host) -> tuple[Exporter, ...]:
    """Return every node-exporter that runs, by process id."""
    found = sorted(pid for pid, name in processes.names(host).items() if name in NAMES)
    return tuple(exporter for pid in found for exporter in _exporter(host, pid))


def own(exporters: Iterable[Exporter]) -> Exporter | None:
    """Return the one that the node itself runs: that of a unit, else root's, else one that a person has to look at."""
    found = [exporter for exporter in exporters if not exporter.is_pod]
    return min(found, key=lambda each: (each.unit is None, not each.is_trusted), default=None)


def _exporter(host: Host, pid: int) -> Iterator[Exporter]:
    words = tuple(processes.command_line(host, pid))
    cgroup = host.read_text(f"/proc/{pid}/cgroup") or ""
    if not words:
        return  # it has ended
    if processes.PODS in cgroup:
        yield Exporter(pid, words, is_pod=True, sees_host=namespace(host, pid, "pid") == namespace(host, 1, "pid"))
        return
    found = services(cgroup)
    around = unit_files.read(host, found[-1]) if found else None
    # what a supervisor in that unit has started is not told anything by the unit's command, nor restarted with it
    unit = around if around and around.main == pid else None
    one = Exporter(pid, words, unit=unit)
    files = {path: text for path, text in unit.files.items() if path != one.own} if unit else {}
    config = one.value("web.config.file")
    yield Exporter(
        pid,
        words,
        is_trusted=unit is not None or bool(processes.own(host, {pid: NAMES[0]}, NAMES)),
        tls="tls_server_config" in ((host.read_text(config) if config.startswith("/") else None) or ""),
        unit=replace(unit, files=files) if unit and files else None,
        drop_in=host.read_text(one.own) if unit else None,
        invocation=invocation(host, unit.name) if unit else None,
    )


def _is(word: str, flag: str) -> bool:
    return word == f"--{flag}" or word.startswith(f"--{flag}=")


@dataclass(frozen=True)
class Scrape:
    """One scrape: how long it took, in seconds, and whether the collector answered in it."""

    seconds: float
    has_threads: bool


def scrape(host: Host, url: str, timeout: float) -> Scrape:
    """Ask an exporter for its metrics. Raises NodewardError where it does not give them."""
    began = host.clock()
    answer = host.send_http(Request(url, verify=False, patience=timeout))
    if answer.status != 200:
        raise NodewardError(what=f"it answers with {answer.status}", where=url, remedy="See its --web.config.file")
    return Scrape(host.clock() - began, THREADS in answer.body)


class Clock(Protocol):
    """Time, as the host port and the cluster's modules have it. Seconds."""

    def clock(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


def require_well(scraped: Callable[[], Scrape], where: str, timeout: float, clock: Clock) -> None:
    """Wait until an exporter tells of processes, and measure it.

    Raises NodewardError where it does not in time, or its scrapes take more than half of ``timeout``, Prometheus' own.
    """
    deadline, quickest, told = clock.clock() + COMES_BACK, timeout, 0
    trouble = "it tells nothing of processes"
    while told < SCRAPES and quickest > timeout / 2 and clock.clock() < deadline + told * timeout:
        try:
            seen = scraped()
        except NodewardError as error:
            trouble = error.what
        else:
            if seen.has_threads:
                told, quickest = told + 1, min(quickest, seen.seconds)
                continue
        clock.sleep(INTERVAL)
    if not told or quickest > timeout / 2:
        raise NodewardError(
            what=f"a scrape takes {quickest:.1f} s, of {timeout:.0f} s that Prometheus waits" if told else trouble,
            where=where,
            remedy="Give the scrape a longer timeout, or leave the collector off",
        )
