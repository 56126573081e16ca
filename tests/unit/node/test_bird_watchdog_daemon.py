"""The daemon of bird_watchdog among real processes: what spins is killed, and nothing else ever is."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_daemon as daemon
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_io as world
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_daemon import Watchdog
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import (
    DAY,
    Process,
    Sample,
    decide,
)

from tests.unit.node.fake_birds import RECOVERING, Birds, cpu_seconds, replies, wait_for
from tests.unit.node.watched_birds import THRESHOLD, config, events, metric, run, steps, told


def test_what_spins_is_killed_and_comes_back_and_says_so(birds: Birds):
    supervisor = birds.start(supervised=True)
    spinning = birds.child(supervisor)
    wait_for(birds.listens)
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
    wait_for(birds.listens)
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
    wait_for(birds.listens)
    run(Watchdog(config(birds)), lambda: busy.poll() is not None)
    assert events(birds)[0]["reason"] == "socket_silent"


def test_what_was_said_before_the_silence_counts(birds: Birds):
    birds.say(replies(""))
    busy = birds.start()
    wait_for(birds.listens)
    watchdog = Watchdog(config(birds))
    run(watchdog, lambda: watchdog.tracks["bird"].process is not None)
    birds.mark("silent")
    run(watchdog, lambda: bool(told(birds)))
    assert busy.poll() is None
    assert events(birds)[0]["reason"] == "no_graceful_restart"


def test_without_its_socket_nothing_is_killed(birds: Birds):
    busy = birds.start()
    wait_for(birds.listens)
    watchdog = Watchdog(config(birds))
    run(watchdog, lambda: watchdog.tracks["bird"].process is not None)
    os.unlink(birds.socket())
    run(watchdog, lambda: bool(told(birds)))
    assert busy.poll() is None
    assert events(birds)[0]["reason"] == "socket_unreachable"


def test_a_supervisor_that_does_not_restart_is_told_once_and_nothing_more_is_killed(birds: Birds):
    alone = birds.start()
    wait_for(birds.listens)
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


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_the_signal_is_the_one_that_is_set(birds: Birds, name):
    busy = birds.start()
    wait_for(birds.listens)
    run(Watchdog(config(birds, signal=name)), lambda: busy.poll() is not None)
    assert busy.returncode == -signal.Signals[f"SIG{name}"]


def test_a_kill_that_fails_is_tried_ever_less_often(birds: Birds, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(daemon, "kill", lambda *_: "Operation not permitted")
    birds.start()
    wait_for(birds.listens)
    watchdog = Watchdog(config(birds))
    track = watchdog.tracks["bird"]
    waits: list[float] = []
    while len(waits) < 8:
        run(watchdog, lambda: told(birds).count("kill_failed") == len(waits) + 1)
        assert track.due
        waits.append(round(track.due - world.clock(), -1))
        track.due = 0.0
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert track.kills == []


def test_bird_and_bird6_that_take_a_core_from_each_other_are_both_told_of_and_live(birds: Birds):
    """Each gets half of the only core; an honest one beside one that spins would look the same."""
    both = [birds.start(name, busy=0.1) for name in ("bird", "bird6")]
    for name in ("bird", "bird6"):
        wait_for(partial(birds.listens, name))
    watchdog = Watchdog(config(birds, threshold=85.0, window=120.0, interval=5.0))
    run(watchdog, lambda: all(track.process for track in watchdog.tracks.values()), 30)
    for half in (49.0, 20.0):
        for track in watchdog.tracks.values():
            track.samples = [Sample(5.0 * at, 0.05 * half * at, 0.05 * (100 - half) * at) for at in range(26)]
            track.state, track.obstacle = "hot", ""
        for track in watchdog.tracks.values():
            assert track.process
            watchdog.judge(track, track.process, decide(track.samples, DAY, [], None, watchdog.config))
    texts = [event["text"] for event in events(birds) if event["reason"] == "starved"]
    assert ["bird (49 %) and bird6 (49 %) take a core from each other" in text for text in texts] == [True] * 2 + [
        False
    ] * 2, "below the threshold together it is others that use the core"
    assert [process.poll() for process in both] == [None, None]


def test_metrics_do_not_stay_where_nobody_writes_them_any_more(birds: Birds):
    watchdog = Watchdog(config(birds))
    watchdog.step()
    old = Path(watchdog.config.metrics)
    assert old.exists()
    watchdog.take(watchdog.config._replace(threshold=90.0))
    assert old.exists()
    watchdog.take(watchdog.config._replace(metrics=str(birds.folder / "new.prom")))
    watchdog.step()
    assert (old.exists(), (birds.folder / "new.prom").exists()) == (False, True)


@pytest.mark.parametrize("events_are", ["lost", "never written"])
def test_the_daily_limit_holds_without_the_file_of_events(birds: Birds, events_are):
    birds.start(supervised=True)
    wait_for(birds.listens)
    given: dict[str, Any] = {"kept": str(birds.folder / "kept.jsonl"), "daily_limit": 1}
    if events_are == "never written":  # as on a full disk
        (birds.folder / "events.jsonl").mkdir()
    watchdog = Watchdog(config(birds, **given))
    run(watchdog, lambda: '"restarted"' in Path(given["kept"]).read_text() if watchdog.tracks["bird"].kills else False)
    if events_are == "lost":
        (birds.folder / "events.jsonl").unlink()
    run(watchdog, lambda: watchdog.tracks["bird"].obstacle == "daily_limit")  # in memory
    again = Watchdog(config(birds, **given))  # and over a restart
    assert len(again.tracks["bird"].kills) == 1
    run(again, lambda: again.tracks["bird"].obstacle == "daily_limit")


def test_a_process_that_survives_its_kill_is_watched_on(birds: Birds):
    busy = birds.start()
    watchdog = Watchdog(config(birds, signal="CONT", restart_patience=0.3, cooldown=2.0))
    wait_for(birds.listens)
    run(watchdog, lambda: "not_restarted" in told(birds))
    run(watchdog, lambda: told(birds)[-1] == "held_back")
    assert events(birds)[-1]["reason"] == "cooldown"
    assert busy.poll() is None


def test_the_random_delay_is_waited_for_and_the_share_measured_again(birds: Birds):
    busy = birds.start()
    wait_for(birds.listens)
    watchdog = Watchdog(config(birds, random_delay=600.0))
    track = watchdog.tracks["bird"]
    run(watchdog, lambda: track.state == "waiting")
    assert track.due is not None
    steps(watchdog, 0.3)
    assert busy.poll() is None
    birds.mark("calm")
    run(watchdog, lambda: track.state == "calm")
    assert watchdog.tracks["bird"].due is None, "the delay that ends now would kill one that is calm"
    steps(watchdog, 0.3)
    assert busy.poll() is None
    birds.mark("calm", there=False)
    run(watchdog, lambda: track.state == "waiting")
    track.due = world.clock()
    run(watchdog, lambda: busy.poll() is not None)


def test_kills_are_remembered_over_a_restart_of_the_daemon(birds: Birds):
    supervisor = birds.start(supervised=True)
    wait_for(birds.listens)
    run(Watchdog(config(birds)), lambda: "restarted" in told(birds))
    with open(birds.folder / "events.jsonl", "a") as stream:
        stream.write('{"event": "kill", "boot": "another", "daemon": "bird", "uptime": 1, "reason": "spinning"}\n{"ev')
    again = Watchdog(config(birds, daily_limit=1))
    assert len(again.tracks["bird"].kills) == 1
    run(again, lambda: '"daily_limit"' in (birds.folder / "events.jsonl").read_text())
    assert metric(birds, "kills_total", 'daemon="bird",reason="spinning"') == 1
    assert supervisor.poll() is None


def test_the_successor_that_came_in_time_is_seen_before_the_alarm(birds: Birds):
    watchdog = Watchdog(config(birds))
    alone = birds.start()
    wait_for(birds.listens)
    run(watchdog, lambda: alone.poll() is not None)
    birds.mark("calm")
    birds.start()
    wait_for(lambda: world.ask(Process(birds.started[-1].pid, 0, "bird", 0, birds.socket())).trouble == "")
    watchdog.tracks["bird"].overdue = 0.0  # as after a step that took long
    watchdog.step()
    assert told(birds) == ["kill", "restarted"]


@pytest.mark.parametrize("jump", [-DAY, DAY], ids=["a day back", "a day forth"])
def test_the_clock_may_be_set(birds: Birds, jump):
    """No second kill because of it, no cooldown without an end, and the last kill's date goes with the clock."""
    birds.start(supervised=True)
    wait_for(birds.listens)
    ahead = [0.0]

    def last_kill() -> float:
        return metric(birds, "last_kill_timestamp_seconds", 'daemon="bird"') - time.time()

    def made() -> Watchdog:
        return Watchdog(config(birds, daily_limit=2, cooldown=2.0), lambda: time.time() + ahead[0])

    watchdog = made()
    run(watchdog, lambda: "restarted" in told(birds), 60)
    assert last_kill() == pytest.approx(0, abs=30)
    ahead[0] = jump
    watchdog.step()
    assert last_kill() == pytest.approx(jump, abs=30)
    run(watchdog, lambda: told(birds).count("kill") == 2, 60)  # the cooldown ends in time
    first, second = (event["uptime"] for event in events(birds) if event["event"] == "kill")
    assert second - first >= 1.9  # a process' start is known to a hundredth of a second
    watchdog = made()
    run(watchdog, lambda: any(event.get("reason") == "daily_limit" for event in events(birds)), 60)
    assert (told(birds).count("kill"), len(watchdog.tracks["bird"].kills)) == (2, 2)
    ahead[0] = 0.0
    watchdog.step()
    assert last_kill() == pytest.approx(0, abs=60)
    assert [round(e["time"] - time.time(), -3) for e in events(birds) if e["event"] == "kill"] == [0, round(jump, -3)]


def test_a_successor_that_is_missing_is_remembered_over_a_restart_of_the_daemon(birds: Birds):
    def made(patience: float = 0.5) -> Watchdog:
        return Watchdog(config(birds, restart_patience=patience))

    alone = birds.start()
    wait_for(birds.listens)
    run(made(60.0), lambda: alone.poll() is not None)
    assert told(birds) == ["kill"]
    run(made(), lambda: "not_restarted" in told(birds))
    again = made()
    steps(again, 1.0)
    assert metric(birds, "state", 'daemon="bird",state="not_restarted"') == 1
    assert told(birds) == ["kill", "not_restarted"], "told once"
    birds.mark("calm")
    birds.start()
    run(again, lambda: "restarted" in told(birds))
    steps(made(), 1.0)
    assert told(birds) == ["kill", "not_restarted", "restarted"]


def test_a_kill_that_the_daemon_did_not_live_to_do_has_no_successor(birds: Birds):
    busy = birds.start()
    wait_for(birds.listens)
    watchdog = Watchdog(config(birds, mode="observe"))
    run(watchdog, lambda: watchdog.tracks["bird"].process is not None)
    process = watchdog.tracks["bird"].process
    assert process
    watchdog.tell(2, "kill", process, "is killed", reason="spinning", start=process.start, parent=process.parent)
    again = Watchdog(config(birds, mode="observe", restart_patience=0.1))
    assert again.tracks["bird"].victim
    run(again, lambda: again.tracks["bird"].process is not None)
    assert not any(track.victim for track in again.tracks.values())
    assert busy.poll() is None
    assert "restarted" not in told(birds)
