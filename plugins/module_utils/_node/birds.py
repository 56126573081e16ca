# Private to the collection nodeward.calico: may change in any release.
"""The BIRDs of Calico that run on the node, what the watchdog did to them lately, and what a person should know of it.

Calico before 3.27.0 ships a BIRD that forgets no link which ever was (projectcalico/bird #95, #102; mended by #104 and
#111); 3.27.0 to 3.27.3 have a Felix that uses too much CPU (projectcalico/calico #8856).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .._core.host import Host
from .._core.plan import Finding
from . import bgp_peers, processes
from . import bird_watchdog_decision as watchdog
from . import bird_watchdog_reading as reading
from .bgp_peers import Peers

INTERVAL = 0.5  # seconds between two looks at the CPU time; the kernel counts it in hundredths
WEEK = 7 * watchdog.DAY
MENDED, MENDED_AGAIN = (3, 27, 0), (3, 27, 4)
_LARGEST_EVENTS = 2 << 20  # bytes that are read of the file; the watchdog puts it aside at half of that
MANY = 10_000  # links; the reports of a spinning BIRD speak of 30,000 and more

# What a runtime keeps of a container, with the name of its image (annotations of containerd and CRI-O).
_KEPT = (
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json",
    "/run/containers/storage/overlay-containers/{id}/userdata/config.json",
)
_IMAGE = re.compile(r'"io\.kubernetes\.cri(?:\.image-name|-o\.ImageName)"\s*:\s*"([^"]+)"')
_VERSION = re.compile(r":v?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Bird:
    """One BIRD: its CPU share in percent of one core, its age in seconds, links there and made, see reading.links().

    ``wanted`` is its share had it never waited for a core, and ``limit`` what its control groups let it use, both in
    percent of one core; where ``waits_are_counted`` is not so, the kernel has no /proc/PID/schedstat, and it never
    seems to wait. ``image`` is that of its container, '' where that cannot be told, and ``peers`` None.
    """

    name: str
    pid: int
    share: float
    age: int
    links: int
    links_made: int
    image: str = ""
    wanted: float = 0.0
    limit: float = 100.0
    waits_are_counted: bool = True
    peers: Peers | None = None

    @property
    def version(self) -> tuple[int, ...] | None:
        """Return Calico's version by the tag of the image, None for another kind of tag.

        The tags of cnx-node are versions of Calico Enterprise, which count otherwise.
        """
        found = None if "cnx-node" in self.image else _VERSION.search(self.image)
        return tuple(int(number) for number in found.groups()) if found else None


def observe(host: Host) -> tuple[Bird, ...]:
    """Look at the BIRDs of Calico; takes INTERVAL where there are any."""
    names = processes.names(host)
    first = {pid: _look(host, pid) for pid, name in names.items() if name in watchdog.NAMES}
    if not any(first.values()):
        return ()
    host.sleep(INTERVAL)
    uptime = _uptime(host)
    birds = []
    for pid, before in first.items():
        now = _look(host, pid)
        if before and now and before[0] == now[0]:
            samples = (before[1], now[1])
            used, wanted = (watchdog.share(each) for each in (samples, watchdog.wanted(samples)))
            found = reading.links(*(host.read_text(f"/proc/{pid}/net/{name}") or "" for name in ("dev", "igmp")))
            age = round(uptime - now[0].start / watchdog.TICKS)
            used, wanted, limit = (round(each, 1) for each in (used, wanted, 100 * now[1].limit))
            counted = host.read_text(f"/proc/{pid}/schedstat") is not None
            birds.append(
                Bird(
                    now[0].name,
                    pid,
                    used,
                    age,
                    **found,
                    image=_image(host, pid),
                    wanted=wanted,
                    limit=limit,
                    waits_are_counted=counted,
                    peers=bgp_peers.observe(host, pid, now[0].name),
                )
            )
    return tuple(birds)


def kills_last_week(host: Host) -> int | None:
    """Count the kills that the watchdog's file of events tells of, None where that is no file that can be read.

    Those of this boot go by the time since, which nobody sets. The others' date may be one of a clock that was wrong.
    """
    booted = re.search(r"^btime (\d+)", host.read_text("/proc/stat") or "", re.MULTILINE)
    uptime, boot = _uptime(host), (host.read_text("/proc/sys/kernel/random/boot_id") or "").strip()
    now, path = (int(booted.group(1)) if booted else 0) + uptime, watchdog.Config().events
    try:
        lines = [line for each in (f"{path}.1", path) for line in host.read_end(each, _LARGEST_EVENTS).splitlines()]
    except OSError:
        return None
    ages: list[float] = [
        uptime - kill["uptime"] if boot and kill.get("boot") == boot else now - kill["time"]
        for kill in reading.told_kills(lines)
    ]
    return sum(-watchdog.DAY < age < WEEK for age in ages)


def findings(birds: tuple[Bird, ...], kills: int | None, threshold: float, trap: str) -> Iterator[Finding]:
    """Phrase what a person should know."""
    for bird in birds:
        where = f"{bird.name} (process {bird.pid})"
        if bird.share >= threshold:
            yield _busy(bird, where, threshold, trap)
        elif bird.wanted >= threshold:
            yield _starved(bird, where, trap, _rivals(birds, bird, threshold))
        if not bird.waits_are_counted:
            yield _uncounted(where, trap)
        if bird.version is None or bird.version < MENDED:
            yield from _remembered(bird, where, trap)
        if bird.version is not None and bird.version < MENDED_AGAIN:
            yield _version(bird, where, trap)
    if kills is None:
        yield Finding(
            id=f"{trap}.events",
            severity="low",
            where=watchdog.Config().events,
            observed="it is no file that can be read",
            wanted="the watchdog's events, a line each",
            why="kills in the last week cannot be told from it, nor does the watchdog write to it",
            remedy="Remove it; the watchdog makes it anew",
        )
    elif kills:
        yield Finding(
            id=f"{trap}.kills",
            severity="medium",
            where=watchdog.Config().events,
            observed=f"kills in the last week: {kills}",
            wanted="none",
            why="the watchdog treats what Calico does wrong, it does not mend it",
            remedy="Update Calico to 3.27.4, 3.28.1 or later; the file tells share, age and links before each kill",
        )


def _rivals(birds: tuple[Bird, ...], one: Bird, threshold: float) -> str:
    """Name the BIRDs that take the core from each other: all want it, and together they use one."""
    hot = [bird for bird in birds if bird.wanted >= threshold]
    is_so = len(hot) > 1 and sum(bird.share for bird in hot) >= threshold and one.limit >= threshold
    return " and ".join(f"{bird.name} ({bird.share:.0f} %)" for bird in hot) if is_so else ""


def _used(bird: Bird) -> str:
    of_limit = f" of the {bird.limit:.0f} % that it may use" if bird.limit < 100 else ""
    return f"{bird.share:.0f} % of a core{of_limit}, up for {_long(bird.age)}"


def _busy(bird: Bird, where: str, threshold: float, trap: str) -> Finding:
    return Finding(
        id=f"{trap}.busy",
        severity="high",
        where=where,
        observed=_used(bird),
        wanted=f"below {threshold:.0f} %, but for minutes",
        why="a BIRD that spins answers late or never, and the node's routes go stale (incident A3)",
        remedy="Look again in some minutes; the watchdog kills it when it goes on, or says why not "
        "(journalctl -u nodeward-bird-watchdog)",
    )


def _starved(bird: Bird, where: str, trap: str, rivals: str) -> Finding:
    return Finding(
        id=f"{trap}.starved",
        severity="medium",
        where=where,
        observed=f"{_used(bird)}; it would use {bird.wanted:.0f} %, and waits"
        + (f": {rivals} take a core from each other" if rivals else ""),
        wanted="a core whenever it has work",
        why="a BIRD that cannot run when it has to answers late or never, and whether it spins cannot be told",
        remedy="Where that goes on for minutes, kill the one that uses more (kill -KILL, never TERM): then the other "
        "has a core, and the watchdog can tell whether it spins"
        if rivals
        else "Raise the CPU limit of the container calico-node, or find what takes the cores (steal: the host's)",
    )


def _uncounted(where: str, trap: str) -> Finding:
    return Finding(
        id=f"{trap}.waits_uncounted",
        severity="info",
        where=where,
        observed="the kernel has no /proc/PID/schedstat",
        wanted="a kernel that counts how long a process waits for a core (CONFIG_SCHED_INFO)",
        why="a BIRD that spins below a CPU limit, or on a busy node, is neither killed nor told of as starved",
        remedy="Give the container calico-node no CPU limit, or one above the threshold",
    )


def _remembered(bird: Bird, where: str, trap: str) -> Iterator[Finding]:
    if bird.links_made - bird.links > MANY:
        yield Finding(
            id=f"{trap}.remembered",
            severity="medium",
            where=where,
            observed=f"{bird.links} links, at least {bird.links_made} made since the boot, "
            f"BIRD runs for {_long(bird.age)}",
            wanted=f"a BIRD that has not seen {MANY} links more than there are",
            why="a BIRD of Calico before 3.27.0 may remember all of them, and goes through the list for each",
            remedy="Update Calico to 3.27.4, 3.28.1 or later",
        )


def _version(bird: Bird, where: str, trap: str) -> Finding:
    is_old = (bird.version or ()) < MENDED
    return Finding(
        id=f"{trap}.version",
        severity="medium" if is_old else "low",
        where=where,
        observed=bird.image,
        wanted="Calico 3.27.4, 3.28.1 or later",
        why="BIRD remembers every link that ever was, and spins after weeks (projectcalico/bird #95)"
        if is_old
        else "its Felix uses too much CPU (projectcalico/calico #8856)",
        remedy="Update Calico",
    )


def _look(host: Host, pid: int) -> tuple[watchdog.Process, watchdog.Sample] | None:
    folder, at, config = f"/proc/{pid}", host.clock(), watchdog.Config()
    stat, words = (host.read_text(f"{folder}/{name}") or "" for name in ("stat", "cmdline"))
    found = reading.parse(pid, stat, words, config.sockets)
    if found is None or not _owns(host, found[0]):
        return None
    return found[0], reading.measure(at, found[1], folder, host.read_text, config.groups)


def _owns(host: Host, process: watchdog.Process) -> bool:
    """Tell whether the socket that it names is its own, among those of the node's network, as the watchdog asks too.

    A pod may give a process Calico's name and words. Its sockets are not listed there, unless it is on that network.
    """
    with contextlib.suppress(OSError):  # too many sockets to read
        listed = host.read_text("/proc/1/net/unix")
        numbers = re.findall(rf" (\d+) {re.escape(process.control)}$", listed or "", re.MULTILINE)
        folder = f"/proc/{process.pid}/fd"
        targets = {host.link_target(f"{folder}/{each}") for each in host.list_folder(folder)}
        return any(f"socket:[{number}]" in targets for number in numbers)
    return False


def _image(host: Host, pid: int) -> str:
    container = re.search(r"[0-9a-f]{64}", host.read_text(f"/proc/{pid}/cgroup") or "")
    kept = [host.read_text(path.format(id=container.group())) or "" for path in _KEPT] if container else []
    images = [found.group(1) for found in map(_IMAGE.search, kept) if found]
    return images[0] if images else ""


def _uptime(host: Host) -> float:
    return float((host.read_text("/proc/uptime") or "0").split()[0])


def _long(seconds: int) -> str:
    return f"{seconds / watchdog.DAY:.1f} days" if seconds >= watchdog.DAY else f"{seconds / 3600:.1f} h"
