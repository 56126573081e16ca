"""What the daemon of bird_watchdog reads: control groups, BIRD's answers, processes, its options and notes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import birds
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import (
    TICKS,
    Answer,
    Config,
    Process,
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

from tests.unit.fake_host import FakeHost
from tests.unit.node.fake_birds import RECOVERING, replies

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
