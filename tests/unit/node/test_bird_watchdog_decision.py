"""What the daemon of bird_watchdog decides, from recorded samples alone."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import (
    DAY,
    SILENT,
    Answer,
    Config,
    Sample,
    Track,
    decide,
    hot_since,
    weigh,
)
from hypothesis import given
from hypothesis import strategies as st

CONFIG = Config()
OLD = 7 * DAY


def recorded(*shares: float, interval: float = 5.0, start: float = 1000.0) -> list[Sample]:
    """Return samples between which a process used these shares of a core, in percent."""
    samples = [Sample(start, 40.0)]
    for each in shares:
        samples.append(Sample(samples[-1].at + interval, samples[-1].cpu + each / 100 * interval))
    return samples


def limited(*shares: float, to: float, wanted: float = 100.0) -> list[Sample]:
    """Return samples of a process that may use a part of a core, and runs or waits for that share of the time."""
    alike = zip(recorded(*shares), recorded(*[wanted] * len(shares)), strict=True)
    return [Sample(each.at, each.cpu, would.cpu - each.cpu, to) for each, would in alike]


def robbed(used: float, waited: float, busy: float, stolen: float, count: int = 24) -> list[Sample]:
    """Return samples on a node whose cores were busy, and stolen, for so many percent of one core all the while."""
    times = [0.05 * at for at in range(count + 1)]  # 5 s, in percent
    return [Sample(1000.0 + 100 * at, used * at, waited * at, 1.0, busy * at, stolen * at) for at in times]


FULL = [100.0] * 24  # 120 s
NOW = recorded(*FULL)[-1].at

DECISIONS: list[tuple[str, list[Sample], float, list[float], float | None, str]] = [
    ("one sample tells nothing", recorded(), OLD, [], None, "calm"),
    ("idle", recorded(*[1.0] * 30), OLD, [], None, "calm"),
    ("at 80 %", recorded(*[80.0] * 30), OLD, [], None, "calm"),
    ("just below the threshold", recorded(*[84.9] * 30), OLD, [], None, "calm"),
    ("at the threshold", recorded(*[85.0] * 24), OLD, [], None, "due"),
    ("a burst of 30 s", recorded(*[100.0] * 6), OLD, [], None, "hot"),
    ("a burst that has ended", recorded(*[100.0] * 23, 2.0), OLD, [], None, "calm"),
    ("one interval short of a window", recorded(*FULL[1:]), OLD, [], None, "hot"),
    ("a full window", recorded(*FULL), OLD, [], None, "due"),
    ("a pause in the middle", recorded(*FULL[:12], 2.0, *FULL[:23]), OLD, [], None, "hot"),
    ("a full window after a pause", recorded(*FULL, 2.0, *FULL), OLD, [], None, "due"),
    ("the bug as measured, with pauses of a second", recorded(*[81.0, 100.0] * 12), OLD, [], None, "due"),
    ("an average that hides pauses", recorded(*[*FULL[:16], 2.0] * 3), OLD, [], None, "calm"),
    ("an average that hides a slow half", recorded(*[71.0] * 12, *FULL[:12]), OLD, [], None, "hot"),
    ("in all a little below", recorded(*[84.0, 85.9] * 12), OLD, [], None, "hot"),
    ("what it used before is no share", [Sample(1000.0, 9e6), Sample(1005.0, 9e6)], OLD, [], None, "calm"),
    ("it has just started", recorded(*FULL), 130.0, [], None, "cooldown"),
    ("its start is over", recorded(*FULL), 300.0, [], None, "due"),
    ("its like was just killed", recorded(*FULL), OLD, [NOW - 299.0], None, "cooldown"),
    ("the cooldown is over", recorded(*FULL), OLD, [NOW - 300.0], None, "due"),
    ("three kills today", recorded(*FULL), OLD, [NOW - 80000.0, NOW - 5000.0, NOW - 400.0], None, "daily_limit"),
    ("two today, one yesterday", recorded(*FULL), OLD, [NOW - DAY, NOW - 5000.0, NOW - 400.0], None, "due"),
    ("the random delay", recorded(*FULL), OLD, [], NOW + 1.0, "waiting"),
    ("the random delay is over", recorded(*FULL), OLD, [], NOW, "due"),
    ("calm again before the delay was over", recorded(*FULL, 3.0), OLD, [], NOW, "calm"),
    ("half a core, all of it used", limited(*[50.0] * 24, to=0.5), OLD, [], None, "starved"),
    ("honest work in long pieces", limited(*[27.0] * 24, to=0.3, wanted=87.0), OLD, [], None, "starved"),
    ("a limit above the threshold", limited(*[90.0] * 24, to=0.9), OLD, [], None, "due"),
    ("half a core, others use more than they should", limited(*[42.0] * 24, to=0.5), OLD, [], None, "starved"),
    ("a healthy one, others use all", limited(*[2.0] * 24, to=0.5, wanted=8.0), OLD, [], None, "calm"),
    ("it does its work within the limit", limited(*[45.0] * 24, to=0.5, wanted=60.0), OLD, [], None, "calm"),
    ("it uses half a core and may use a whole", limited(*[50.0] * 24, to=1.0, wanted=50.0), OLD, [], None, "calm"),
    ("a node without a free core", limited(*[33.0] * 24, to=1.0), OLD, [], None, "starved"),
    ("just for a moment", limited(*[33.0] * 23, to=1.0), OLD, [], None, "calm"),
    ("a node that boots", limited(*[33.0] * 24, to=1.0), 130.0, [], None, "hot"),
    ("starved after a kill", limited(*[33.0] * 24, to=1.0), OLD, [NOW - 299.0], None, "hot"),
    ("half a core, just killed", limited(*[50.0] * 24, to=0.5), OLD, [NOW - 299.0], None, "hot"),
    ("a limit in which honest work spins", limited(*[10.0] * 24, to=0.1), OLD, [], None, "starved"),
    ("its core is the hypervisor's for a fifth of the time", robbed(80, 0, 160, 40), OLD, [], None, "starved"),
    ("so it is, and others want the rest", robbed(50, 30, 160, 40), OLD, [], None, "starved"),
    ("the hypervisor takes cores, and it uses little", robbed(30, 0, 160, 40), OLD, [], None, "calm"),
    ("the hypervisor takes many cores of a large node", robbed(70, 0, 3000, 300), OLD, [], None, "calm"),
    ("one that is killed without a thought of it", robbed(90, 0, 180, 20), OLD, [], None, "due"),
    ("the limit was lowered just now", [*limited(*[50.0] * 24, to=1.0)[:-1], limited(*[50.0] * 24, to=0.5)[-1]],
     OLD, [], None, "starved"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "age", "kills", "due", "verdict"), [case[1:] for case in DECISIONS], ids=[case[0] for case in DECISIONS]
)
def test_decisions(samples, age, kills, due, verdict):
    assert decide(samples, age, kills, due, CONFIG) == verdict


POLICIES = st.builds(
    Config,
    threshold=st.sampled_from([50.0, 85.0]),
    window=st.sampled_from([5.0, 20.0, 120.0]),
    cooldown=st.sampled_from([0.0, 60.0, 300.0]),
    daily_limit=st.integers(0, 4),
)
# runs of shares, so that windows do fill
SHARES = st.sampled_from([0.0, 15.0, 24.0, 49.0, 84.0, 86.0, 100.0])
LIMITS, WAITS = st.sampled_from([0.1, 0.3, 0.5, 1.0]), st.sampled_from([0.0, 40.0, 100.0])
RUNS = st.lists(st.tuples(SHARES, LIMITS, WAITS, st.integers(1, 60)), max_size=40)


def least_mean(shares: list[float], quarter: int) -> float:
    """Return the least share of the whole and of every quarter of a window."""
    stretches = [shares, *(shares[at : at + quarter] for at in range(len(shares) - quarter + 1))]
    return min(map(statistics.fmean, stretches))


def kills_of(config, runs, delays, interval) -> list[float]:
    """Live through the runs, and return when the process was killed; each kill has to be what was promised."""
    now, started, due = 1000.0, 0.0, None
    kills: list[float] = []
    past, samples = [], [Sample(now, 0.0)]
    for used, allowed, wait in [run[:3] for run in runs for _ in range(run[3])]:
        now += interval
        wanted = max(used, wait)
        cpu, waited = used / 100 * interval, (wanted - used) / 100 * interval
        samples.append(Sample(now, samples[-1].cpu + cpu, samples[-1].wait + waited, allowed))
        past.append((now - interval, now, used, wanted, allowed))
        verdict = decide(samples, now - started, kills, due, config)
        if verdict in ("calm", "hot"):
            due = None
        if verdict != "due":
            continue
        if due is None:
            due = now + delays[len(kills) % len(delays)]
            continue
        # what was promised, told from what happened alone
        assert now >= due
        assert now - started >= config.cooldown
        assert all(now - kill >= config.cooldown for kill in kills)
        assert len([kill for kill in kills if now - kill < DAY]) < config.daily_limit
        window = [each[2:] for each in past if each[1] > now - config.window]
        assert past[-len(window)][0] <= now - config.window, "the window is not full"
        # intervals are alike here, so that shares add up; rounding apart
        quarter = math.ceil(config.window / 4 / interval - 1e-9)
        shares = [each[0] for each in window]
        assert least_mean(shares, quarter) >= config.threshold - 1e-3, "whatever is allowed, and however it waits"
        assert shares[-1] >= config.threshold / 2
        kills.append(now)
        started, due, past, samples = now, None, [], [Sample(now, 0.0)]
    return kills


@given(POLICIES, RUNS, st.lists(st.sampled_from([0.0, 7.0, 60.0]), min_size=1, max_size=50), st.floats(4.9, 9.0))
def test_never_too_soon_too_often_or_without_a_full_window(config, runs, delays, interval):
    kills_of(config, runs, delays, interval)


def test_the_property_is_not_that_nothing_is_killed():
    spins = (100.0, 100.0, 100.0, 1000)
    assert len(kills_of(CONFIG, [spins], [7.0], 5.0)) == CONFIG.daily_limit


def track(interval: float, window: float, spins: bool) -> Track:
    made = Track()
    for number in range(int(3 * window / interval)):
        cpu = number * interval * (1.0 if spins or number % 2 else 0.9)
        made.add(Sample(number * interval, cpu, limit=0.5 if number else 1.0), window, interval)
    return made


def test_a_long_window_does_not_cost_memory_nor_time():
    samples = track(1.0, 3600.0, spins=True).samples
    assert len(samples) <= 243
    assert samples[-1].at - samples[0].at >= 3600.0
    assert [each.at for each in samples] == sorted({each.at for each in samples})
    assert samples[-1] == Sample(10799.0, 10799.0, limit=0.5)
    assert hot_since(samples, 85.0, 3600.0) <= samples[-1].at - 3600.0
    assert len(track(5.0, 120.0, spins=True).samples) == 25, "none of an ordinary one is left out"


def test_a_pause_of_a_second_is_no_end_however_short_the_interval():
    """As measured: 8 s of work, then a second of sleep. An end of the spin would have the same alarm told again."""
    made, verdicts = Track(), []
    for second in range(600):
        made.add(Sample(float(second), float(second - second // 9)), 120.0, 1.0)
        verdicts.append(decide(made.samples, OLD, [], None, CONFIG))
    assert set(verdicts[200:]) == {"due"}


@given(
    st.sampled_from([(5.0, 1.0), (60.0, 5.0), (120.0, 5.0), (3600.0, 20.0)]),
    st.lists(st.sampled_from([0.1, 1.0, 1.1, 2.9, 3.1, 7.0, 24.0, 40.0]), min_size=1, max_size=12),
)
def test_no_window_is_full_that_was_not_looked_at(times, gaps):
    """It spins all the while, for all that can be told; ``gaps`` are in intervals, and come one after another."""
    window, interval = times
    made, at, seen = Track(), 0.0, [0.0]
    made.add(Sample(0.0, 0.0), window, interval)
    for number in range(600):
        at += interval * (gaps[number // 2 % len(gaps)] if number % 2 else 1.0)
        seen.append(at)
        made.add(Sample(at, at), window, interval)
        if at - hot_since(made.samples, 85.0, window) >= window:
            looked = [before for before, after in pairwise(seen) if after > at - window]
            steps = [after - before for before, after in zip(looked, [*looked[1:], at], strict=False)]
            assert max(steps) <= max(window / 4, 3 * interval)


def test_a_gap_of_a_window_is_no_window():
    made = Track()
    for at in (0.0, 5.0, 125.0):
        made.add(Sample(at, at), 120.0, 5.0)
    assert decide(made.samples, OLD, [], None, CONFIG) == "calm"
    for step in range(1, 25):
        assert decide(made.samples, OLD, [], None, CONFIG) != "due"
        made.add(Sample(125.0 + 5 * step, 125.0 + 5 * step), 120.0, 5.0)
    assert decide(made.samples, OLD, [], None, CONFIG) == "due"


HARM: list[tuple[str, Answer, Config, str]] = [
    ("all peers would keep the routes", Answer(), CONFIG, ""),
    ("one would not", Answer(unaware=("Tor",)), CONFIG, "no_graceful_restart"),
    ("one would not, which is allowed", Answer(unaware=("Tor",)), Config(kill_without_graceful_restart=True), ""),
    ("no answer is a reason", Answer(SILENT), CONFIG, ""),
    ("no answer, and a peer would not", Answer(SILENT, ("Tor",)), CONFIG, "no_graceful_restart"),
    ("it recovers from its own start", Answer("graceful_restart_recovery"), CONFIG, "graceful_restart_recovery"),
    ("no socket", Answer("socket_unreachable"), CONFIG, "socket_unreachable"),
    ("the socket is another's", Answer("socket_of_another"), CONFIG, "socket_of_another"),
    ("a recovery is no matter of consent", Answer("graceful_restart_recovery"),
     Config(kill_without_graceful_restart=True), "graceful_restart_recovery"),
    ("only looking", Answer(), Config(mode="observe"), "observe"),
    ("only looking, and it would do harm", Answer(unaware=("Tor",)), Config(mode="observe"), "no_graceful_restart"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "config", "obstacle"), [c[1:] for c in HARM], ids=[c[0] for c in HARM])
def test_harm(answer, config, obstacle):
    assert weigh(answer, config) == obstacle
