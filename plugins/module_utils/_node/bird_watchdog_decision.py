# Private to the collection nodeward.calico: may change in any release.
"""What the watchdog of bird_watchdog decides, and how it reads what /proc, BIRD and its own files say: all of it pure.

The first part of the program that a node gets, see bird_watchdog_files.py. All times are seconds since boot
(CLOCK_BOOTTIME): nobody sets that clock, and the kernel dates the starts of processes by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

NAMES = ("bird", "bird6")
TICKS = os.sysconf("SC_CLK_TCK")
DAY = 86400.0
ASK_EVERY, ASK_AGAIN = 600.0, 30.0  # seconds between two questions about the peers; until it told of one

CALM, HOT, WAITING, DUE, COOLDOWN, LIMIT = "calm", "hot", "waiting", "due", "cooldown", "daily_limit"
ABSENT, HELD, RESTARTING, NOT_RESTARTED = "absent", "held_back", "restarting", "not_restarted"
SPINNING, SILENT, FOREIGN, UNREACHABLE = "spinning", "socket_silent", "socket_of_another", "socket_unreachable"
RECOVERING, NO_RESTART, OBSERVE = "graceful_restart_recovery", "no_graceful_restart", "observe"
STATES, REASONS = (ABSENT, CALM, HOT, WAITING, HELD, RESTARTING, NOT_RESTARTED), (SPINNING, SILENT)
PASSING = (COOLDOWN, RECOVERING)  # obstacles to a kill that pass by themselves; for the others a person has to look
OBSTACLES = (*PASSING, LIMIT, FOREIGN, UNREACHABLE, NO_RESTART, OBSERVE)

BOUNDS: dict[str, tuple[float, float]] = {
    "threshold": (50, 95),  # a core that is shared never gives all of itself
    "window": (2, 3600),
    "interval": (1, 20),  # systemd's watchdog ends a loop that stalls for a minute
    "cooldown": (0, 86400),
    "daily_limit": (0, 1000),
    "random_delay": (0, 3600),
    "restart_patience": (1, 3600),
}
CHOICES = {"mode": ("enforce", "observe"), "signal": ("KILL", "TERM")}


class Config(NamedTuple):
    """The configuration file, a JSON object. Seconds; the threshold in percent of one core."""

    mode: str = "enforce"
    threshold: float = 85.0
    window: float = 120.0
    interval: float = 5.0
    cooldown: float = 300.0
    daily_limit: int = 3
    random_delay: float = 60.0
    signal: str = "KILL"
    kill_without_graceful_restart: bool = False
    metrics: str = ""  # a file of node-exporter's textfile collector; '' for none
    events: str = "/var/log/nodeward-bird-watchdog/events.jsonl"
    sockets: str = "/var/run/calico"  # the folder of Calico's control sockets, bird.ctl and bird6.ctl
    proc: str = "/proc"
    journal: str = "/run/systemd/journal/socket"
    restart_patience: float = 30.0  # until the supervisor has to have started a new one


class Process(NamedTuple):
    """One process, which these tell from every other; ``start`` is in ticks since boot."""

    pid: int
    start: int
    name: str
    parent: int
    control: str


class Sample(NamedTuple):
    """CPU seconds that a process has used at a moment."""

    at: float
    cpu: float


class Answer(NamedTuple):
    """What the control socket said: SILENT, an obstacle or ''; peers without graceful restart; its interfaces."""

    trouble: str = ""
    unaware: tuple[str, ...] = ()
    interfaces: int | None = None
    established: int = 0  # peers


# --- deciding ---------------------------------------------------------------------------------------


def share(samples: Sequence[Sample]) -> float:
    """Return the CPU share between the last two samples, in percent of one core."""
    if len(samples) < 2:
        return 0.0
    before, now = samples[-2:]
    return round(100.0 * (now.cpu - before.cpu) / (now.at - before.at), 6)


def hot_since(samples: Sequence[Sample], config: Config) -> float:
    """Return since when the share was at or above the threshold, in all and over every quarter of a window.

    Not in every interval: a BIRD that spins by the bug works for some 8 s and then sleeps for up to 1 s, since its
    timers count whole seconds, so that of intervals of 5 s every other one has a share of 80 % (measured).
    """
    last = end = len(samples) - 1
    since = samples[last].at
    for first in range(last - 1, -1, -1):
        while samples[end - 1].at - samples[first].at >= config.window / 4:
            end -= 1
        if share((samples[first], samples[end])) < config.threshold:
            if end < last or samples[end].at - samples[first].at >= config.window / 4:
                break
        elif share((samples[first], samples[last])) >= config.threshold:
            since = samples[first].at
    return since


def decide(samples: Sequence[Sample], age: float, kills: Sequence[float], due: float | None, config: Config) -> str:
    """Say what is to be done about a process, by its samples, its age, the kills before and the end of its delay.

    DUE only after a full window at or above the threshold, see hot_since(), that has not just ended, outside of the
    cooldown, within the daily limit, and not before ``due``. The start of a process counts as a kill for the
    cooldown: whoever caused it, BIRD has to recover from it first.
    """
    now, since = samples[-1].at, hot_since(samples, config)
    if since == now or share(samples) < config.threshold / 2:
        return CALM
    if now - since < config.window:
        return HOT
    if min([age, *(now - kill for kill in kills)]) < config.cooldown:
        return COOLDOWN
    if sum(now - kill < DAY for kill in kills) >= config.daily_limit:
        return LIMIT
    return WAITING if due is not None and now < due else DUE


def weigh(answer: Answer, config: Config) -> str:
    """Say what holds a kill back, '' when nothing does."""
    if answer.trouble not in ("", SILENT):
        return answer.trouble
    if answer.unaware and not config.kill_without_graceful_restart:
        return NO_RESTART
    return OBSERVE if config.mode == "observe" else ""


# --- reading ----------------------------------------------------------------------------------------


def wrong(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say of each value of a configuration that makes no sense what is wrong with it."""
    for key, value in given.items():
        known = getattr(Config(), key, None) if key in Config._fields else None
        least, most = BOUNDS.get(key, (0, 0))
        if type(value) is not type(known) and (type(value), type(known)) != (int, float):
            yield key, f"{value!r} is no {type(known).__name__}" if known is not None else "there is no such option"
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

    Lines may be damaged in any way.
    """
    kills: list[dict[str, Any]] = []
    for line in lines:
        event = _event(line)
        if event.get("event") == "kill":
            times: list[Any] = [event.get("time"), event.get("uptime")]
            kills += [event] if all(type(each) in (int, float) and 0 <= each < 1e12 for each in times) else []
        elif event.get("event") == "kill_failed" and kills and kills[-1].get("pid") == event.get("pid"):
            kills.pop()
    return kills


def _event(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line)
        return event if isinstance(event, dict) else {}
    return {}


class Track:
    """What is known of bird, or of bird6: what was done about it, and the process that is watched now."""

    def __init__(self) -> None:
        self.kills: list[float] = []
        self.killed, self.held_back = dict.fromkeys(REASONS, 0), dict.fromkeys(OBSTACLES, 0)
        self.last_kill = 0.0  # seconds since 1970
        self.victim: Process | None = None  # what was killed and has no successor yet
        self.overdue = 0.0  # when that is to be there
        self.answer = Answer()  # the last that told of established peers, of whatever process
        self.follow(None, Answer(), 0.0)

    def follow(self, process: Process | None, answer: Answer, now: float) -> None:
        self.process, self.state = process, CALM if process else ABSENT
        self.samples: list[Sample] = []
        self.due: float | None = None
        self.obstacle = ""
        self.hear(answer, now)

    def hear(self, answer: Answer, now: float) -> None:
        is_good = not answer.trouble and answer.established > 0
        self.answer = answer if is_good else self.answer
        self.ask_at = now + (ASK_EVERY if is_good else ASK_AGAIN)

    def add(self, sample: Sample, window: float) -> None:
        """Keep what a window takes, and the sample before it."""
        self.samples.append(sample)
        while len(self.samples) > 2 and self.samples[1].at <= sample.at - window:
            del self.samples[0]

    def count(self, reason: str, at: float, date: float) -> None:
        self.kills = [kill for kill in self.kills if at - kill < DAY] + [at]
        self.killed[reason if reason in REASONS else SPINNING] += 1
        self.last_kill = date


def metrics(tracks: Mapping[str, Track]) -> str:
    """Return them as node-exporter's textfile collector reads them."""
    families: dict[tuple[str, str, str], Callable[[Track], dict[str, float]]] = {
        ("cpu_share", "gauge", ""): lambda track: {"": share(track.samples) / 100},
        ("last_kill_timestamp_seconds", "gauge", ""): lambda track: {"": track.last_kill},
        ("kills_total", "counter", "reason"): lambda track: dict(track.killed),
        ("suppressed_kills_total", "counter", "reason"): lambda track: dict(track.held_back),
        ("state", "gauge", "state"): lambda track: {each: each == track.state for each in STATES},
    }
    text = ""
    for (family, kind, label), values in families.items():
        text += f"# TYPE nodeward_bird_watchdog_{family} {kind}\n"
        for name, track in tracks.items():
            for each, value in values(track).items():
                labels = f'daemon="{name}",{label}="{each}"' if label else f'daemon="{name}"'
                text += f"nodeward_bird_watchdog_{family}{{{labels}}} {float(value)}\n"
    return text
