"""etcd's timing on a real cluster of three: one member at a time, under a writer, and back where it fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.etcd_lab import EtcdLab, Writer
from tests.fleet.fleet import NODES, Fleet, Run
from tests.lab import Lab, bird
from tests.lab.etcd import MANIFEST

ONLY = ("--tags", "etcd_timing")
NOTHING_ALLOWED = (*ONLY, "-e", "harden_allow=")
LIMIT = 300.0  # seconds for one run: each member has to be steady for ten, forty were measured
Record = Callable[[str, object], None]
OLD, NEW = ("100", "1000"), ("250", "5000")


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> EtcdLab:
    """One cluster for all tests below, which follow one another: its start takes five seconds."""
    lab.reset()
    cluster = EtcdLab(lab, tmp_path_factory.mktemp("etcd"))
    cluster.start(*map(int, OLD))
    return cluster


@pytest.fixture
def here(cluster: EtcdLab, tmp_path: Path) -> Iterator[Fleet]:
    """The playbooks, on the cluster as the test before has left it; well again afterwards."""
    yield Fleet(cluster.lab, tmp_path, limit=LIMIT)
    cluster.wait()


def written(cluster: EtcdLab) -> list[str]:
    return [cluster.read("node1", "/etc/default/etcd"), cluster.read("node2", "/etc/etcd.env"),
            cluster.read("node3", MANIFEST)]  # fmt: skip


def found(run: Run, name: str) -> list[dict[str, Any]]:
    return [finding for node in run.report["nodes"] for finding in node["findings"] if finding["id"] == name]


def test_without_consent_nothing_is_written_and_audit_says_what_is_due(cluster: EtcdLab, here: Fleet) -> None:
    before, pids = written(cluster), cluster.pids()
    run = here.play("harden", *NOTHING_ALLOWED)
    assert run.code == 0
    assert {change["disrupts"] for node in run.report["nodes"] for change in node["pending"]} == {"etcd_restart"}
    assert (written(cluster), cluster.pids()) == (before, pids)
    [values] = found(run, "etcd_timing.values")
    assert (values["wanted"], values["mended"]) == ("250/5000 ms", True)
    # every thread has its I/O priority, in a unit and in a pod
    for node in NODES:
        told = cluster.lab.run(node, "for t in /proc/$(pgrep -x etcd)/task/*; do ionice -p ${t##*/}; done | sort -u")
        assert told.stdout == "best-effort: prio 0\n", node


def test_a_member_that_is_down_keeps_all_others_from_being_touched(cluster: EtcdLab, here: Fleet) -> None:
    before = written(cluster)
    cluster.lab.run("node2", "systemctl stop etcd")
    pids = cluster.pids_of("node1", "node3")
    run = here.play("harden", *ONLY)
    cluster.lab.run("node2", "systemctl start etcd")
    assert run.code == 0, "it is a finding, not an error: nothing was begun"
    [refused] = found(run, "etcd_timing.not_done")
    assert "1 of 3 members were not seen" in refused["observed"]
    assert (written(cluster), cluster.pids_of("node1", "node3")) == (before, pids)


def test_no_write_is_lost_and_none_waits_long(cluster: EtcdLab, here: Fleet, record_property: Record) -> None:
    """The handler of other tools restarts all at once, and is the contrast: both under the same writer."""
    with Writer(cluster) as writer:
        time.sleep(1)
        run = here.play("harden", *ONLY)
        time.sleep(1)
    assert run.code == 0
    assert cluster.values() == dict.fromkeys(NODES, NEW)
    record_property(
        "measured", f"one at a time: {len(writer.acknowledged)} writes, the longest gap {writer.gap():.3f} s"
    )
    assert writer.lost() == []
    assert writer.fewest >= 2
    assert writer.gap() <= 2.0  # half a second on a busy machine; a fsync that stalls is not ours
    # the kubelet of node3 saw one pod, twice: no backup or staging file of ours
    assert cluster.lab.run("node3", "cat /run/lab/static-pods.log").stdout.split() == ["etcd.yaml", "etcd.yaml"]
    assert "".join(_saved(cluster, node) for node in NODES) == "600 root\n", "one snapshot a run, for root alone"
    _require_that_systemd_removes_old_ones(cluster)

    pids = cluster.pids()
    again = here.play("harden", *ONLY)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    assert cluster.pids() == pids

    with Writer(cluster) as handler:
        time.sleep(1)
        # what a handler does: kubelet and systemd stop and start every member at the same moment
        _restart_all(cluster)
        time.sleep(1)
    record_property(
        "measured", f"all at once: {len(handler.acknowledged)} writes, the longest gap {handler.gap():.3f} s"
    )
    # two restarts at once are enough for an outage, whether or not the watch looked at that moment
    assert handler.gap() > writer.gap()


def _restart_all(cluster: EtcdLab) -> None:
    restart = {"node3": "systemctl restart pod-etcd-yaml"}
    cluster.on_all(lambda node: restart.get(node, "systemctl restart etcd"))
    cluster.wait()


def _saved(cluster: EtcdLab, node: str) -> str:
    return cluster.lab.run(node, "stat -c '%a %U' /var/lib/nodeward/etcd/*.db 2>/dev/null || true").stdout


def _require_that_systemd_removes_old_ones(cluster: EtcdLab) -> None:
    """The times of a file cannot be set back as far as systemd looks (ctime): a copy of the line says a second."""
    [node] = [node for node in NODES if _saved(cluster, node)]
    tidy = "sed s/7d/{}/ /etc/tmpfiles.d/nodeward-etcd.conf > /run/tidy.conf; systemd-tmpfiles --clean /run/tidy.conf"
    cluster.lab.run(node, tidy.format("7d"))
    assert _saved(cluster, node) == "600 root\n"
    cluster.lab.run(node, "sleep 2; " + tidy.format("1s"))
    assert _saved(cluster, node) == ""


def test_a_value_that_etcd_does_not_take_is_put_back_and_ends_the_play(cluster: EtcdLab, here: Fleet) -> None:
    """A duration that no check of ours knows to be too long for etcd."""
    before = written(cluster)
    values = "etcd_timing_auto_compaction_mode=periodic etcd_timing_auto_compaction_retention=9999999999h"
    run = here.play("harden", *ONLY, "-e", values)
    assert run.code == 2
    failed = [node for node in run.report["nodes"] if node["error"]]
    assert len(failed) == 1
    assert "its configuration was put back and it is well again" in failed[0]["error"]
    assert sum(node["held_back_by"] == [failed[0]["name"]] for node in run.report["nodes"]) >= 1
    assert written(cluster) == before
    cluster.wait()
    assert cluster.values() == dict.fromkeys(NODES, NEW)


def test_defragmentation_under_the_writer_takes_the_leader_last(
    cluster: EtcdLab, here: Fleet, record_property: Record
) -> None:
    cluster.fill(12)
    before, leader = cluster.sizes(), cluster.leader()
    words = ("-e", "etcd_defrag_least_bytes=4000000")
    refused = here.play("defrag", *words)
    assert refused.code == 2
    assert "etcd 3.4.23 can corrupt a database" in refused.output
    assert cluster.sizes() == before

    with Writer(cluster) as writer:
        run = here.play("defrag", *words, "-e", "etcd_defrag_any_version=true")
    assert run.code == 0
    record_property("measured", f"defragmented: {before} -> {cluster.sizes()}, the longest gap {writer.gap():.3f} s")
    assert writer.lost() == []
    for node in NODES:
        [change] = run.node(node)["changes"]
        promised = int(change["after"].split()[0])
        assert promised < before[node] - 4000000
        assert cluster.sizes()[node] < promised + 3000000, "what the writer wrote since aside"
    order = [line.split("[")[1].rstrip("]") for line in run.output.splitlines() if line.startswith("changed: [")]
    assert order[-1] == leader


def test_a_timer_defragments_each_member_in_its_turn(cluster: EtcdLab, here: Fleet) -> None:
    """When it comes is systemd's matter: started at once. The leader waits for the others, whoever is started first."""
    words = ("--tags", "etcd_defrag", "-e", "etcd_defrag_least_bytes=4000000")
    timer = ("-e", "etcd_defrag_timer=weekly")
    assert all(not node["changes"] for node in here.play("harden", *words).report["nodes"]), "unless it is asked for"
    run = here.play("harden", *words, *timer)
    assert run.code == 0
    assert all(_next_elapse(cluster, node) for node in NODES)
    again = here.play("harden", *words, *timer)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]

    cluster.fill(6)
    before, leader = cluster.sizes(), cluster.leader()
    cluster.lab.run(leader, "systemctl start --no-block nodeward-etcd-defrag")
    refused = next(node for node in NODES if node != leader)
    cluster.lab.run(refused, "systemctl start nodeward-etcd-defrag", check=False)
    told = cluster.lab.run(refused, "journalctl -u nodeward-etcd-defrag -o cat").stdout
    assert "etcd 3.4.23 can corrupt a database" in told
    assert cluster.sizes() == before
    cluster.on_all(
        lambda _node: "systemctl stop nodeward-etcd-defrag; systemctl reset-failed nodeward-etcd-defrag; true"
    )

    run = here.play("harden", *words, *timer, "-e", "etcd_defrag_any_version=true")
    assert run.code == 0
    cluster.lab.run(leader, "systemctl start --no-block nodeward-etcd-defrag")
    for node in NODES:
        if node != leader:
            time.sleep(2)
            assert cluster.sizes()[leader] == before[leader], "the leader goes last"
            cluster.lab.run(node, "systemctl start nodeward-etcd-defrag")
    deadline = time.monotonic() + 120
    while cluster.sizes()[leader] == before[leader] and time.monotonic() < deadline:
        time.sleep(1)
    assert all(size < before[node] - 4000000 for node, size in cluster.sizes().items())
    assert here.play("restore", "--tags", "etcd_defrag").code == 0
    for node in NODES:
        left = (
            "find /etc /usr /var/lib -path '*nodeward*defrag*'; systemctl list-timers --all | grep nodeward-etcd-defrag"
        )
        assert cluster.lab.run(node, left, check=False).stdout == "", node


def _next_elapse(cluster: EtcdLab, node: str) -> str:
    asked = "systemctl show nodeward-etcd-defrag.timer --property=NextElapseUSecRealtime --value"
    return cluster.lab.run(node, asked).stdout.strip()


def test_the_way_back_goes_the_same_way(cluster: EtcdLab, here: Fleet) -> None:
    """With the watchdog, whose reload of systemd comes between the end of our timer's files and its stop."""
    both = ("--tags", "etcd_timing,bird_watchdog")
    assert here.play("harden", *both).code == 0
    run = here.play("restore", *both)
    assert run.code == 0
    assert [cluster.lab.run(node, "systemctl --failed --no-legend").stdout for node in NODES] == ["", "", ""]
    assert cluster.values() == dict.fromkeys(NODES, OLD)
    for node in NODES:
        left = cluster.lab.run(node, "cat /var/lib/nodeward/journal.json 2>/dev/null || true").stdout
        assert left == "", node


def test_a_slow_link_makes_measured_choose_other_values(cluster: EtcdLab, here: Fleet, record_property: Record) -> None:
    """A round trip is noted every 30 s, and four are needed: this waits for minutes, quiet and slow."""
    quiet = ""
    for again in range(3):
        if again:  # what members have counted is of a bad moment too, until they start anew
            _restart_all(cluster)
        with Writer(cluster) as writer:  # a disk is judged by a hundred writes
            bird.until(lambda: len(writer.acknowledged) > 300, "300 writes", 120)
        quiet = _chosen_after(here, "100/1000 ms", patience=180)
        if quiet == "100/1000 ms":
            break
    assert quiet == "100/1000 ms"
    assert cluster.values() == dict.fromkeys(NODES, OLD)

    cluster.delay("node2", 0.04)
    slow = _chosen_after(here, "", unlike=quiet)
    record_property("measured", f"measured chooses {quiet} when quiet, {slow} with 80 ms more to node2")
    print(f"measured: quiet {quiet}, slow {slow}")
    heartbeat, election = map(int, slow.removesuffix(" ms").split("/"))
    assert 100 < heartbeat <= 2000  # p99 of a handful of round trips is the slowest, also of a bad moment
    assert election == 10 * heartbeat
    assert cluster.values() == dict.fromkeys(NODES, OLD), "audit only tells"


def test_the_lab_s_cluster_is_reused_while_it_is_whole_and_else_made_anew(cluster: EtcdLab) -> None:
    """`make harden` has one; the last test, since a node that is reset has lost its member for good."""
    pids = cluster.pids()
    assert cluster.ensure() is False
    assert cluster.pids() == pids
    # what a test above looks for in that log is there where somebody leaves a second file beside the manifest
    seen = "timeout 20 sh -c 'until grep -qx etcd.yaml.bak /run/lab/static-pods.log; do sleep 0.2; done'"
    cluster.lab.run("node3", f"cp {MANIFEST} {MANIFEST}.bak; {seen}")
    cluster.lab.reset("node3")
    assert cluster.ensure() is True
    assert cluster.values() == dict.fromkeys(NODES, OLD)


def test_a_member_without_a_gateway_is_hardened_and_defragmented_by_etcdctl(
    cluster: EtcdLab, tmp_path: Path, record_property: Record
) -> None:
    """It was started with a file that says nothing of a gateway. Behind the last of the cluster, which it ends."""
    path, node = "/etc/etcd.yml", "node1"
    cluster.start_alone(node, path)
    line = cluster.connection(node, 5.0)
    line.request("POST", "/v3/maintenance/status", "{}")
    assert line.getresponse().status == 404
    line.close()
    here, before = Fleet(cluster.lab, tmp_path, limit=LIMIT), cluster.read(node, path)
    allowed = (*ONLY, "-e", "harden_allow=etcd_outage")

    revision = _status(cluster, node)["header"]["revision"]
    cluster.lab.run(node, "rm -f /var/lib/nodeward/etcd/*.db")  # of the tests before
    run = here.play("harden", *allowed)
    assert (run.code, found(run, "etcd_timing.unseen")) == (0, [])
    assert cluster.read(node, path) == before.replace(": 100\n", ": 250\n").replace(": 1000\n", ": 5000\n")
    assert _status(cluster, node)["header"]["revision"] == revision + 2, "the lock's key came and went"
    assert _saved(cluster, node) == "600 root\n"
    # a look that finds nothing to do costs etcd no write
    started = cluster.pids_of(node)
    assert here.play("harden", *allowed).recap(node)["changed"] == 0
    assert (cluster.pids_of(node), _status(cluster, node)["header"]["revision"]) == (started, revision + 2)

    cluster.lab.run(node, "head -c 500000 /dev/zero | tr '\\0' x > /run/text")
    for number in range(24):
        cluster.etcdctl(node, f"put fill/{number} < /run/text")
    cluster.etcdctl(node, "del --prefix fill/")
    cluster.etcdctl(node, f"compact --physical {_status(cluster, node)['header']['revision']}")
    size = _freed(cluster, node)
    run = here.play("defrag", "-e", "etcd_defrag_least_bytes=4000000 etcd_defrag_any_version=true", *allowed[-2:])
    assert run.code == 0
    record_property("measured", f"defragmented by etcdctl: {size} -> {_status(cluster, node)['dbSize']} bytes")
    assert _status(cluster, node)["dbSize"] < size - 4000000


def _freed(cluster: EtcdLab, node: str) -> int:
    """Wait until most of a database is free, and return its size: bolt frees pages with later writes only."""
    deadline = time.monotonic() + 60
    while True:
        cluster.etcdctl(node, "put ready x")
        told = _status(cluster, node)
        if 2 * told["dbSizeInUse"] < told["dbSize"]:
            return int(told["dbSize"])
        assert time.monotonic() < deadline, told
        time.sleep(0.2)


def _status(cluster: EtcdLab, node: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(cluster.etcdctl(node, "endpoint status -w json"))[0]["Status"]
    return told


def _chosen_after(here: Fleet, wanted: str, unlike: str = "", patience: float = 240) -> str:
    """Return what audit says that `measured` would choose, once it says something of the kind."""
    deadline = time.monotonic() + patience
    while True:
        run = here.play("audit", *ONLY, "-e", "etcd_timing_measured_after=60")
        [measured] = found(run, "etcd_timing.measured")
        chosen = str(measured["wanted"])
        if (chosen == wanted if wanted else chosen not in ("nothing", unlike)) or time.monotonic() > deadline:
            return chosen
        time.sleep(20)
