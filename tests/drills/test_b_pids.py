"""Incident B: a leak of threads in one pod takes the node's process ids, and probes of other pods cannot be run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.drills.conftest import Account
from tests.fleet.exporter import install, threads
from tests.fleet.fleet import Fleet
from tests.lab import Lab, bird, pod_pids
from tests.prometheus import server

NODE, LIMIT, PID_MAX = "node1", "/proc/sys/kernel/pid_max", 3000
UID, OTHER = "5e3ab1f0_0000_4000_8000_00000000000b", "5e3ab1f0_0000_4000_8000_00000000000c"
SLICE = "kubepods-besteffort-pod{}.slice"
SCOPE = f"cri-containerd-{'b' * 64}.scope"
CGROUP = f"/kubepods.slice/kubepods-besteffort.slice/{SLICE.format(UID)}"

# Process ids that the leak leaves, for ssh and for what a person starts; a probe takes more: calico-node's is a Go
# program, with threads for each core, and there are some for each pod.
LEFT, OF_PROBES = 80, 160

# Takes threads until the kernel refuses one, ends a few and says so, and holds the others. Nobody may run the probes
# meanwhile: the leak would end at the room that they take, and leave it to them afterwards.
FULL = "/run/lab-leak-is-full"
LEAK = f"""
import pathlib, threading, time
threading.stack_size(65536)
enough, started = threading.Event(), []
try:
    while True:
        work = enough.wait if len(started) < {LEFT} else time.sleep
        started.append(threading.Thread(target=work, args=(1e6,)))
        started[-1].start()
except RuntimeError:
    enough.set()
for each in started[:{LEFT}]:
    each.join()
pathlib.Path("{FULL}").touch()
time.sleep(1e6)
"""

# What stands in for the probes: as many processes as they start, all of which have to be there at one time.
PROBES = f"""
import subprocess
started = []
try:
    for _ in range({OF_PROBES}):
        started.append(subprocess.Popen(["sleep", "60"]))
finally:
    for each in started:
        each.kill()
        each.wait()
"""


def as_the_kernel_does(lab: Lab) -> None:
    """Have the limit refuse. Before Linux 6.14 it is the whole machine's, and in the lab a file: there the pods' slice
    refuses instead, at the same number (tests/lab/rootfs/usr/local/lib/lab/kernel-limits).
    """
    version = re.match(r"(\d+)\.(\d+)", Path("/proc/sys/kernel/osrelease").read_text())
    assert version
    if (int(version[1]), int(version[2])) < (6, 14):
        lab.run(NODE, f"systemctl set-property --runtime kubepods.slice TasksMax=$(cat {LIMIT})")


def probe(lab: Lab) -> str:
    """Run the probes in another pod; returns what they say, '' when all is well."""
    scope = f"systemd-run --quiet --scope --slice={SLICE.format(OTHER)}"
    done = lab.run(NODE, f"{scope} python3 -c '{PROBES}'", check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr.strip().rpartition("\n")[2]


def named(finding: dict[str, str]) -> tuple[str, str]:
    return finding["id"].removeprefix("pid_limits."), finding["where"]


def test_a_leak_of_threads_is_seen_and_the_node_goes_on(fleet: Fleet, account: Account, tmp_path: Path) -> None:
    """B: one pod leaked threads until kernel.pid_max was reached, and every exec probe on the node failed."""
    lab = fleet.lab
    install(lab, NODE)
    assert fleet.play("harden", "--tags", "process_metrics", "--limit", NODE).code == 0
    lab.run(NODE, f"echo {PID_MAX} > {LIMIT}")
    as_the_kernel_does(lab)
    assert probe(lab) == "", "the probes do not even pass before the leak"
    alert, share = 'ALERTS{alertname="NodewardPidLimitNear"}', "nodeward:pid_limit_share"

    with server.scraping(f"{lab.address(NODE)}:9100", tmp_path) as prometheus:
        bird.until(lambda: prometheus.query(share), "a scrape")
        assert not prometheus.query(alert)
        name = f"--slice={SLICE.format(UID)} --unit={SCOPE}"
        lab.run(NODE, f"setsid systemd-run --quiet --scope {name} python3 -c '{LEAK}' < /dev/null > /dev/null 2>&1 &")
        bird.until(lambda: lab.run(NODE, f"ls {FULL}", check=False).returncode == 0, "the limit")
        said = probe(lab)
        assert "Resource temporarily unavailable" in said
        account.before(f"with {threads(lab, NODE):.0f} threads of {PID_MAX} an exec probe said: {said}")

        bird.until(lambda: prometheus.query(alert), "the alert")
        seen = prometheus.value(share)
        assert seen > 0.8
        account.before(f"the alert's condition holds in Prometheus, at {seen:.0%} of the process ids")

        with pod_pids.counted(lab, NODE, CGROUP, SCOPE):
            audit = fleet.play("audit", "--tags", "pid_limits", "--limit", NODE)
        assert audit.code == 0
        largest = audit.node(NODE)["facts"]["pid_limits"]["top"][0]
        assert largest["cgroup"] == CGROUP
        assert PID_MAX - LEFT - 500 < largest["threads"] < PID_MAX
        told = f"pod {UID.replace('_', '-')} {largest['threads']:,}"
        [finding] = [each for each in audit.node(NODE)["findings"] if named(each) == ("in_use", "kernel.pid_max")]
        assert told in finding["observed"]
        account.before(f"the audit names the cgroup {CGROUP}: {told} threads")

        assert fleet.play("harden", "--tags", "pid_limits", "--limit", NODE).code == 0
        as_the_kernel_does(lab)
        assert probe(lab) == ""
        assert threads(lab, NODE) > PID_MAX - LEFT - 500, "the leak has ended, so that nothing is shown"
        account.after(f"an exec probe passes, with {threads(lab, NODE):.0f} threads still there")
        bird.until(lambda: prometheus.query(f"{share} < 0.8"), "a share of the raised limit")
        bird.until(lambda: not prometheus.query(alert), "the end of the alert")
        account.after(f"the alert is quiet, at {prometheus.value(share):.1%} of the process ids")
