"""The daemon of bird_watchdog finds the BIRDs of Calico among all processes, and asks them."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_daemon as daemon
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_decision as decision
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_io as world
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_daemon import Watchdog
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import Process

from tests.unit.node.fake_birds import RECOVERING, Birds, replies, wait_for
from tests.unit.node.watched_birds import config, events, run, steps, told


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
    found = []
    for watchdog.steps in range(0, daemon.SHARES * daemon.SCAN_EVERY, daemon.SCAN_EVERY):
        found.append(watchdog.scan())
    assert {pid for each in found for pid in each} == {1, 2, 6}
    assert max(map(len, found)) <= 2, "a share at a time, and that one twice"


def test_a_process_within_execve_is_looked_at_again(birds: Birds, tmp_path: Path):
    (tmp_path / "7").mkdir()
    for name, text in (("comm", "bird\n"), ("stat", ""), ("cmdline", "")):
        (tmp_path / "7" / name).write_text(text)
    watchdog = Watchdog(config(birds, proc=str(tmp_path)))
    for watchdog.steps in (0, 1, 2, 3):
        assert watchdog.scan() == [7]
        watchdog.adopt(7)


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
    wait_for(birds.listens)
    full(birds, peers)
    assert world.ask(Process(busy.pid, 0, "bird", 0, birds.socket())).trouble == "socket_silent"
    assert world.ask(Process(os.getpid(), 0, "bird", 0, birds.socket())).trouble == "socket_unreachable"
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
    birds.say(replies("restart-able "))  # the other one, which can be watched, is no news of this one
    birds.mark("calm")
    birds.start("bird6")
    run(watchdog, lambda: watchdog.tracks["bird6"].process is not None)
    steps(watchdog, 1.0)
    assert [(each["event"], each["pid"]) for each in events(birds)] == [("not_watched", busy.pid)]
    assert busy.poll() is None


ANSWERING = [("floods", b"x" * (1 << 18), 0.0), ("dribbles", b"x", 0.0005), ("is slow", b"x", 0.5)]


@pytest.mark.parametrize(("piece", "pause"), [case[1:] for case in ANSWERING], ids=[case[0] for case in ANSWERING])
def test_an_answer_without_an_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, piece, pause):
    monkeypatch.setattr(world, "PATIENCE", 0.7)
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
        said = world.ask(Process(os.getpid(), 0, "bird", 0, f"{folder}/s"))
        took = time.monotonic() - begin
        is_over.set()
        thread.join()
    assert (said.trouble, took < 3) == ("socket_unreachable" if len(piece) > 1 else "socket_silent", True)


def test_peers_are_asked_for_until_one_is_known_and_remembered_over_a_restart(
    birds: Birds, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decision, "ASK_AGAIN", 0.2)
    birds.say(replies())  # no session is up yet
    birds.mark("calm")
    first = birds.start()
    wait_for(birds.listens)
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
