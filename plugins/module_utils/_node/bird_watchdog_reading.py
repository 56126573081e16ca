# Private to the collection nodeward.calico: may change in any release.
"""How the watchdog of bird_watchdog reads what /proc, control groups, BIRD and its own files say: all of it pure.

A part of the program that a node gets, see bird_watchdog_files.py.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, Optional

from .bird_watchdog_decision import (
    BOUNDS,
    CHOICES,
    NAMES,
    NOT_RESTARTED,
    RECOVERING,
    RESTARTED,
    TICKS,
    Answer,
    Config,
    Process,
    Sample,
)


def wrong(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say of each value of a configuration that makes no sense what is wrong with it."""
    for key, value in given.items():
        known = getattr(Config(), key, None) if key in Config._fields else None
        least, most = BOUNDS.get(key, (0, 0))
        if type(value) is not type(known) and (type(value), type(known)) != (int, float):
            yield key, f"{value!r} is no {type(known).__name__}" if known is not None else "there is no such option"
        elif isinstance(value, str) and not value.isprintable():  # a NUL, half of a surrogate pair
            yield key, f"{value!r} has characters that nobody can read"
        elif value not in CHOICES.get(key, (value,)):
            yield key, f"{value!r} is none of {', '.join(CHOICES[key])}"
        elif key in BOUNDS and not least <= value <= most:  # nor is NaN
            yield key, f"{value} is not from {least} to {most}"
        elif key == "window" and value < 2 * given.get("interval", Config().interval):
            yield key, f"{value} s are less than two intervals"


def parse(pid: int, stat: str, cmdline: str, sockets: str) -> tuple[Process, float] | None:
    """Return a process and its CPU seconds by its files in /proc, None for what is no BIRD of Calico, or a zombie."""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    words = cmdline.split("\0")  # a zombie has none
    found = (re.fullmatch("-[dflpR]*s(.*)", word) for word in words)
    control = "".join(each[1] or after for each, after in zip(found, words[1:]) if each)
    if name not in NAMES or control not in (f"{sockets}/{name}.ctl", f"{sockets}/{name}.ctl".replace("/var/", "/", 1)):
        return None
    fields = rest.split()  # proc(5): state, ppid, ..., utime and stime, ..., starttime
    return Process(pid, int(fields[19]), name, int(fields[1]), control), (int(fields[11]) + int(fields[12])) / TICKS


Read = Callable[[str], Optional[str]]  # the text of a file, None or '' where there is none


def measure(at: float, cpu: float, folder: str, read: Read, groups: str) -> Sample:
    """Return the sample of a process by its folder in /proc. Where the kernel does not count waits, it never waited."""
    _, wait, *_ = [*(read(f"{folder}/schedstat") or "").split(), "0", "0"]  # nanoseconds: ran, waited to run
    least = limit(read(f"{folder}/cgroup") or "", read, groups)
    return Sample(at, cpu, int(wait) / 1e9, least, *node_times(read(f"{posixpath.dirname(folder)}/stat") or ""))


def node_times(stat: str) -> tuple[float, float]:
    """Return for how many seconds the node's cores were busy, and for how many its hypervisor had them (steal)."""
    words = stat.partition("\n")[0].split()  # proc(5): cpu, user, nice, system, idle, iowait, irq, softirq, steal
    if words[:1] != ["cpu"] or len(words) < 9:
        return 0.0, 0.0
    user, nice, system, _, _, irq, softirq, steal = (int(word) / TICKS for word in words[1:9])
    return user + nice + system + irq + softirq, steal


def limit(groups: str, read: Read, root: str) -> float:
    """Return what part of one core a process may use, at most 1.0, by its /proc/PID/cgroup and its control groups.

    ``root`` is where control groups are mounted. Quotas stand anywhere on the way up: in cgroup v1 (also beside an
    empty v2) or v2. What cannot be read, such as the groups above a container from inside, limits nothing.
    """
    lines = [line.split(":", 2) for line in groups.splitlines()]
    paths = {name: path for _, names, path in lines for name in names.split(",")}
    top, path = (f"{root}/cpu", paths["cpu"]) if "cpu" in paths else (root, paths.get("", "/"))
    least = 1.0
    while path not in ("", "/"):
        files = ["cpu.max"] if top == root else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        words = " ".join(read(f"{top}{path}/{name}") or "" for name in files).split()
        if len(words) == 2 and all(map(str.isdecimal, words)) and int(words[1]):  # not -1 or max, which are for none
            least = min(least, int(words[0]) / int(words[1]))
        path = path.rpartition("/")[0]
    return least


def links(dev: str, igmp: str) -> dict[str, int]:
    """Count links by their files in /proc/PID/net: those there are, and those ever made, at least.

    That is their highest number: younger ones that are gone again are not in it. A BIRD that forgets none remembers
    the difference or more, beside the interfaces that it tells of.
    """
    made = max(map(int, re.findall(r"^\d+", igmp, re.MULTILINE)), default=0)
    return {"links": max(0, dev.count("\n") - 2), "links_made": made}


def understand(text: str) -> Answer:
    """Read the replies of BIRD 1.6: on a peer's line 'restart-able' or 'restart-aware' says that it keeps routes."""
    established = [each for each in text.split("\n1002-") if re.search(r"BGP state: +Established", each)]
    unaware = tuple(each.split()[0] for each in established if not re.search(r"Neighbor caps:.* restart-a", each))
    interfaces = re.search(r"^1005-(?:.*\n )*", text, re.MULTILINE)
    recovering = "Graceful restart recovery in progress" in text
    known = interfaces.group().count("\n") + 1 if interfaces else 0
    return Answer(RECOVERING if recovering else "", unaware, known, len(established))


def told_kills(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Return the kills that a file of events tells of, but those that failed: the line comes before the kill.

    Each has as ``then`` the event of what came of it, where there is one. Lines may be damaged in any way.
    """
    kills: list[dict[str, Any]] = []
    for line in lines:
        event = _event(line)
        if event.get("event") == "kill":
            times: list[Any] = [event.get("time"), event.get("uptime")]
            kills += [event] if all(type(each) in (int, float) and 0 <= each < 1e12 for each in times) else []
        elif event.get("event") == "kill_failed" and kills and kills[-1].get("pid") == event.get("pid"):
            kills.pop()
        elif event.get("event") in (RESTARTED, NOT_RESTARTED):
            for kill in [each for each in kills if each.get("daemon") == event.get("daemon")][-1:]:
                kill["then"] = event["event"]
    return kills


def told_victim(kill: Mapping[str, Any]) -> Process | None:
    """Return the process that a told kill was for, None where that cannot be told (by an older version, damaged)."""
    pid, start, parent = (kill.get(key) for key in ("pid", "start", "parent"))
    if type(pid) is int and type(start) is int and type(parent) is int:
        return Process(pid, start, kill["daemon"], parent, "")
    return None


def _event(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line)
        return event if isinstance(event, dict) else {}
    return {}
