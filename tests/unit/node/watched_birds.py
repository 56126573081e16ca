"""A watchdog in which everything happens soon, let loose on the processes of fake_birds, and what it told of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_daemon import Watchdog
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import Config

from tests.unit.node.fake_birds import Birds

# Two cores are shared with other tests, so a busy process may get little of one: a tick (0.01 s) in each interval.
THRESHOLD, INTERVAL, WINDOW = 4.0, 0.2, 0.8


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
        assert time.monotonic() < deadline, f"it did not come about: {watchdog.tracks['bird'].__dict__}"
        watchdog.step()
        time.sleep(watchdog.config.interval)


def steps(watchdog: Watchdog, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        watchdog.step()
        time.sleep(watchdog.config.interval)
