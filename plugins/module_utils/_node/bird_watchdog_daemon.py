# Private to the collection nodeward.calico: may change in any release.
"""Kills a bird or bird6 of Calico that spins, so that its supervisor starts it anew: bird_watchdog.py CONFIG.

The last part of the program that a node gets as one file: bird_watchdog_decision.py says what is to be done, out of
bird_watchdog_io.py come the steps, and Watchdog takes them. Standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from typing import Any, Callable

from .bird_watchdog_decision import (
    ABSENT,
    CALM,
    COOLDOWN,
    DAY,
    DUE,
    FOREIGN,
    HELD,
    HOT,
    LIMIT,
    NAMES,
    NOT_RESTARTED,
    PASSING,
    RESTARTED,
    RESTARTING,
    SILENT,
    SPINNING,
    STARVED,
    TICKS,
    UNREACHABLE,
    WAITING,
    Answer,
    Config,
    Process,
    Track,
    decide,
    metrics,
    share,
    wanted,
    weigh,
)
from .bird_watchdog_io import (
    BAD_CONFIG,
    append,
    ask,
    clock,
    evidence,
    kill,
    look,
    one_line,
    put,
    read,
    read_config,
    read_end,
    sample,
    send,
)
from .bird_watchdog_reading import told_kills, told_victim

SCAN_EVERY = 6  # samples between two looks for new processes
SHARES = 30  # of the others, one of which is looked at again each time: no minute costs more than another
ADOPTION = 60.0  # seconds in which a BIRD has to have opened its socket
RETRY_AFTER = 60.0  # seconds until a kill that was held back is weighed again


class Watchdog:
    """Samples, decides and acts."""

    def __init__(self, config: Config, date: Callable[[], float] = time.time) -> None:
        self.config, self.steps = config, 0
        self.date, self.booted = date, 0.0  # seconds since 1970, by a clock that may be set at any time
        self.tracks = {name: Track() for name in NAMES}
        self.looks: dict[int, int] = {}  # how often a process was looked at
        self.boot = read("/proc/sys/kernel/random/boot_id").strip()
        self.unadopted: dict[Process, float] = {}  # when it was seen first, or inf where that was told
        self.unwritable: set[str] = set()
        files = ([f"{path}.1", path] for path in (config.events, config.kept))
        told = [told_kills(line for path in paths for line in read_end(path)) for paths in files]
        for event in max([[each for each in kills if self.is_of_now(each)] for kills in told], key=len):
            self.remember(self.tracks[event["daemon"]], event)

    def is_of_now(self, kill: dict[str, Any]) -> bool:
        return kill.get("boot") == self.boot and kill.get("daemon") in NAMES and kill["uptime"] <= clock()

    def remember(self, track: Track, event: dict[str, Any]) -> None:
        """Take up a kill by a watchdog that ran before, and wait on for the successor."""
        at, then = event["uptime"], event.get("then")
        track.count(event.get("reason", ""), at)
        track.victim = told_victim(event) if then != RESTARTED and clock() - at < DAY else None
        track.overdue = at + self.config.restart_patience
        track.state = NOT_RESTARTED if track.victim and then == NOT_RESTARTED else ABSENT  # told of already, or not

    def take(self, config: Config) -> None:
        """Go on with another configuration; metrics that nobody would write any more must not stay."""
        if config.metrics != self.config.metrics:
            with contextlib.suppress(OSError):
                os.unlink(self.config.metrics)
        self.config = config

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
        booted = self.date() - clock()
        self.booted = booted if abs(booted - self.booted) > 1 else self.booted  # set, not just adjusted
        if self.config.metrics:
            self.save(put, self.config.metrics, metrics(self.tracks, self.booted))

    def scan(self) -> list[int]:
        """Return the processes called as BIRD is. New ones are looked at twice: one takes its name after its start."""
        pids = [int(name) for name in os.listdir(self.config.proc) if name.isdigit()]
        turn = self.steps // SCAN_EVERY % SHARES
        self.looks = {pid: 1 if pid % SHARES == turn else self.looks.get(pid, 0) + 1 for pid in pids}
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
        self.unadopted.pop(process, None)
        track.follow(process, answer, clock())
        self.tell(6, "watching", process, f"is watched, its socket is {process.control}")
        if track.victim and track.victim[:2] == process[:2]:
            track.victim = None  # the one before ended just before the kill
        if track.victim:
            seconds, same = process.start / TICKS - track.kills[-1], process.parent == track.victim.parent
            where = "under its supervisor" if same else "under another parent"
            self.tell(5 if same else 2, RESTARTED, process, f"came up {where} {max(seconds, 0.0):.1f} s after the kill")
            track.victim = None

    def sample(self, track: Track) -> None:
        found = look(self.config, track.process.pid) if track.process else None
        if found and found[0] == track.process:
            seen = sample(self.config, found[0].pid, found[1])
            track.add(seen, self.config.window, self.config.interval)
        elif track.process:
            track.follow(None, Answer(), clock())
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
                track.hear(ask(process, self.config.proc), now)
        elif verdict in (COOLDOWN, LIMIT, STARVED):
            track.due = None
            self.hold_back(track, process, verdict, Answer(), self.rivals() if verdict == STARVED else "")
        elif verdict == DUE and track.due is None and self.config.random_delay:
            track.state, track.obstacle = WAITING, ""
            track.due = now + random.uniform(0, self.config.random_delay)  # noqa: S311 - no secret
        elif verdict == DUE:
            self.act(track, process)
        if track.obstacle:
            track.state = HELD

    def act(self, track: Track, process: Process) -> None:
        answer = ask(process, self.config.proc)
        track.hear(answer, clock())
        if answer.trouble == SILENT:  # then what it last said about its peers counts
            answer = Answer(SILENT, track.answer.unaware)
        track.due = clock() + RETRY_AFTER
        obstacle, reason = weigh(answer, self.config), answer.trouble or SPINNING
        if obstacle:
            self.hold_back(track, process, obstacle, answer)
            return
        facts = {"start": process.start, "parent": process.parent, **evidence(self.config, process, answer)}
        self.tell(2, "kill", process, f"is killed: {reason}", reason=reason, **facts)
        track.obstacle, trouble = "", kill(self.config, process, getattr(os, "pidfd_open", None))
        if trouble:
            track.state, track.failed = WAITING, track.failed + 1
            track.due = clock() + min(3600.0, RETRY_AFTER * 2**track.failed)
            self.tell(2, "kill_failed", process, f"could not be killed: {trouble}")
        else:
            track.count(reason, clock())
            track.victim, track.overdue, track.state = process, clock() + self.config.restart_patience, RESTARTING

    def rivals(self) -> str:
        """Say it where bird and bird6 take the core from each other: which of them spins, no share tells.

        An honest one that shares a core with one that spins waits as long as it works, and is as slow to answer; the
        links are the node's, the same for both. So neither is killed.
        """
        hot = {name: track.samples for name, track in self.tracks.items() if track.state not in (CALM, ABSENT)}
        shares = {name: share((samples[0], samples[-1])) for name, samples in hot.items() if len(samples) > 1}
        if len(shares) < 2 or sum(shares.values()) < self.config.threshold:
            return ""
        return " and ".join(f"{name} ({used:.0f} %)" for name, used in shares.items())

    def hold_back(self, track: Track, process: Process, obstacle: str, answer: Answer, rivals: str = "") -> None:
        if obstacle != track.obstacle:
            track.obstacle = obstacle
            track.held_back[obstacle] += 1
            passes = obstacle in PASSING
            facts = {} if passes else evidence(self.config, process, answer)
            facts |= {"rivals": rivals} if rivals else {}
            text = f"is not killed: {obstacle}" + f"; {rivals} take a core from each other" * bool(rivals)
            self.tell(5 if passes else 2, HELD, process, text, reason=obstacle, **facts)

    def tell(self, priority: int, event: str, process: Process, text: str, **more: Any) -> None:
        """Write an event to the journal of systemd and, where it is more than information, to the file."""
        now, samples = clock(), self.tracks[process.name].samples[-2:]
        used, would = (round(share(each), 1) for each in (samples, wanted(samples)))
        age, limit = round(now - process.start / TICKS), round(100 * samples[-1].limit if samples else 100)
        fields = {"event": event, "daemon": process.name, "pid": process.pid, "age": age}
        fields |= {"share": used, "wanted": would, "limit": limit, **more}
        text += f" ({used} % of a core, of {limit} % that it may use; it wanted {would} %; up for {age} s)"
        text = f"{process.name}[{process.pid}] {text}"
        lines = [f"MESSAGE={text}", f"PRIORITY={priority}", "SYSLOG_IDENTIFIER=nodeward-bird-watchdog"]
        lines += [f"NODEWARD_{key.upper()}={value}" for key, value in fields.items()]
        send(self.config.journal, "\n".join(lines) + "\n")
        if priority < 6:
            record = {"time": self.date(), "boot": self.boot, "uptime": now, **fields, "text": text}
            self.save(append, self.config.events, json.dumps(record))
            if self.config.kept and event not in (HELD, "not_watched"):
                self.save(append, self.config.kept, json.dumps(record))

    def save(self, write: Callable[[str, str], None], path: str, text: str) -> None:
        """Write to a file. A full disk is not worth a word every five seconds: only the first failure is told."""
        try:
            write(path, text)
            self.unwritable.discard(path)
        except OSError as error:
            if path not in self.unwritable:
                sys.stderr.write(f"{path} cannot be written: {error}\n")
            self.unwritable.add(path)


def main(path: str) -> None:
    """Run until SIGTERM. Ends with a line of error when the configuration cannot be read at the start."""
    signals = {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        config = read_config(path)
    except BAD_CONFIG as error:
        sys.exit(one_line(path, error))
    watchdog, supervisor = Watchdog(config), os.environ.get("NOTIFY_SOCKET", "")
    send(supervisor, "READY=1")
    while True:
        watchdog.step()
        send(supervisor, "WATCHDOG=1")
        until = time.monotonic() + watchdog.config.interval  # never a sample too soon, nor late for many a SIGHUP
        while (left := until - time.monotonic()) > 0:
            came = signal.sigtimedwait(signals, left)
            if came and came.si_signo == signal.SIGTERM:
                watchdog.take(watchdog.config._replace(metrics=""))  # the next one may write elsewhere
                return
            try:
                watchdog.take(read_config(path) if came else watchdog.config)
            except BAD_CONFIG as error:
                sys.stderr.write(f"the configuration stays as it was: {one_line(path, error)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
