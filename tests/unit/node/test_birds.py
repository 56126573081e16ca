"""What a person is told of the BIRDs that run on a node."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog, birds
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.birds import Bird

from tests.unit.fake_host import FakeHost

BIRD = Bird("bird", 812, share=3.0, age=86400 * 20, links=60, links_made=400, image="quay.io/calico/node:v3.28.1")

TOLD: list[tuple[str, Bird, int | None, list[tuple[str, str]]]] = [
    ("all well", BIRD, 0, []),
    ("it spins now", replace(BIRD, share=97.0, wanted=97.0), 0, [("busy", "97 % of a core, up for 20.0 days")]),
    ("a young one", replace(BIRD, share=97.0, wanted=97.0, age=5400), 0, [("busy", "97 % of a core, up for 1.5 h")]),
    (
        "it spins in half a core",
        replace(BIRD, share=45.0, wanted=99.0, limit=50.0),
        0,
        [("starved", "45 % of a core of the 50 % that it may use, up for 20.0 days; it would use 99 %, and waits")],
    ),
    ("it works in half a core", replace(BIRD, share=45.0, wanted=60.0, limit=50.0), 0, []),
    (
        "others use its half of a core",
        replace(BIRD, share=20.0, wanted=99.0, limit=50.0),
        0,
        [("starved", "20 % of a core of the 50 % that it may use, up for 20.0 days; it would use 99 %, and waits")],
    ),
    (
        "no core is free",
        replace(BIRD, share=20.0, wanted=99.0),
        0,
        [("starved", "20 % of a core, up for 20.0 days; it would use 99 %, and waits")],
    ),
    ("before 3.27.0", replace(BIRD, image="calico/node:v3.26.4"), 0, [("version", "calico/node:v3.26.4")]),
    ("3.27.0 to 3.27.3", replace(BIRD, image="calico/node:v3.27.3"), 0, [("version", "calico/node:v3.27.3")]),
    ("mended", replace(BIRD, image="calico/node:v3.27.4"), 0, []),
    ("a tag that says nothing", replace(BIRD, image="calico/node:latest"), 0, []),
    (
        "many links ever made",
        replace(BIRD, links_made=40000, image=""),
        0,
        [("remembered", "60 links, at least 40000 made")],
    ),
    ("many, by a BIRD that forgets them", replace(BIRD, links_made=40000), 0, []),
    ("killed lately", BIRD, 2, [("kills", "kills in the last week: 2")]),
    ("no waits are counted", replace(BIRD, waits_are_counted=False), 0, [("waits_uncounted", "schedstat")]),
    ("Calico Enterprise counts otherwise", replace(BIRD, image="tigera/cnx-node:v3.19.4"), 0, []),
    ("nobody knows", BIRD, None, [("events", "no file that can be read")]),
]


@pytest.mark.parametrize(("bird", "kills", "told"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_findings(bird, kills, told):
    facts = Facts(birds=(bird,), kills_last_week=kills, textfile_folder="/srv")
    findings = bird_watchdog.plan(facts, Policy()).findings
    assert [finding.id for finding in findings] == [f"bird_watchdog.{name}" for name, _words in told]
    assert all(words in finding.observed for finding, (_name, words) in zip(findings, told, strict=True))


def test_two_that_take_a_core_from_each_other_are_told_as_such():
    both = [replace(BIRD, share=49.0, wanted=99.0), replace(BIRD, name="bird6", share=47.0, wanted=99.0)]

    def told(*birds: Bird) -> list[tuple[str, bool]]:
        facts = Facts(birds=birds, textfile_folder="/srv")
        findings = bird_watchdog.plan(facts, Policy()).findings
        return [(each.id, "bird (49 %) and bird6 (47 %) take a core from each" in each.observed) for each in findings]

    assert told(*both) == [("bird_watchdog.starved", True)] * 2
    assert told(both[0], replace(both[1], share=20.0)) == [("bird_watchdog.starved", False)] * 2, "others use it"
    assert told(both[0], replace(both[1], wanted=47.0)) == [("bird_watchdog.starved", False)]


CONTAINER = "0123456789abcdef" * 4
STAT = "{pid} ({name}) R 800 812 800 0 -1 4194560 900 0 0 0 {used} 0 0 0 20 0 1 0 {start} 9000000 400 0"
EVENTS = """{"event": "kill", "time": 1700000000, "uptime": 1}
{"event": "kill", "time": 1700500000, "uptime": 1}
{"event": "restarted", "time": 1700500001}
{"event": "ki"""


UNIX_SOCKETS = """Num       RefCount Protocol Flags    Type St Inode Path
ffff88: 00000002 00000000 00010000 0001 01 471 /run/dbus/system_bus_socket
ffff89: 00000002 00000000 00010000 0001 01 4711 /var/run/calico/bird.ctl
"""


class Busy(FakeHost):
    """A node on which bird uses 30 % of a core, all that it may, and would use 98 %."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.files["/proc/812/stat"] = STAT.format(pid=812, name="bird", used=1015, start=100)
        self.files["/proc/812/schedstat"] = "10150000000 7340000000 44\n"


def node() -> Busy:
    return Busy(
        {
            "/proc/uptime": "1001.00 5.0\n",
            "/proc/stat": "cpu 1 2\nbtime 1700999000\n",
            "/proc/812/comm": "bird\n",
            "/proc/812/stat": STAT.format(pid=812, name="bird", used=1000, start=100),
            "/proc/812/cmdline": "bird\0-R\0-s\0/var/run/calico/bird.ctl\0-d\0",
            "/proc/812/schedstat": "10000000000 7000000000 40\n",
            "/sys/fs/cgroup/kubepods.slice/cpu.max": "30000 100000\n",
            "/proc/812/cgroup": f"0::/kubepods.slice/cri-containerd-{CONTAINER}.scope\n",
            "/proc/812/net/dev": "Inter-|\n face |\n    lo: 0\n  eth0: 0\n",
            "/proc/812/net/igmp": "Idx\tDevice\n1\tlo\n\t\t\t010000E0\n41\teth0\n",
            "/proc/1/net/unix": UNIX_SOCKETS,
            "/proc/813/comm": "bird\n",
            "/proc/813/stat": STAT.format(pid=813, name="bird", used=1000, start=100),
            "/proc/813/cmdline": "bird\0-f\0",
            f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{CONTAINER}/config.json": json.dumps(
                {"annotations": {"io.kubernetes.cri.image-name": "docker.io/calico/node:v3.26.4"}}
            ),
            "/var/log/nodeward-bird-watchdog/events.jsonl": EVENTS,
        },
        links={"/proc/812/fd/0": "/dev/null", "/proc/812/fd/7": "socket:[4711]"},
    )


def test_the_birds_of_calico_are_observed():
    facts = bird_watchdog.observe(node())
    assert facts.birds == (Bird("bird", 812, 30.0, 1000, 2, 41, "docker.io/calico/node:v3.26.4", 98.0, 30.0),)
    assert facts.kills_last_week == 1, "the other one was 8 days before"
    assert bird_watchdog.shown(facts) == {
        "birds": [{**vars(facts.birds[0]), "version": (3, 26, 4)}],
        "running": False,
        "kills_last_week": 1,
    }


def test_a_pod_with_the_name_and_the_words_of_bird_is_none():
    host = node()
    host.files |= {path.replace("812", "900"): text for path, text in host.files.items() if "/812/" in path}
    host.files["/proc/900/net/unix"] = UNIX_SOCKETS.replace("4711", "815")
    host.links["/proc/900/fd/7"] = "socket:[815]"
    assert [bird.pid for bird in birds.observe(host)] == [812]


def test_one_that_ends_meanwhile_is_left_out():
    host = node()
    host.files["/proc/812/stat"] = STAT.format(pid=812, name="bird", used=1000, start=99)
    assert birds.observe(host) == ()


def test_a_node_without_bird_costs_no_wait():
    host = FakeHost({"/proc/1/comm": "systemd\n"})
    assert birds.observe(host) == ()
    assert host.now == 0


@pytest.mark.parametrize(
    "jump", [0, -86400, 86400, 40 * 86400], ids=["right", "a day back", "a day forth", "from 2023"]
)
def test_kills_of_this_boot_are_counted_whatever_the_clock(jump):
    host = node()
    host.files["/proc/sys/kernel/random/boot_id"] = "this\n"
    host.files["/proc/stat"] = f"btime {1700999000 + jump}\n"
    kill = '{"event": "kill", "boot": "%s", "time": %d, "uptime": 900}\n'
    host.files["/var/log/nodeward-bird-watchdog/events.jsonl"] = kill % ("this", 1700999900)
    assert birds.kills_last_week(host) == 1
    host.files["/var/log/nodeward-bird-watchdog/events.jsonl"] = kill % ("that", 1700999900)
    assert birds.kills_last_week(host) == (0 if jump > birds.WEEK else 1)


def test_the_file_of_events_may_be_anything(tmp_path: Path):
    host, path = LocalHost(str(tmp_path)), tmp_path / "var/log/nodeward-bird-watchdog/events.jsonl"
    path.parent.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("1000.0 1\n")
    (tmp_path / "proc/stat").write_text("btime 1700999000\n")
    with path.open("w") as stream:
        stream.truncate(17 << 20)
        stream.seek(0, os.SEEK_END)
        stream.write('\n{"event": "kill", "time": 1700999900, "uptime": 900}\n')
    assert birds.kills_last_week(host) == 1
    path.unlink()
    os.mkfifo(path)
    assert birds.kills_last_week(host) is None
