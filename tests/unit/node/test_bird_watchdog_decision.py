"""What the daemon of bird_watchdog decides, from recorded samples alone."""

from __future__ import annotations

import json
import math
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import birds
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import (
    DAY,
    SILENT,
    TICKS,
    Answer,
    Config,
    Process,
    Sample,
    Track,
    decide,
    hot_since,
    weigh,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_io import (
    BAD_CONFIG,
    look,
    one_line,
    read_config,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_reading import (
    limit,
    told_kills,
    understand,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost
from tests.unit.node.fake_birds import RECOVERING, replies

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


@given(POLICIES, RUNS, st.lists(st.sampled_from([0.0, 7.0, 60.0]), min_size=1, max_size=50), st.floats(4.9, 9.0))
def test_never_too_soon_too_often_or_without_a_full_window(config, runs, delays, interval):
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


def test_the_property_s_machine_does_kill():
    samples = recorded(*FULL)
    assert decide(samples, OLD, [], samples[-1].at, CONFIG) == "due"


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


GROUPS_V1 = "5:cpuacct,cpu:/pods/pod1/bird\n4:memory:/elsewhere\n0::/pods/pod1/bird\n"
GROUPS_V2 = "0::/pods/pod1/bird\n"


def quota_v1(group: str, quota: int, period: int = 100000) -> dict[str, str]:
    return {f"cpu/{group}/cpu.cfs_quota_us": f"{quota}\n", f"cpu/{group}/cpu.cfs_period_us": f"{period}\n"}


LIMITED: list[tuple[str, str, dict[str, str], float]] = [
    ("v1, none", GROUPS_V1, quota_v1("pods/pod1/bird", -1), 1.0),
    ("v1, 300m", GROUPS_V1, quota_v1("pods/pod1/bird", 30000), 0.3),
    ("v1, above it", GROUPS_V1, quota_v1("pods", 20000, 50000), 0.4),
    ("v1, of another controller", GROUPS_V1, {"pods/cpu.max": "20000 50000\n", "cpu/elsewhere/cpu.max": "1 10"}, 1.0),
    ("v2, none", GROUPS_V2, {"pods/pod1/bird/cpu.max": "max 100000\n"}, 1.0),
    ("v2, the least of all on the way up", GROUPS_V2,
     {"pods/pod1/bird/cpu.max": "50000 100000\n", "pods/pod1/cpu.max": "30000 100000\n", "pods/cpu.max": "max 100000"},
     0.3),
    ("v2, three cores", GROUPS_V2, {"pods/pod1/bird/cpu.max": "300000 100000\n"}, 1.0),
    ("v2, of a group beside", GROUPS_V2, {"pods/pod2/cpu.max": "30000 100000\n"}, 1.0),
    ("the root", "0::/\n", {"cpu.max": "30000 100000\n"}, 1.0),
    ("outside of what is seen here", "0::/../../pods\n", {"pods/cpu.max": "30000 100000\n"}, 1.0),
    ("gone", "", {}, 1.0),
    ("what no kernel says", GROUPS_V2, {"pods/cpu.max": "30000 0\n", "pods/pod1/cpu.max": "30000\n"}, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "files", "least"), [c[1:] for c in LIMITED], ids=[c[0] for c in LIMITED])
def test_what_control_groups_let_it_use(groups, files, least):
    there = {f"/groups/{name}": text for name, text in files.items()}
    assert limit(groups, there.get, "/groups") == least


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


ANSWERS: list[tuple[str, str, Answer]] = [
    ("a restarting peer", replies("restart-able llgr-aware "), Answer("", (), 2, 1)),
    ("a helping peer", replies("restart-aware "), Answer("", (), 2, 1)),
    ("a peer without", replies("restart-able ", ""), Answer("", ("Mesh_1",), 2, 2)),
    ("a peer without, not established", replies("").replace("Established", "Active     "), Answer("", (), 2)),
    ("no peers", replies(), Answer("", (), 2)),
    ("recovery", replies("restart-able ", extra=RECOVERING), Answer("graceful_restart_recovery", (), 2, 1)),
    ("nothing of interfaces", "0013 Daemon is up and running\n", Answer("", (), 0)),
]


@pytest.mark.parametrize(("text", "answer"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_what_bird_says(text, answer):
    assert understand("0001 BIRD 1.6.8 ready.\n" + text) == answer


CALICOS = "bird\0-R\0-s\0/var/run/calico/bird.ctl\0-d\0-c\0/etc/calico/confd/config/bird.cfg\0"
STAT = "812 ({name}) {state} 800 812 800 0 -1 4194560 900 0 0 0 {used} 0 0 0 20 0 1 0 4711 9000000 400 0"

PROCESSES: list[tuple[str, str, str, str, str | None]] = [
    ("Calico's bird", "bird", "R", CALICOS, "/var/run/calico/bird.ctl"),
    ("Calico's bird6", "bird6", "S", CALICOS.replace("bird.ctl", "bird6.ctl"), "/var/run/calico/bird6.ctl"),
    ("words in one", "bird", "R", "bird\0-Rs\0/var/run/calico/bird.ctl\0", "/var/run/calico/bird.ctl"),
    ("without /var", "bird", "R", "bird\0-s\0/run/calico/bird.ctl\0", "/run/calico/bird.ctl"),
    ("one word", "bird", "R", "bird\0-s/var/run/calico/bird.ctl\0", "/var/run/calico/bird.ctl"),
    ("the host's BIRD", "bird", "R", "/usr/sbin/bird\0-f\0-u\0bird\0", None),
    ("the host's BIRD with a socket", "bird", "R", "bird\0-s\0/run/bird/bird.ctl\0", None),
    ("a folder that begins alike", "bird", "R", "bird\0-s\0/var/run/calico-2/bird.ctl\0", None),
    ("another socket of Calico's", "bird", "R", "bird\0-s\0/var/run/calico/bird6.ctl\0", None),
    ("merely named bird", "bird", "R", "bird\0--watch\0", None),
    ("names the socket elsewhere", "bird", "R", "bird\0/var/run/calico/bird.ctl\0", None),
    ("a zombie", "bird", "Z", "", None),
    ("birdcl", "birdcl", "R", CALICOS, None),
    ("a name with a bracket", "bird) R 1 (", "R", CALICOS, None),
]


@pytest.mark.parametrize(
    ("name", "state", "words", "control"), [case[1:] for case in PROCESSES], ids=[case[0] for case in PROCESSES]
)
def test_which_processes_are_calico_s(tmp_path: Path, name, state, words, control):
    (tmp_path / "812").mkdir()
    (tmp_path / "812/stat").write_text(STAT.format(name=name, state=state, used=150))
    (tmp_path / "812/cmdline").write_text(words)
    found = look(Config(proc=str(tmp_path)), 812)
    expected = Process(812, 4711, name, 800, control or "")
    assert found == (None if control is None else (expected, 150 / TICKS))
    assert look(Config(proc=str(tmp_path)), 813) is None, "gone while it was read"


CONFIGS: list[tuple[str, str, str]] = [
    ("no JSON", "threshold: 85", "Expecting value"),
    ("cut off", '{"threshold": 85', "Expecting"),
    ("no object", "[1]", "not a mapping"),
    ("pairs", '[["mode", "observe"]]', "not a mapping"),
    ("a list for a number", '{"window": [120]}', "window: .120. is no float"),
    ("a NUL in a path", '{"events": "/srv/a\\u0000b"}', "events"),
    ("half a character in a path", '{"metrics": "/srv/\\ud800"}', "metrics"),
    ("an unknown key", '{"treshold": 85}', "treshold"),
    ("a text for a number", '{"threshold": "85"}', "threshold"),
    ("a number for a truth", '{"kill_without_graceful_restart": 1}', "kill_without"),
    ("a truth for a number", '{"daily_limit": true}', "daily_limit"),
    ("no share", '{"threshold": 0}', "threshold: 0 is not from 50 to 95"),
    ("a share that is never reached", '{"threshold": 100}', "threshold"),
    ("no number", '{"threshold": NaN}', "threshold"),
    ("no end", '{"random_delay": Infinity}', "random_delay"),
    ("less than nothing", '{"interval": -1}', "interval"),
    ("as long as systemd waits", '{"interval": 60, "window": 600}', "interval: 60 is not from 1 to 20"),
    ("no window", '{"window": 9}', "window: 9 s are less than two intervals"),
    ("an unknown mode", '{"mode": "Observe"}', "mode: 'Observe' is none of enforce, observe"),
    ("a signal that stops", '{"signal": "STOP"}', "signal"),
    ("a deep one", "[" * 200000, "recursion"),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in CONFIGS], ids=[case[0] for case in CONFIGS])
def test_a_bad_configuration_is_refused(tmp_path: Path, text, told):
    (tmp_path / "config").write_text(text)
    with pytest.raises(BAD_CONFIG, match=told):
        read_config(str(tmp_path / "config"))


KILL = '{"event": "kill", "boot": "b", "daemon": "bird", "uptime": 5, "time": 7, "reason": "spinning"}'


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "config").write_text(json.dumps({"a\nb\0": 1}))
    with pytest.raises(BAD_CONFIG) as caught:
        read_config(str(tmp_path / "config"))
    text = one_line("/config", caught.value)
    assert text == "/config: a?b?: there is no such option"
    assert len(one_line("/config", ValueError("x" * 5000))) == 300


DAMAGED: list[tuple[str, str]] = [
    ("cut off", KILL[:40]), ("two in one", KILL[:40] + KILL), ("null", "null"), ("a number", "1"), ("a list", "[1]"),
    ("a text", '"x"'), ("a text for a number", KILL.replace("5", '"5"')), ("deep", "[" * 200000),
    ("no number", KILL.replace("5", "NaN")), ("endless", KILL.replace("7", "Infinity")),
    ("huge", KILL.replace("7", "1" * 400)), ("a truth", KILL.replace("7", "true")),
    ("another", '{"event": "restarted"}'),
]  # fmt: skip


@pytest.mark.parametrize("line", [case[1] for case in DAMAGED], ids=[case[0] for case in DAMAGED])
def test_a_damaged_line_is_no_kill_and_no_traceback(line):
    assert [kill["uptime"] for kill in told_kills([KILL])] == [5]
    assert told_kills([line]) == []
    events = Config().events
    host = FakeHost({events: f"{line}\n{KILL}\n", "/proc/uptime": "10.0 1\n", "/proc/stat": "btime 1\n"})
    assert birds.kills_last_week(host) == 1


def test_the_configuration_is_read(tmp_path: Path):
    (tmp_path / "config").write_text(json.dumps({"threshold": 90, "mode": "observe", "daily_limit": 0}))
    assert read_config(str(tmp_path / "config")) == Config(threshold=90, mode="observe", daily_limit=0)


def test_a_kill_that_failed_counts_for_nothing():
    kill, other = (json.dumps({**json.loads(KILL), "pid": pid}) for pid in (7, 8))
    failed = json.dumps({**json.loads(KILL), "event": "kill_failed", "pid": 8})
    assert [each["pid"] for each in told_kills([kill, other, failed])] == [7]
    assert [each["pid"] for each in told_kills([other, failed, kill, "{", failed])] == [7]
    assert told_kills([failed]) == []
