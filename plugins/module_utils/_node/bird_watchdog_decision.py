# Private to the collection nodeward.calico: may change in any release.
"""What the watchdog of bird_watchdog decides, from what it has seen: all of it pure.

The first part of the program that a node gets, see bird_watchdog_files.py. All times are seconds since boot
(CLOCK_BOOTTIME): nobody sets that clock, and the kernel dates the starts of processes by it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple

NAMES = ("bird", "bird6")
TICKS = os.sysconf("SC_CLK_TCK")
DAY = 86400.0
ASK_EVERY, ASK_AGAIN = 600.0, 30.0  # seconds between two questions about the peers; until it told of one
MOST_SAMPLES = 240  # in a window; the longest is an hour
RECENT = 2.0  # seconds, over which a pause of one is no end: what tells whether a spin has just ended

CALM, HOT, WAITING, DUE, COOLDOWN, LIMIT = "calm", "hot", "waiting", "due", "cooldown", "daily_limit"
STARVED = "starved"  # it would use a core all the time, and gets less than what it is killed for
ABSENT, HELD, RESTARTING = "absent", "held_back", "restarting"
RESTARTED, NOT_RESTARTED = "restarted", "not_restarted"
SPINNING, SILENT, FOREIGN, UNREACHABLE = "spinning", "socket_silent", "socket_of_another", "socket_unreachable"
RECOVERING, NO_RESTART, OBSERVE = "graceful_restart_recovery", "no_graceful_restart", "observe"
STATES, REASONS = (ABSENT, CALM, HOT, WAITING, HELD, RESTARTING, NOT_RESTARTED), (SPINNING, SILENT)
PASSING = (COOLDOWN, RECOVERING)  # obstacles to a kill that pass by themselves; for the others a person has to look
OBSTACLES = (*PASSING, LIMIT, STARVED, FOREIGN, UNREACHABLE, NO_RESTART, OBSERVE)

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
    kept: str = ""  # the kills of this boot once more, where no full disk nor a hand takes them away; '' for nowhere
    sockets: str = "/var/run/calico"  # the folder of Calico's control sockets, bird.ctl and bird6.ctl
    proc: str = "/proc"
    groups: str = "/sys/fs/cgroup"
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
    """CPU seconds that a process has used at a moment, seconds that it has waited for a core, and what it may use.

    The wait is on a node that is busy, or while its control group is throttled. The limit is a part of one core.
    ``busy`` is what all processes of the node have used, and ``stolen`` what its hypervisor gave to others meanwhile.
    """

    at: float
    cpu: float
    wait: float = 0.0
    limit: float = 1.0
    busy: float = 0.0
    stolen: float = 0.0


class Answer(NamedTuple):
    """What the control socket said: SILENT, an obstacle or ''; peers without graceful restart; its interfaces."""

    trouble: str = ""
    unaware: tuple[str, ...] = ()
    interfaces: int | None = None
    established: int = 0  # peers


def share(samples: Sequence[Sample]) -> float:
    """Return the CPU share between the last two samples, in percent of one core."""
    if len(samples) < 2:
        return 0.0
    before, now = samples[-2:]
    return round(100.0 * (now.cpu - before.cpu) / (now.at - before.at), 6)


def wanted(samples: Sequence[Sample]) -> list[Sample]:
    """Return what it would have used, had it never waited, and had no hypervisor taken its core away.

    A virtual machine counts a process whose core is away neither as one that runs nor as one that waits. What is taken
    from the node is taken from those that run: from each of them in proportion to what it used.
    """
    found = list(samples[:1])
    for before, now in zip(samples, samples[1:]):
        used, busy = now.cpu - before.cpu, now.busy - before.busy
        known = used + now.wait - before.wait
        lost = used * max(now.stolen - before.stolen, 0.0) / busy if busy > 0 else 0.0
        most = max(known, now.at - before.at)
        found.append(Sample(now.at, found[-1].cpu + min(known + lost, most)))
    return found


def hot_since(samples: Sequence[Sample], threshold: float, window: float) -> float:
    """Return since when the share was at or above the threshold, in all and over every quarter of a window.

    Not in every interval: a BIRD that spins by the bug works for some 8 s and then sleeps for up to 1 s, since its
    timers count whole seconds, so that of intervals of 5 s every other one has a share of 80 % (measured). The last
    interval, or as many as RECENT takes, below half of the threshold ends it all.
    """
    last = end = len(samples) - 1
    since, recent = samples[last].at, max(0, last - 1)
    while recent and since - samples[recent].at < min(RECENT, window / 4):
        recent -= 1
    is_over = not last or share((samples[recent], samples[last])) < threshold / 2
    for first in range(-1 if is_over else last - 1, -1, -1):
        while samples[end - 1].at - samples[first].at >= window / 4:
            end -= 1
        if share((samples[first], samples[end])) < threshold:
            if end < last or samples[end].at - samples[first].at >= window / 4:
                break
        elif share((samples[first], samples[last])) >= threshold:
            since = samples[first].at
    return since


def decide(samples: Sequence[Sample], age: float, kills: Sequence[float], due: float | None, config: Config) -> str:
    """Say what is to be done about a process, by its samples, its age, the kills before and the end of its delay.

    DUE only after a full window at or above the threshold, see hot_since(), that has not just ended, outside of the
    cooldown, within the daily limit, and not before ``due``. The start of a process counts as a kill for the
    cooldown: whoever caused it, BIRD has to recover from it first.
    One that wanted a core, running or waiting, and got less than the threshold is STARVED, whatever it was for: where a
    CPU limit allows less, honest work in long pieces (a scan every 2 s) waits as much as a spin does, and no share
    tells the two apart.
    """
    now = samples[-1].at
    used = hot_since(samples, config.threshold, config.window)
    would = hot_since(wanted(samples), config.threshold, config.window)
    if now - would < config.window:
        return HOT if max(used, would) < now else CALM
    if min([age, *(now - kill for kill in kills)]) < config.cooldown:
        return COOLDOWN if now - used >= config.window else HOT
    if now - used < config.window:
        return STARVED
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


class Track:
    """What is known of bird, or of bird6: what was done about it, and the process that is watched now."""

    def __init__(self) -> None:
        self.kills: list[float] = []
        self.killed, self.held_back = dict.fromkeys(REASONS, 0), dict.fromkeys(OBSTACLES, 0)
        self.victim: Process | None = None  # what was killed and has no successor yet
        self.overdue = 0.0  # when that is to be there
        self.answer = Answer()  # the last that told of established peers, of whatever process
        self.follow(None, Answer(), 0.0)

    def follow(self, process: Process | None, answer: Answer, now: float) -> None:
        self.process, self.state = process, CALM if process else ABSENT
        self.samples: list[Sample] = []
        self.due: float | None = None
        self.obstacle, self.failed = "", 0  # how often its kill failed
        self.hear(answer, now)

    def hear(self, answer: Answer, now: float) -> None:
        is_good = not answer.trouble and answer.established > 0
        self.answer = answer if is_good else self.answer
        self.ask_at = now + (ASK_EVERY if is_good else ASK_AGAIN)

    def add(self, sample: Sample, window: float, interval: float) -> None:
        """Keep what a window takes, and the sample before it; of samples that stand very close the later.

        Nothing is kept over a gap in which it may have been calm for long (the node slept, we were stopped).
        """
        if self.samples and sample.at - self.samples[-1].at > max(window / 4, 3 * interval):
            self.samples = []
        *_, before, last = [Sample(-window, 0.0), Sample(-window, 0.0), *self.samples][-2:]
        if len(self.samples) > 1 and last.at - before.at < window / MOST_SAMPLES:
            self.samples.pop()
        self.samples.append(sample)
        while len(self.samples) > 2 and self.samples[1].at <= sample.at - window:
            del self.samples[0]

    def count(self, reason: str, at: float) -> None:
        self.kills = [kill for kill in self.kills if at - kill < DAY] + [at]
        self.killed[reason if reason in REASONS else SPINNING] += 1


def metrics(tracks: Mapping[str, Track], booted: float) -> str:
    """Return them as node-exporter's textfile collector reads them; ``booted`` is in seconds since 1970."""
    families: dict[tuple[str, str, str], Callable[[Track], dict[str, float]]] = {
        ("cpu_share", "gauge", ""): lambda track: {"": share(track.samples) / 100},
        ("cpu_wanted", "gauge", ""): lambda track: {"": share(wanted(track.samples[-2:])) / 100},
        ("cpu_limit", "gauge", ""): lambda track: {"": track.samples[-1].limit if track.samples else 1.0},
        ("last_kill_timestamp_seconds", "gauge", ""): lambda track: {
            "": round(booted + track.kills[-1]) if track.kills else 0
        },
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
