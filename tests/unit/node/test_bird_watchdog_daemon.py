"""The daemon of bird_watchdog among real processes: what spins is killed, and nothing else ever is."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_daemon as daemon
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_daemon import (
    Config,
    Process,
    Watchdog,
    kill,
    look,
)

from tests.unit.node.fake_birds import RECOVERING, Birds, cpu_seconds, replies, wait_for

# Two cores are shared with other tests, so a busy process may get little of one: a tick (0.01 s) in each interval.
THRESHOLD, INTERVAL, WINDOW = 4.0, 0.2, 0.8


PERF = """#!/bin/sh
[ "$1" = report ] && echo "    83.10%  [.] if_find_by_index" && echo && echo "    11.90%  [.] if_find_by_name"
exit 0
"""


@pytest.fixture
def birds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Birds]:
    with tempfile.TemporaryDirectory(prefix="birds") as folder:  # short: the path of a socket has 107 characters
        made = Birds(Path(folder))
        # a perf that takes no seconds
        (made.folder / "bin").mkdir()
        (made.folder / "bin/perf").write_text(PERF)
        (made.folder / "bin/perf").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        try:
            yield made
        finally:
            made.end()


def config(birds: Birds, **given: Any) -> Config:
    """Return one in which everything happens soon."""
    soon = Config(
        threshold=THRESHOLD,
        interval=INTERVAL,
        window=WINDOW,
        cooldown=0.0,
        random_delay=0.0,
        restart_patience=3.0,
        sockets=str(birds.folder),
        events=str(birds.folder / "events.jsonl"),
        metrics=str(birds.folder / "metrics.prom"),
        journal=str(birds.folder / "journal"),
    )
    return soon._replace(**given)


def events(birds: Birds) -> list[dict[str, Any]]:
    path = birds.folder / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(birds: Birds) -> list[str]:
    return [event["event"] for event in events(birds)]


def metric(birds: Birds, name: str, labels: str) -> float:
    line = f"nodeward_bird_watchdog_{name}{{{labels}}}"
    text = (birds.folder / "metrics.prom").read_text()
    [value] = re.findall(rf"^{re.escape(line)} (.+)$", text, re.MULTILINE)
    return float(value)


def run(watchdog: Watchdog, done: Callable[[], bool], patience: float = 20.0) -> None:
    """Let it step until something is so."""
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        watchdog.step()
        time.sleep(watchdog.config.interval)


def steps(watchdog: Watchdog, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        watchdog.step()
        time.sleep(watchdog.config.interval)


def test_what_spins_is_killed_and_comes_back_and_says_so(birds: Birds):
    supervisor = birds.start(supervised=True)
    spinning = birds.child(supervisor)
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds))
    run(watchdog, lambda: "restarted" in told(birds))
    assert birds.child(supervisor) != spinning

    killed, restarted = events(birds)[:2]
    assert (killed["event"], killed["pid"], killed["reason"]) == ("kill", spinning, "spinning")
    assert killed["share"] >= THRESHOLD
    assert killed["interfaces"] == 2
    assert killed["symbols"] == "83.10% [.] if_find_by_index, 11.90% [.] if_find_by_name"
    assert killed["links"] > 0
    assert killed["links_made"] >= killed["links"] - 1
    assert (restarted["event"], restarted["pid"]) == ("restarted", birds.child(supervisor))
    assert "under its supervisor" in restarted["text"]
    assert metric(birds, "kills_total", 'daemon="bird",reason="spinning"') == 1
    assert metric(birds, "last_kill_timestamp_seconds", 'daemon="bird"') == pytest.approx(time.time(), abs=30)
    assert metric(birds, "state", 'daemon="bird6",state="absent"') == 1


def test_bystanders_at_full_speed_are_left_alone(birds: Birds):
    (birds.folder / "host").mkdir()
    bystanders = [
        birds.start(control="/run/bird/bird.ctl"),
        birds.start(control=str(birds.folder / "host/bird.ctl")),
        subprocess.Popen([str(birds.folder / "bird"), "-c", "while True: pass"]),
    ]
    zombie = birds.start()
    os.kill(zombie.pid, signal.SIGKILL)  # nobody has waited for it yet
    watchdog = Watchdog(config(birds))
    before = [cpu_seconds(process.pid) for process in bystanders]
    begin = time.monotonic()
    steps(watchdog, 3.0)
    busy = sum(cpu_seconds(p.pid) for p in bystanders) - sum(before)
    assert busy / (time.monotonic() - begin) > 3 * THRESHOLD / 100 / 2, "the case proves nothing"
    assert [process.poll() for process in bystanders] == [None] * 3
    assert told(birds) == []
    assert watchdog.tracks["bird"].process is None
    bystanders[2].kill()
    bystanders[2].wait()


def test_a_calm_one_is_left_alone(birds: Birds):
    calm = birds.start(busy=0.1)
    watchdog = Watchdog(config(birds, threshold=60.0))
    run(watchdog, lambda: watchdog.tracks["bird"].process is not None)
    steps(watchdog, 1.5)
    assert watchdog.tracks["bird"].state == "calm"
    assert calm.poll() is None
    assert told(birds) == []


def test_a_burst_that_ends_is_left_alone(birds: Birds):
    busy = birds.start()
    watchdog = Watchdog(config(birds, window=3.0))
    run(watchdog, lambda: watchdog.tracks["bird"].state == "hot")
    birds.mark("calm")
    run(watchdog, lambda: watchdog.tracks["bird"].state == "calm")
    steps(watchdog, 3.0)
    assert watchdog.tracks["bird"].state == "calm"
    assert busy.poll() is None
    assert told(birds) == []


HELD_BACK: list[tuple[str, str, dict[str, Any], str]] = [
    ("a peer would drop the routes", replies("restart-able ", ""), {}, "no_graceful_restart"),
    ("it recovers", replies("restart-able ", extra=RECOVERING), {}, "graceful_restart_recovery"),
    ("only looking", replies("restart-able "), {"mode": "observe"}, "observe"),
    ("no kill is allowed", replies("restart-able "), {"daily_limit": 0}, "daily_limit"),
    ("it is young", replies("restart-able "), {"cooldown": 60.0}, "cooldown"),
]


@pytest.mark.parametrize(
    ("text", "given", "reason"), [case[1:] for case in HELD_BACK], ids=[case[0] for case in HELD_BACK]
)
def test_a_kill_that_is_held_back_is_told_once(birds: Birds, text, given, reason):
    birds.say(text)
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds, **given))
    run(watchdog, lambda: bool(told(birds)))
    assert metric(birds, "state", 'daemon="bird",state="held_back"') == 1
    [event] = events(birds)
    assert (event["event"], event["reason"]) == ("held_back", reason)
    assert event.get("peers", "") == ("Mesh_1" if reason == "no_graceful_restart" else "")
    run(watchdog, lambda: watchdog.steps % 5 == 0)
    assert busy.poll() is None
    # once, but for a busy machine on which its share fell meanwhile
    assert metric(birds, "suppressed_kills_total", f'daemon="bird",reason="{reason}"') == len(events(birds)) <= 3


def test_a_peer_without_graceful_restart_may_be_given_up(birds: Birds):
    birds.say(replies(""))
    busy = birds.start()
    run(Watchdog(config(birds, kill_without_graceful_restart=True)), lambda: busy.poll() is not None)
    assert events(birds)[0]["reason"] == "spinning"


def test_silence_is_a_reason(birds: Birds):
    birds.mark("silent")
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    run(Watchdog(config(birds)), lambda: busy.poll() is not None)
    assert events(birds)[0]["reason"] == "socket_silent"


def test_what_was_said_before_the_silence_counts(birds: Birds):
    birds.say(replies(""))
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds))
    run(watchdog, lambda: watchdog.tracks["bird"].process is not None)
    birds.mark("silent")
    run(watchdog, lambda: bool(told(birds)))
    assert busy.poll() is None
    assert events(birds)[0]["reason"] == "no_graceful_restart"


def test_without_its_socket_nothing_is_killed(birds: Birds):
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds))
    run(watchdog, lambda: watchdog.tracks["bird"].process is not None)
    os.unlink(birds.socket())
    run(watchdog, lambda: bool(told(birds)))
    assert busy.poll() is None
    assert events(birds)[0]["reason"] == "socket_unreachable"


def test_a_socket_of_another_process_is_no_proof(birds: Birds):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(birds.socket())
        other.listen(1)
        (birds.folder / "replies").unlink()  # so that it opens none
        busy = birds.start()
        watchdog = Watchdog(config(birds))
        steps(watchdog, 1.5)
        assert watchdog.tracks["bird"].process is None
        assert busy.poll() is None
    assert told(birds) == []


def test_a_supervisor_that_does_not_restart_is_told_once_and_nothing_more_is_killed(birds: Birds):
    alone = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds, restart_patience=0.5))
    run(watchdog, lambda: alone.poll() is not None)
    run(watchdog, lambda: "not_restarted" in told(birds))
    steps(watchdog, 0.5)
    assert told(birds) == ["kill", "not_restarted"]
    assert metric(birds, "state", 'daemon="bird",state="not_restarted"') == 1
    # and whoever starts it by hand is told as well
    birds.mark("calm")
    birds.start()
    run(watchdog, lambda: "restarted" in told(birds))
    assert metric(birds, "state", 'daemon="bird",state="not_restarted"') == 0


def test_a_process_that_survives_its_kill_is_watched_on(birds: Birds):
    busy = birds.start()
    watchdog = Watchdog(config(birds, signal="CONT", restart_patience=0.3, cooldown=2.0))
    wait_for(lambda: Path(birds.socket()).exists())
    run(watchdog, lambda: "not_restarted" in told(birds))
    run(watchdog, lambda: told(birds)[-1] == "held_back")
    assert events(birds)[-1]["reason"] == "cooldown"
    assert busy.poll() is None


def test_the_random_delay_is_waited_for_and_the_share_measured_again(birds: Birds):
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds, random_delay=600.0))
    track = watchdog.tracks["bird"]
    run(watchdog, lambda: track.state == "waiting")
    assert track.due is not None
    steps(watchdog, 0.3)
    assert busy.poll() is None
    track.due = daemon.clock() + 0.3  # a short delay
    birds.mark("calm")
    steps(watchdog, 1.0)
    assert busy.poll() is None
    assert watchdog.tracks["bird"].due is None
    birds.mark("calm", there=False)
    run(watchdog, lambda: track.state == "waiting")
    track.due = daemon.clock()
    run(watchdog, lambda: busy.poll() is not None)


def unreadable_handle(_pid: int) -> int:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.mark.parametrize("open_handle", [os.pidfd_open, None, unreadable_handle], ids=["pidfd", "none", "old kernel"])
def test_an_id_that_was_given_to_another_process_is_not_hit(birds: Birds, open_handle):
    busy = birds.start()
    wait_for(lambda: look(config(birds), busy.pid) is not None)
    found = look(config(birds), busy.pid)
    assert found is not None
    measured = found[0]
    for other in (measured._replace(start=measured.start - 1), measured._replace(name="bird6")):
        assert kill(config(birds), other, open_handle) == "it is gone"
    assert busy.poll() is None
    assert kill(config(birds), measured, open_handle) == ""
    assert busy.wait() == -signal.SIGKILL
    assert kill(config(birds), measured, open_handle) == "it is gone"


def test_a_kill_that_is_refused_is_told(birds: Birds):
    busy = birds.start()
    wait_for(lambda: look(config(birds), busy.pid) is not None)
    found = look(config(birds), busy.pid)
    assert found is not None
    os.unlink(birds.folder / "bird")
    folder = birds.folder / "proc"
    (folder / "1").mkdir(parents=True)
    for name in ("stat", "cmdline"):
        (folder / "1" / name).write_text(Path(f"/proc/{busy.pid}/{name}").read_text())
    # what /proc shows is not what the kernel has: 2**22 + 1 is the id of no process
    os.rename(folder / "1", folder / str(2**22 + 1))
    other = Process(2**22 + 1, *found[0][1:])
    assert "No such process" in kill(config(birds, proc=str(folder)), other, None)


def test_kills_are_remembered_over_a_restart_of_the_daemon(birds: Birds):
    supervisor = birds.start(supervised=True)
    wait_for(lambda: Path(birds.socket()).exists())
    run(Watchdog(config(birds)), lambda: "restarted" in told(birds))
    with open(birds.folder / "events.jsonl", "a") as stream:
        stream.write('{"event": "kill", "boot": "another", "daemon": "bird", "uptime": 1, "reason": "spinning"}\n{"ev')
    again = Watchdog(config(birds, daily_limit=1))
    assert len(again.tracks["bird"].kills) == 1
    run(again, lambda: '"daily_limit"' in (birds.folder / "events.jsonl").read_text())
    assert metric(birds, "kills_total", 'daemon="bird",reason="spinning"') == 1
    assert supervisor.poll() is None


def test_the_file_of_events_is_rotated_and_a_full_disk_is_no_end(birds: Birds):
    path = birds.folder / "events.jsonl"
    path.write_text(" " * (daemon.LARGEST_EVENTS + 1))
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds, metrics="/proc/version/metrics.prom", mode="observe"))
    run(watchdog, lambda: watchdog.tracks["bird"].state == "held_back")
    assert told(birds) == ["held_back"]
    assert (birds.folder / "events.jsonl.1").stat().st_size > daemon.LARGEST_EVENTS
    nowhere = Watchdog(
        config(birds, events="/proc/version/events", metrics="/proc/version/metrics")
    )  # never a device: it would be replaced
    run(nowhere, lambda: busy.poll() is not None)


def test_new_processes_are_found_without_reading_all_of_proc(birds: Birds, tmp_path: Path):
    for pid in range(1, 6):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text("sleep\n")
    watchdog = Watchdog(config(birds, proc=str(tmp_path)))
    assert watchdog.scan() == []
    (tmp_path / "2/comm").write_text("bird\n")  # execve closes files before it gives the name
    watchdog.steps = 1
    assert watchdog.scan() == [2]
    (tmp_path / "1/comm").write_text("bird\n")  # looked at already, and not new
    (tmp_path / "6").mkdir()
    (tmp_path / "6/comm").write_text("runsv\n")
    assert watchdog.scan() == []
    (tmp_path / "6/comm").write_text("bird6\n")  # it has taken its name
    assert watchdog.scan() == [6]
    assert watchdog.scan() == []
    watchdog.steps = daemon.FULL_SCAN_EVERY
    assert sorted(watchdog.scan()) == [1, 2, 6]


def test_a_process_within_execve_is_looked_at_again(birds: Birds, tmp_path: Path):
    (tmp_path / "7").mkdir()
    for name, text in (("comm", "bird\n"), ("stat", ""), ("cmdline", "")):
        (tmp_path / "7" / name).write_text(text)
    watchdog = Watchdog(config(birds, proc=str(tmp_path)))
    for watchdog.steps in (0, 1, 2, 3):
        assert watchdog.scan() == [7]
        watchdog.adopt(7)


# --- what others do to it ---------------------------------------------------------------------------


def full(birds: Birds, peers: list[socket.socket]) -> None:
    """Fill the queue of a BIRD that hangs, once it has taken the first out of it, which it never answers."""
    while len(peers) < 100:
        peer = socket.socket(socket.AF_UNIX)
        peers.append(peer)
        peer.setblocking(False)
        try:
            peer.connect(birds.socket())
        except BlockingIOError:
            return
        wait_for((birds.folder / "hangs").exists)


@pytest.fixture
def peers() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for each in made:
        each.close()


def test_one_that_hangs_already_is_watched_and_killed(birds: Birds, peers: list[socket.socket]):
    birds.mark("silent")
    busy = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    full(birds, peers)
    assert daemon.ask(Process(busy.pid, 0, "bird", 0, birds.socket())).trouble == "socket_silent"
    assert daemon.ask(Process(os.getpid(), 0, "bird", 0, birds.socket())).trouble == "socket_unreachable"
    run(Watchdog(config(birds)), lambda: busy.poll() is not None)
    assert events(birds)[0]["reason"] == "socket_silent"


def test_one_that_cannot_be_watched_is_told_once(birds: Birds, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(daemon, "ADOPTION", 0.5)
    (birds.folder / "replies").unlink()  # so that it opens no socket
    busy = birds.start()
    watchdog = Watchdog(config(birds))
    monkeypatch.setattr(daemon, "SCAN_EVERY", 1)
    run(watchdog, lambda: bool(told(birds)))
    steps(watchdog, 1.0)
    assert [(each["event"], each["pid"]) for each in events(birds)] == [("not_watched", busy.pid)]
    assert busy.poll() is None


ANSWERING = [("floods", b"x" * (1 << 18), 0.0), ("dribbles", b"x", 0.0005), ("is slow", b"x", 0.5)]


@pytest.mark.parametrize(("piece", "pause"), [case[1:] for case in ANSWERING], ids=[case[0] for case in ANSWERING])
def test_an_answer_without_an_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, piece, pause):
    monkeypatch.setattr(daemon, "PATIENCE", 0.7)
    is_over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory(prefix="bird") as folder:
        listening.bind(f"{folder}/s")
        listening.listen(1)

        def answer() -> None:
            with listening.accept()[0] as peer, contextlib.suppress(OSError):
                while not is_over.wait(pause):
                    peer.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        begin = time.monotonic()
        said = daemon.ask(Process(os.getpid(), 0, "bird", 0, f"{folder}/s"))
        took = time.monotonic() - begin
        is_over.set()
        thread.join()
    assert (said.trouble, took < 3) == ("socket_unreachable" if len(piece) > 1 else "socket_silent", True)


def test_the_successor_that_came_in_time_is_seen_before_the_alarm(birds: Birds):
    watchdog = Watchdog(config(birds))
    alone = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    run(watchdog, lambda: alone.poll() is not None)
    birds.mark("calm")
    birds.start()
    wait_for(lambda: daemon.ask(Process(birds.started[-1].pid, 0, "bird", 0, birds.socket())).trouble == "")
    watchdog.tracks["bird"].overdue = 0.0  # as after a step that took long
    watchdog.step()
    assert told(birds) == ["kill", "restarted"]


def test_peers_are_asked_for_until_one_is_known_and_remembered_over_a_restart(
    birds: Birds, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(daemon, "ASK_AGAIN", 0.2)
    birds.say(replies())  # no session is up yet
    birds.mark("calm")
    first = birds.start()
    wait_for(lambda: Path(birds.socket()).exists())
    watchdog = Watchdog(config(birds))
    track = watchdog.tracks["bird"]
    run(watchdog, lambda: track.process is not None)
    assert not track.answer.unaware
    birds.say(replies(""))
    run(watchdog, lambda: track.answer.unaware == ("Mesh_0",))
    first.kill()
    first.wait()
    birds.say(replies(extra=RECOVERING))
    second = birds.start()
    run(watchdog, lambda: track.process is not None and track.process.pid == second.pid)
    assert track.answer.unaware == ("Mesh_0",)


def test_a_perf_that_hangs_is_ended_with_all_that_it_started(birds: Birds):
    mark = str(birds.folder / "hangs")
    script = f"#!/bin/sh\ntrap '' TERM\nif [ $1 = record ]; then sleep 41.5; fi\necho $$ >> {mark}\nexec sleep 41.5\n"
    (birds.folder / "bin/perf").write_text(script)
    was = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})  # as in main()
    try:
        begin = time.monotonic()
        daemon.evidence(config(birds), Process(os.getpid(), 0, "bird", 0, ""), daemon.Answer())
        assert time.monotonic() - begin < 8
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, was)
    wait_for(lambda: not Path(f"/proc/{int(Path(mark).read_text().split()[0])}/cwd").exists())


def test_a_metrics_folder_of_others_is_written_with_care(birds: Birds, tmp_path: Path):
    victim, path = tmp_path / "victim", birds.folder / "metrics.prom"
    victim.write_text("precious")
    staged = Path(f"{path}.new")
    os.link(victim, staged)
    watchdog = Watchdog(config(birds))
    watchdog.step()
    assert (victim.read_text(), path.stat().st_mode & 0o777) == ("precious", 0o644)
    os.mkfifo(staged)  # nobody reads it, and it is not waited for
    watchdog.step()
    assert not staged.exists()
    path.unlink()
    path.symlink_to(victim)
    watchdog.step()
    assert (victim.read_text(), path.is_symlink(), staged.exists()) == ("precious", True, False)


def test_what_cannot_be_written_is_said_once(birds: Birds, capsys: pytest.CaptureFixture[str]):
    watchdog = Watchdog(config(birds, metrics=str(birds.folder / "none/metrics.prom")))
    for _ in range(3):
        watchdog.step()
    assert capsys.readouterr().err.count("none/metrics.prom cannot be written") == 1
    (birds.folder / "none").mkdir()
    watchdog.step()
    shutil.rmtree(birds.folder / "none")
    watchdog.step()
    assert capsys.readouterr().err.count("cannot be written") == 1, "again after it went well"


def test_the_file_of_events_is_a_file_and_a_cut_line_harms_no_other(birds: Birds, tmp_path: Path):
    path = birds.folder / "events.jsonl"
    path.write_text('{"event": "ki')
    daemon.append(str(path), "1")
    daemon.append(str(path), "2")
    assert path.read_text() == '{"event": "ki\n1\n2\n'
    path.unlink()
    os.mkfifo(path)  # neither a read at the start nor a write waits for its other end
    Watchdog(config(birds))
    with pytest.raises(OSError, match="no regular file"):
        daemon.append(str(path), "3")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        daemon.append(str(path), "3")


# --- as a process of its own ------------------------------------------------------------------------


# With bounds that a test can wait for.
MAIN = """
import sys
sys.path.insert(0, sys.argv[1])
import bird_watchdog_daemon as daemon
daemon.BOUNDS.clear()
daemon.main(sys.argv[2])
"""


class Service:
    """The daemon as systemd runs it."""

    def __init__(self, birds: Birds, given: Config) -> None:
        self.path = birds.folder / "config.json"
        self.write(given)
        self.notified = self._listen(birds.folder / "notify")
        self.journal = self._listen(birds.folder / "journal")
        environment = {**os.environ, "NOTIFY_SOCKET": str(birds.folder / "notify")}
        command = [sys.executable, "-I", "-S", "-c", MAIN, os.path.dirname(daemon.__file__), str(self.path)]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.notified.recv(100) == b"READY=1"

    def write(self, given: Config) -> None:
        self.path.write_text(json.dumps(given._asdict()))

    @staticmethod
    def _listen(path: Path) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(str(path))
        made.settimeout(20)
        return made

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.notified.close()
        self.journal.close()


@pytest.fixture
def service(birds: Birds) -> Iterator[Service]:
    birds.say(replies(""))
    made = Service(birds, config(birds))
    try:
        yield made
    finally:
        made.end()


def test_the_daemon_as_a_service(birds: Birds, service: Service):
    busy = birds.start()
    assert service.notified.recv(100) == b"WATCHDOG=1"
    service.notified.close()  # nobody listens any more: no reason to stop
    entry: dict[str, str] = {}
    while entry.get("NODEWARD_EVENT") != "held_back":
        entry = dict(line.split("=", 1) for line in service.journal.recv(1 << 16).decode().splitlines())
    assert entry["PRIORITY"] == "2"
    assert entry["SYSLOG_IDENTIFIER"] == "nodeward-bird-watchdog"
    assert entry["MESSAGE"].startswith(f"bird[{busy.pid}] is not killed: no_graceful_restart")
    assert entry["NODEWARD_DAEMON"] == "bird"
    assert float(entry["NODEWARD_SHARE"]) >= THRESHOLD
    assert entry["NODEWARD_PEERS"] == "Mesh_0"

    service.path.write_text("{")
    service.process.send_signal(signal.SIGHUP)
    assert service.process.stderr is not None
    assert "stays as it was" in service.process.stderr.readline()
    assert busy.poll() is None

    birds.mark("calm")  # so that the next kill is weighed at once
    wait_for(lambda: metric(birds, "state", 'daemon="bird",state="calm"') == 1)
    service.write(config(birds, kill_without_graceful_restart=True))
    service.process.send_signal(signal.SIGHUP)
    birds.mark("calm", there=False)
    wait_for(lambda: busy.poll() is not None)

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0
    assert not (birds.folder / "metrics.prom").exists(), "the next one may write elsewhere"


def test_many_a_reload_does_not_stop_the_samples(service: Service):
    deadline = time.monotonic() + 20 * INTERVAL
    service.notified.setblocking(False)
    count = 0
    while time.monotonic() < deadline:
        service.process.send_signal(signal.SIGHUP)
        time.sleep(INTERVAL / 10)
        with contextlib.suppress(BlockingIOError):
            count += service.notified.recv(100) == b"WATCHDOG=1"
    assert count >= 4


def test_a_bad_configuration_at_the_start_is_an_error(birds: Birds):
    done = subprocess.run(
        [sys.executable, daemon.__file__, str(birds.folder / "none")], capture_output=True, check=False
    )
    assert done.returncode == 1
