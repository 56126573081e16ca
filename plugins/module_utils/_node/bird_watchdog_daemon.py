# Private to the collection nodeward.calico: may change in any release.
"""Kills a bird or bird6 of Calico that spins, so that its supervisor starts it anew: bird_watchdog.py CONFIG.

This file reaches the node as it is and runs alone: standard library only, Python 3.9 and newer. What decides is pure
(decide, weigh); Watchdog does what they say. All times are seconds since boot (CLOCK_BOOTTIME): nobody sets that
clock, and the kernel dates the starts of processes by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple

NAMES = ("bird", "bird6")
TICKS = os.sysconf("SC_CLK_TCK")
DAY = 86400.0
SCAN_EVERY, FULL_SCAN_EVERY = 6, 180  # samples between two looks for new processes, and at all of them
ASK_EVERY, ASK_AGAIN = 600.0, 30.0  # seconds between two questions about the peers; until it told of one
ADOPTION = 60.0  # seconds in which a BIRD has to have opened its socket
RETRY_AFTER = 60.0  # seconds until a kill that was held back is weighed again
PATIENCE = 2.0  # seconds for all answers of a control socket
LARGEST_EVENTS = 1 << 20  # bytes of the file of events before it is put aside as FILE.1
LARGEST_ANSWER = 8 << 20  # bytes; 50,000 interfaces make 3 MB

CALM, HOT, WAITING, DUE, COOLDOWN, LIMIT = "calm", "hot", "waiting", "due", "cooldown", "daily_limit"
ABSENT, HELD, RESTARTING, NOT_RESTARTED = "absent", "held_back", "restarting", "not_restarted"
SPINNING, SILENT, FOREIGN, UNREACHABLE = "spinning", "socket_silent", "socket_of_another", "socket_unreachable"
RECOVERING, NO_RESTART, OBSERVE = "graceful_restart_recovery", "no_graceful_restart", "observe"
STATES, REASONS = (ABSENT, CALM, HOT, WAITING, HELD, RESTARTING, NOT_RESTARTED), (SPINNING, SILENT)
PASSING = (COOLDOWN, RECOVERING)  # obstacles to a kill that pass by themselves; for the others a person has to look
OBSTACLES = (*PASSING, LIMIT, FOREIGN, UNREACHABLE, NO_RESTART, OBSERVE)

BOUNDS: dict[str, tuple[float, float]] = {
    "threshold": (50, 95),  # a core that is shared never gives all of itself
    "window": (1, 3600),
    "interval": (1, 20),  # systemd's watchdog ends a loop that stalls for a minute
    "cooldown": (0, 86400),
    "daily_limit": (0, 1000),
    "random_delay": (0, 3600),
    "restart_patience": (1, 3600),
}
BAD_CONFIG = (OSError, ValueError, TypeError, RecursionError)
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


# --- deciding: pure ---------------------------------------------------------------------------------


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


# --- looking ----------------------------------------------------------------------------------------


def clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(path: str) -> str:
    """A pipe in the place of a file is not waited for."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8", errors="replace") as stream:
        return stream.read()


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


def read_config(path: str) -> Config:
    """Raises BAD_CONFIG."""
    given = dict(json.loads(read(path)))
    for key, what in wrong({**Config()._asdict(), **given}):
        raise ValueError(f"{key}: {what}")
    return Config(**given)


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


def look(config: Config, pid: int) -> tuple[Process, float] | None:
    """Return what parse() does, None for what is gone as well."""
    try:
        return parse(pid, read(f"{config.proc}/{pid}/stat"), read(f"{config.proc}/{pid}/cmdline"), config.sockets)
    except OSError:
        return None


def links(dev: str, igmp: str) -> dict[str, int]:
    """Count links by their files in /proc/PID/net: those there are, and those ever made, at least.

    That is their highest number: younger ones that are gone again are not in it. A BIRD that forgets none remembers
    the difference or more, beside the interfaces that it tells of.
    """
    made = max(map(int, re.findall(r"^\d+", igmp, re.MULTILINE)), default=0)
    return {"links": max(0, dev.count("\n") - 2), "links_made": made}


def owns(process: Process, proc: str) -> bool:
    """Tell whether Calico's socket is of this process, without a connection, which one that hangs does not take."""
    folder = f"{proc}/{process.pid}"
    try:
        # the names of sockets are those within its container; the file has to be this node's
        if not os.path.samefile(f"{folder}/root{process.control}", process.control):
            return False
        pattern = rf" (\d+) {re.escape(process.control)}$"
        sockets = {f"socket:[{number}]" for number in re.findall(pattern, read(f"{folder}/net/unix"), re.MULTILINE)}
        return any(os.readlink(f"{folder}/fd/{each}") in sockets for each in os.listdir(f"{folder}/fd"))
    except OSError:
        return False


def ask(process: Process, proc: str = "/proc") -> Answer:
    """Ask BIRD what a kill would harm; an answer, or a full queue of its own, proves that the socket is its own."""
    deadline, text = time.monotonic() + PATIENCE, bytearray()
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE)
            control.connect(process.control)
            listener = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4]
            if int.from_bytes(listener, sys.byteorder) != process.pid:
                return Answer(FOREIGN)
            control.sendall(b"show interfaces summary\nshow protocols all\nshow status\n")
            while not re.search(rb"^0013 .*\n\Z", text[-99:], re.MULTILINE):  # the end of the status
                left = deadline - time.monotonic()
                if left <= 0:
                    return Answer(SILENT)
                control.settimeout(left)
                piece = control.recv(1 << 18)
                text += piece
                if not piece or len(text) > LARGEST_ANSWER:
                    return Answer(UNREACHABLE)
    except socket.timeout:
        return Answer(SILENT)
    except OSError as error:
        return Answer(SILENT if isinstance(error, BlockingIOError) and owns(process, proc) else UNREACHABLE)
    return understand(text.decode("utf-8", "replace"))


def understand(text: str) -> Answer:
    """Read the replies of BIRD 1.6: on a peer's line 'restart-able' or 'restart-aware' says that it keeps routes."""
    established = [each for each in text.split("\n1002-") if re.search(r"BGP state: +Established", each)]
    unaware = tuple(each.split()[0] for each in established if not re.search(r"Neighbor caps:.* restart-a", each))
    interfaces = re.search(r"^1005-(?:.*\n )*", text, re.MULTILINE)
    recovering = "Graceful restart recovery in progress" in text
    known = interfaces.group().count("\n") + 1 if interfaces else 0
    return Answer(RECOVERING if recovering else "", unaware, known, len(established))


def evidence(config: Config, process: Process, answer: Answer) -> dict[str, Any]:
    """Return what a person would want to know afterwards, as far as it can be had."""
    facts: dict[str, Any] = {"peers": " ".join(answer.unaware)[:2000]}  # a datagram to the journal has an end
    if answer.interfaces is not None:
        facts["interfaces"] = answer.interfaces
    with contextlib.suppress(OSError):
        folder = f"{config.proc}/{process.pid}/net"
        facts.update(links(read(f"{folder}/dev"), read(f"{folder}/igmp")))
    import subprocess  # noqa: PLC0415 - megabytes that are needed a few times a year

    script = "perf record -q -F 99 -e cpu-clock:u -o - -p $1 -- sleep 1 | perf report -q --stdio -s sym -i -"
    command = ["timeout", "-s", "KILL", "5", "sh", "-c", script, "sh", str(process.pid)]
    with contextlib.suppress(OSError):
        # a group of its own, which timeout ends as a whole; our signals are blocked, theirs must not be
        done = subprocess.run(
            command,
            capture_output=True,
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()),
            check=False,
        )
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        facts["symbols"] = ", ".join(" ".join(line.split()) for line in lines if "%" in line)[:300]
    return facts


# --- doing ------------------------------------------------------------------------------------------


def kill(config: Config, process: Process, open_handle: Callable[[int], int] | None) -> str:
    """Kill this process and no other that may have its id by now; return what went wrong, '' for nothing.

    ``open_handle`` is os.pidfd_open; without it, or before Linux 5.3, the id has to do.
    """
    handle = -1
    with contextlib.suppress(OSError):
        handle = open_handle(process.pid) if open_handle else -1
    try:
        found = look(config, process.pid)
        if found is None or found[0] != process:
            return "it is gone"
        number = signal.Signals[f"SIG{config.signal}"]
        os.kill(process.pid, number) if handle < 0 else signal.pidfd_send_signal(handle, number)
        return ""
    except OSError as error:
        return str(error)
    finally:
        if handle >= 0:
            os.close(handle)


def send(address: str, text: str) -> None:
    """Send a datagram to a socket of systemd; nobody may be there, or read."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
        stream.settimeout(PATIENCE)
        stream.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)


def append(path: str, line: str) -> None:
    """Write a line to the file of events, on its own even where a full disk cut the last one off. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(path).st_size > LARGEST_EVENTS:
            os.replace(path, f"{path}.1")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW, 0o640)
    with open(handle, "rb+", buffering=0) as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        is_cut = status.st_size and os.pread(handle, 1, status.st_size - 1) != b"\n"
        stream.write(b"\n" * bool(is_cut) + line.encode() + b"\n")


def put(path: str, text: str) -> None:
    """Write a file whole, in a folder that somebody else may own. Raises OSError."""
    staged = f"{path}.new"
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError("it is no regular file")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as stream:
        os.fchmod(stream.fileno(), 0o644)  # whatever the umask
        stream.write(text)
    os.replace(staged, path)


def told_kill(line: str) -> dict[str, Any]:
    """Return a kill by its line in the file of events, {} for what is none: lines may be damaged in any way."""
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line)
        if isinstance(event, dict) and event.get("event") == "kill":
            times: list[Any] = [event.get("time"), event.get("uptime")]
            return event if all(type(each) in (int, float) and 0 <= each < 1e12 for each in times) else {}
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
        self.follow(None, Answer())

    def follow(self, process: Process | None, answer: Answer) -> None:
        self.process, self.state = process, CALM if process else ABSENT
        self.samples: list[Sample] = []
        self.due: float | None = None
        self.obstacle = ""
        self.hear(answer)

    def hear(self, answer: Answer) -> None:
        is_good = not answer.trouble and answer.established > 0
        self.answer = answer if is_good else self.answer
        self.ask_at = clock() + (ASK_EVERY if is_good else ASK_AGAIN)

    def count(self, reason: str, at: float, date: float) -> None:
        self.kills = [kill for kill in self.kills if at - kill < DAY] + [at]
        self.killed[reason if reason in REASONS else SPINNING] += 1
        self.last_kill = date


class Watchdog:
    """Samples, decides and acts."""

    def __init__(self, config: Config) -> None:
        self.config, self.steps = config, 0
        self.tracks = {name: Track() for name in NAMES}
        self.looks: dict[int, int] = {}  # how often a process was looked at
        self.boot = read("/proc/sys/kernel/random/boot_id").strip()
        self.unadopted: dict[Process, float] = {}  # when it was seen first, or inf where that was told
        self.unwritable: set[str] = set()
        for path in (f"{config.events}.1", config.events):
            with contextlib.suppress(OSError):
                for event in filter(None, map(told_kill, read(path).splitlines())):
                    if event.get("boot") == self.boot and event.get("daemon") in NAMES and event["uptime"] <= clock():
                        self.tracks[event["daemon"]].count(event.get("reason", ""), event["uptime"], event["time"])

    def step(self) -> None:
        """Take one sample of each and act upon it."""
        for track in self.tracks.values():
            self.sample(track)
        missing = [track for track in self.tracks.values() if track.process is None]
        if missing and (self.steps % SCAN_EVERY == 0 or any(track.victim for track in missing)):
            for pid in self.scan():
                self.adopt(pid)
        for name, track in self.tracks.items():
            self.watch(name, track)
        self.steps += 1
        if self.config.metrics:
            self.save(put, self.config.metrics, self.metrics())

    def scan(self) -> list[int]:
        """Return the processes called as BIRD is. New ones are looked at twice: one takes its name after its start."""
        pids = [int(name) for name in os.listdir(self.config.proc) if name.isdigit()]
        known = self.looks if self.steps % FULL_SCAN_EVERY else {}
        self.looks = {pid: known.get(pid, 0) + 1 for pid in pids}
        found = []
        for pid in (pid for pid, looks in self.looks.items() if looks <= 2):
            with contextlib.suppress(OSError):
                if read(f"{self.config.proc}/{pid}/comm").strip() in NAMES:
                    found.append(pid)
        return found

    def adopt(self, pid: int) -> None:
        """Watch a process that holds Calico's socket: one of a node within this node, or a pretender, does not."""
        self.looks[pid] = 0  # to be looked at again: within execve it has no command line, and its socket comes later
        found = look(self.config, pid)
        if found is None or self.tracks[found[0].name].process:
            return
        process, track, answer = found[0], self.tracks[found[0].name], ask(found[0], self.config.proc)
        if answer.trouble in (FOREIGN, UNREACHABLE):
            self.unadopted = {each: since for each, since in self.unadopted.items() if each.pid in self.looks}
            if clock() - self.unadopted.setdefault(process, clock()) >= ADOPTION:
                self.unadopted[process] = float("inf")
                self.tell(2, "not_watched", process, f"is not watched: {answer.trouble}", reason=answer.trouble)
            return
        self.unadopted.clear()
        track.follow(process, answer)
        self.tell(6, "watching", process, f"is watched, its socket is {process.control}")
        if track.victim:
            seconds, same = process.start / TICKS - track.kills[-1], process.parent == track.victim.parent
            where = "under its supervisor" if same else "under another parent"
            self.tell(5 if same else 2, "restarted", process, f"came up {where} {seconds:.1f} s after the kill")
            track.victim = None

    def sample(self, track: Track) -> None:
        found = look(self.config, track.process.pid) if track.process else None
        if found and found[0] == track.process:
            track.samples.append(Sample(clock(), found[1]))
            while len(track.samples) > 2 and track.samples[1].at <= track.samples[-1].at - self.config.window:
                del track.samples[0]
        elif track.process:
            track.follow(None, Answer())
            self.looks.clear()

    def watch(self, name: str, track: Track) -> None:
        now = clock()
        if track.victim:
            if now >= track.overdue and track.state != NOT_RESTARTED:
                self.tell(2, NOT_RESTARTED, track.victim, f"was killed, and no new {name} came up")
            track.state = RESTARTING if now < track.overdue else NOT_RESTARTED
            if track.process and now >= track.overdue:  # it still runs
                track.victim = None
        elif track.process and track.samples:
            age = now - track.process.start / TICKS
            self.judge(track, track.process, decide(track.samples, age, track.kills, track.due, self.config))

    def judge(self, track: Track, process: Process, verdict: str) -> None:
        now, track.state = clock(), verdict
        if verdict in (CALM, HOT):
            track.due, track.obstacle = None, ""
            if now >= track.ask_at:
                track.hear(ask(process, self.config.proc))
        elif verdict in (COOLDOWN, LIMIT):
            self.hold_back(track, process, verdict, Answer())
        elif verdict == DUE and track.due is None and self.config.random_delay:
            track.state, track.obstacle = WAITING, ""
            track.due = now + random.uniform(0, self.config.random_delay)  # noqa: S311
        elif verdict == DUE:
            self.act(track, process)
        if track.obstacle:
            track.state = HELD

    def act(self, track: Track, process: Process) -> None:
        answer = ask(process, self.config.proc)
        track.hear(answer)
        if answer.trouble == SILENT:  # then what it last said about its peers counts
            answer = Answer(SILENT, track.answer.unaware)
        track.due = clock() + RETRY_AFTER
        obstacle, reason = weigh(answer, self.config), answer.trouble or SPINNING
        if obstacle:
            self.hold_back(track, process, obstacle, answer)
            return
        self.tell(2, "kill", process, f"is killed: {reason}", reason=reason, **evidence(self.config, process, answer))
        track.obstacle, trouble = "", kill(self.config, process, getattr(os, "pidfd_open", None))
        if trouble:
            track.state = WAITING
            self.tell(2, "kill_failed", process, f"could not be killed: {trouble}")
        else:
            track.count(reason, clock(), time.time())
            track.victim, track.overdue, track.state = process, clock() + self.config.restart_patience, RESTARTING

    def hold_back(self, track: Track, process: Process, obstacle: str, answer: Answer) -> None:
        if obstacle != track.obstacle:
            track.obstacle = obstacle
            track.held_back[obstacle] += 1
            passes = obstacle in PASSING
            facts = {} if passes else evidence(self.config, process, answer)
            self.tell(5 if passes else 2, HELD, process, f"is not killed: {obstacle}", reason=obstacle, **facts)

    def tell(self, priority: int, event: str, process: Process, text: str, **more: Any) -> None:
        """Write an event to the journal of systemd and, where it is more than information, to the file."""
        now, used = clock(), round(share(self.tracks[process.name].samples), 1)
        age = round(now - process.start / TICKS)
        fields = {"event": event, "daemon": process.name, "pid": process.pid, "share": used, "age": age, **more}
        text = f"{process.name}[{process.pid}] {text} ({used} % of a core, up for {age} s)"
        lines = [f"MESSAGE={text}", f"PRIORITY={priority}", "SYSLOG_IDENTIFIER=nodeward-bird-watchdog"]
        lines += [f"NODEWARD_{key.upper()}={value}" for key, value in fields.items()]
        send(self.config.journal, "\n".join(lines) + "\n")
        if priority < 6:
            record = {"time": time.time(), "boot": self.boot, "uptime": now, **fields, "text": text}
            self.save(append, self.config.events, json.dumps(record))

    def save(self, write: Callable[[str, str], None], path: str, text: str) -> None:
        """Write to a file. A full disk is not worth a word every five seconds: only the first failure is told."""
        try:
            write(path, text)
            self.unwritable.discard(path)
        except OSError as error:
            if path not in self.unwritable:
                sys.stderr.write(f"{path} cannot be written: {error}\n")
            self.unwritable.add(path)

    def metrics(self) -> str:
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
            for name, track in self.tracks.items():
                for each, value in values(track).items():
                    labels = f'daemon="{name}",{label}="{each}"' if label else f'daemon="{name}"'
                    text += f"nodeward_bird_watchdog_{family}{{{labels}}} {float(value)}\n"
        return text


def main(path: str) -> None:
    """Run until SIGTERM. Raises BAD_CONFIG when the configuration cannot be read at the start."""
    signals = {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    watchdog, supervisor = Watchdog(read_config(path)), os.environ.get("NOTIFY_SOCKET", "")
    send(supervisor, "READY=1")
    while True:
        watchdog.step()
        send(supervisor, "WATCHDOG=1")
        until = time.monotonic() + watchdog.config.interval  # never a sample too soon, nor late for many a SIGHUP
        while (left := until - time.monotonic()) > 0:
            came = signal.sigtimedwait(signals, left)
            if came and came.si_signo == signal.SIGTERM:
                with contextlib.suppress(OSError):  # the next one may write elsewhere
                    os.unlink(watchdog.config.metrics)
                return
            try:
                watchdog.config = read_config(path) if came else watchdog.config
            except BAD_CONFIG as error:
                sys.stderr.write(f"the configuration stays as it was: {error}\n")


if __name__ == "__main__":
    main(sys.argv[1])
