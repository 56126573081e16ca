"""The lab does what it says, and leaves the machine as it was. Real nodes: needs root, takes about a minute.

Only what carries the ids of these tests' own labs is looked at: other labs may run on this machine meanwhile.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, LabError, image, process, registry
from tests.lab.access import answers
from tests.lab.host import RUN
from tests.lab.lab import CHECKOUT, remove

# Says why at once; `make test` counts a skipped test as failed.
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

# Counters and caches of the running kernel, and keys that come and go with other people's links.
VOLATILE = re.compile(
    r"^(fs\.(dentry-state|file-nr|inode-nr|inode-state|aio-nr|quota\.)|kernel\.(random\.|ns_last_pid|pty\.nr"
    r"|hostname|msg_next_id|sem_next_id|shm_next_id)|net\.netfilter\.nf_conntrack_(count|buckets)"
    r"|net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.(?!all\.|default\.)|vm\.stat_refresh|net\.ipv4\.route\.flush)"
)
LIMITS = ("kernel.pid_max", "kernel.threads-max")


def host_sysctls() -> dict[str, str]:
    """All settings of this machine's kernel by name."""
    listing = subprocess.run(["sysctl", "-a"], capture_output=True, text=True, check=True).stdout
    pairs = (line.partition(" = ") for line in listing.splitlines())
    return {name: value for name, _, value in pairs if not VOLATILE.match(name)}


def traces(lab: Lab) -> list[str]:
    """Everything on this machine that carries the lab's id, or lies in its folder."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if lab.id in line]
    for folder in ("/sys/class/net", "/run/netns", "/run/systemd/nspawn/propagate", str(RUN)):
        found += [str(path) for path in Path(folder).glob("*") if lab.id in path.name]
    groups = (os.path.join(above, name) for above, names, _ in os.walk("/sys/fs/cgroup") for name in names)
    found += [group for group in groups if lab.id in group]
    found += [str(one) for one in process.with_argument(f"*{lab.id}*")]
    found += [f"registry: {lab_id}" for lab_id in registry.entries() if lab_id == lab.id]
    return found + ([str(lab.folder)] if lab.folder.exists() else [])


def command(*words: str, checkout: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "tests.lab", *words]
    return subprocess.run(call, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)


def start_up(*words: str, checkout: Path = CHECKOUT) -> subprocess.Popen[bytes]:
    call = [sys.executable, "-m", "tests.lab", "up", *words]
    # another checkout builds an image of its own, also where a cache would have one
    environment = {name: value for name, value in os.environ.items() if name != "NODEWARD_CACHE"}
    return subprocess.Popen(call, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module", autouse=True)
def machine_unchanged() -> Iterator[None]:
    """The machine's kernel settings are the same after all tests, all nodes and all that was written in them."""
    image.ensure(CHECKOUT / ".lab/image", print)
    before = host_sysctls()
    yield
    after = host_sysctls()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    others = {"fs.inotify.max_user_instances", "user.max_inotify_instances"} if registry.entries() else set()
    assert changed - others == set()


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def lab(said: list[str]) -> Iterator[Lab]:
    lab = Lab("labtest", nodes=2, say=said.append)
    lab.down()
    assert traces(lab) == []
    lab.up()
    yield lab
    lab.down()
    assert traces(lab) == []


def limits(lab: Lab, node: str) -> list[str]:
    return lab.run(node, f"sysctl -n {' '.join(LIMITS)}").stdout.split()


def test_fresh_node_boots_whole_and_has_incident_b(lab: Lab, said: list[str]) -> None:
    assert said == ["lab labtest: created 2 nodes"]
    for node in ("node1", "node2"):
        assert lab.run(node, "hostname").stdout == f"{node}\n"
        assert lab.run(node, "systemctl is-system-running").stdout == "running\n"
        assert "success" in lab.run(node, "systemctl show -p Result systemd-sysctl").stdout
        assert "4194304" in lab.run(node, "cat /usr/lib/sysctl.d/50-pid-max.conf").stdout
        assert limits(lab, node) == ["49152", host_sysctls()["kernel.threads-max"]]
    lab.run("node1", "ping -c 1 -W 2 node2")
    assert lab.run("node1", "ls /sys/class/net").stdout.split() == ["eth0", "lo", "tunl0"]


def test_second_up_reuses(lab: Lab, said: list[str]) -> None:
    said.clear()
    lab.up()
    assert said == ["lab labtest: reused 2 nodes"]


def test_what_a_node_writes_stays_in_it(lab: Lab) -> None:
    before = host_sysctls()
    lab.run("node1", "echo 4194304 > /proc/sys/kernel/pid_max; sysctl -w kernel.threads-max=99999")
    assert limits(lab, "node1") == ["4194304", "99999"]
    assert limits(lab, "node2") == ["49152", before["kernel.threads-max"]]
    for refused in ("kernel.panic=7", "fs.file-max=77777", "vm.swappiness=7", "net.core.somaxconn=77"):
        assert lab.run("node1", f"sysctl -w {refused}", check=False).returncode != 0
    assert lab.run("node1", "date -s @0", check=False).returncode != 0
    assert lab.run("node1", "findmnt -t debugfs,tracefs", check=False).stdout == ""
    assert host_sysctls() == before


def test_sysctl_d_works_as_on_a_real_machine(lab: Lab) -> None:
    text = "kernel.pid_max = 65536\\nkernel.threads-max = 888\\n"
    lab.run("node2", f"printf '{text}' > /etc/sysctl.d/99-test.conf; systemctl restart systemd-sysctl")
    assert limits(lab, "node2") == ["65536", "888"]
    lab.run("node2", "rm /etc/sysctl.d/99-test.conf /etc/sysctl.d/60-incident-b.conf")
    lab.run("node2", "systemctl restart systemd-sysctl")
    assert limits(lab, "node2") == ["4194304", "888"]


def test_stop_and_start_keep_the_disk_but_not_the_kernel_settings(lab: Lab) -> None:
    lab.run("node2", "echo kept > /root/kept; ip link set eth0 mtu 1400")
    lab.stop("node2")
    assert "down" in lab.status()[1]
    assert not answers(lab.address("node2"))
    lab.start("node2")
    assert lab.run("node2", "cat /root/kept /sys/class/net/eth0/mtu").stdout == "kept\n1500\n"
    assert limits(lab, "node2") == ["4194304", host_sysctls()["kernel.threads-max"]]


def test_reboot_from_inside(lab: Lab) -> None:
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    before = lab.run("node2", boot_id).stdout
    lab.run("node2", "systemctl reboot", check=False)
    deadline = time.monotonic() + 60
    while lab.run("node2", boot_id, check=False).stdout in ("", before):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert lab.run("node2", "systemctl is-system-running --wait; cat /root/kept").stdout == "running\nkept\n"


def test_restarting_a_service_leaves_the_other_nodes_alone(lab: Lab) -> None:
    pid = lab.run("node2", "systemctl show -P MainPID ssh").stdout
    lab.run("node1", "systemctl restart ssh; systemctl kill --signal=KILL ssh", check=False)
    assert lab.run("node2", "systemctl show -P MainPID ssh").stdout == pid


def test_reset_gives_a_fresh_disk(lab: Lab) -> None:
    lab.reset("node2")
    assert lab.run("node2", "test -e /root/kept", check=False).returncode == 1
    assert limits(lab, "node2") == ["49152", host_sysctls()["kernel.threads-max"]]


def test_up_repairs_what_broke(lab: Lab, said: list[str]) -> None:
    lab.run("node1", "echo kept > /root/kept")
    killed = process.with_argument(f"--machine=nw-{lab.id}-node1") + process.in_group(f"nw-{lab.id}-node1*")
    for one in killed:
        one.signal(signal.SIGKILL)
    deadline = time.monotonic() + 10  # a process that was killed is there until it has given back what it had
    while any(one.alive for one in killed) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "down" in lab.status()[0]
    said.clear()
    lab.up()
    assert sorted(said) == ["lab labtest: reused 1 nodes", "lab labtest: started 1 nodes"]
    subprocess.run(["ip", "link", "delete", f"nw{lab.id}"], check=True)
    lab.up()
    assert lab.run("node1", "cat /root/kept").stdout == "kept\n"


def test_up_after_a_reboot_of_the_machine(lab: Lab, said: list[str]) -> None:
    """What a reboot takes away goes, and what it leaves on a /run that is no tmpfs stays."""
    lab.run("node1", "echo kept > /root/kept; sync")
    remove(lab.id)
    Path(f"/run/netns/nw-{lab.id}-node1").touch()
    assert [line.split()[3] for line in lab.status()] == ["down", "down"]
    said.clear()
    lab.up()
    assert said == ["lab labtest: started 2 nodes"]
    assert lab.run("node1", "cat /root/kept; ping -c 1 -W 2 node2 > /dev/null").stdout == "kept\n"


def test_errors_name_the_thing(lab: Lab) -> None:
    with pytest.raises(LabError, match="has no node7; it has node1, node2"):
        lab.run("node7", "true")
    with pytest.raises(LabError, match="node1: false: exit 1"):
        lab.run("node1", "false")
    with pytest.raises(LabError, match="bring it up first"):
        Lab("labnone").reset("node1")
    with pytest.raises(LabError, match="lower-case"):
        Lab("../x")


@pytest.mark.usefixtures("lab")
def test_command_line() -> None:
    assert command("exec", "node1", "--name", "labtest", "--", "echo", "two  words").stdout == "two  words\n"
    assert command("exec", "node1", "--name", "labtest", "--", "false").returncode == 1
    status = command("status", "--name", "labtest")
    assert (status.returncode, len(status.stdout.splitlines())) == (0, 2)
    assert command("status", "--name", "labnone").returncode == 0
    failed = command("reset", "node1", "--name", "labnone")
    assert (failed.returncode, failed.stderr.startswith("lab: lab labnone is not up")) == (1, True)


@pytest.mark.parametrize("seconds", [0.08, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.9, 1.3])
def test_killed_up_is_removed_completely(seconds: float) -> None:
    lab = Lab("labcrash", nodes=2)
    killed = start_up("--name", "labcrash", "--nodes", "2")
    time.sleep(seconds)
    killed.kill()
    killed.wait()
    lab.down()
    assert traces(lab) == []


@pytest.mark.parametrize("seconds", [0.2, 0.3, 0.5])
def test_killed_up_is_completed_by_the_next(seconds: float) -> None:
    lab = Lab("labcrash", nodes=2)
    try:
        killed = start_up("--name", "labcrash", "--nodes", "2")
        time.sleep(seconds)
        killed.kill()
        killed.wait()
        lab.up()
        for node in ("node1", "node2"):
            assert lab.run(node, "systemctl is-system-running").stdout == "running\n"
    finally:
        lab.down()
    assert traces(lab) == []


def test_killed_down_is_completed_by_the_next() -> None:
    lab = Lab("labcrash", nodes=2)
    lab.up()
    for seconds in (0.15, 0.25):
        killed = subprocess.Popen([sys.executable, "-m", "tests.lab", "down", "--name", lab.name], cwd=CHECKOUT)
        time.sleep(seconds)
        killed.kill()
        killed.wait()
    lab.down()
    assert traces(lab) == []


def test_many_nodes_get_their_inotify_instances() -> None:
    lab = Lab("labmany", nodes=8)
    before = host_sysctls()["fs.inotify.max_user_instances"]
    try:
        lab.up()
        assert int(host_sysctls()["fs.inotify.max_user_instances"]) >= 144
        for number in range(1, 9):
            assert lab.run(f"node{number}", "systemctl is-system-running").stdout == "running\n"
    finally:
        lab.down()
    assert traces(lab) == []
    if not registry.entries():
        assert host_sysctls()["fs.inotify.max_user_instances"] == before


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second checkout, with a blank in its path, that shares this one's image."""
    checkout = tmp_path / "other checkout"
    shutil.copytree(CHECKOUT / "tests", checkout / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / ".lab").mkdir()
    return checkout


def _all_ids(checkout: Path) -> list[str]:
    return [lab_id for lab_id, entry in registry.entries().items() if Path(entry["checkout"]) == checkout]


def test_two_checkouts_and_a_move(lab: Lab, other: Path) -> None:
    (other / ".lab/image").symlink_to(CHECKOUT / ".lab/image")
    assert command("up", "--name", lab.name, "--nodes", "1", checkout=other).returncode == 0
    [other_id] = _all_ids(other)
    entries = registry.entries()
    assert entries[lab.id]["subnet"] != entries[other_id]["subnet"]
    words = ("exec", "node1", "--name", lab.name, "--", "hostname")
    assert command(*words, checkout=other).stdout == command(*words).stdout == "node1\n"

    moved = other.rename(other.with_name("moved"))
    assert "checkout is gone" in command("status", "--all").stdout
    assert command("down", "--name", lab.name, checkout=moved).returncode == 0
    assert _all_ids(other) == []
    assert other_id not in Path("/proc/self/mountinfo").read_text()
    assert not (moved / ".lab" / lab.name).exists()
    assert lab.run("node1", "hostname").stdout == "node1\n"


def test_a_lost_checkout_is_removed_by_id(other: Path) -> None:
    (other / ".lab/image").symlink_to(CHECKOUT / ".lab/image")
    assert command("up", "--name", "lost", "--nodes", "1", checkout=other).returncode == 0
    [other_id] = _all_ids(other)
    gone = other.rename(other.with_name("gone"))
    assert command("down", "--id", other_id).returncode == 0
    assert other_id not in Path("/proc/self/mountinfo").read_text() + str(list(Path("/sys/class/net").iterdir()))
    shutil.rmtree(gone)


def test_a_checkout_that_cannot_carry_an_overlay(tmp_path: Path) -> None:
    for folder in ("upper", "work", "root"):
        (tmp_path / folder).mkdir()
    options = f"lowerdir={CHECKOUT},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    checkout = tmp_path / "root"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, checkout], check=True)
    try:
        up = command("up", "--name", "labram", "--nodes", "1", checkout=checkout)
        assert (up.returncode, "disks are in memory" in up.stdout) == (0, True), up.stderr
        assert command("reset", "node1", "--name", "labram", checkout=checkout).returncode == 0
        assert command("down", "--name", "labram", checkout=checkout).returncode == 0
        assert f"{checkout}/" not in Path("/proc/self/mountinfo").read_text()
    finally:
        subprocess.run(["umount", checkout], check=True)


def test_killed_image_build_leaves_no_process_and_no_image(other: Path) -> None:
    killed = start_up("--nodes", "1", checkout=other)
    deadline = time.monotonic() + 60
    while not (building := process.with_argument(f"{other}/.lab/image/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    killed.kill()
    killed.wait()
    assert building
    deadline = time.monotonic() + 5
    while process.with_argument(f"{other}/.lab/image/*"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert image.find(other / ".lab/image") is None
    assert str(other) not in Path("/proc/self/mountinfo").read_text()
    assert command("down", checkout=other).returncode == 0
