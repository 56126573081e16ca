"""Incident B on a kernel of its own (tests/vm): nothing can be started any more, not even a login of ssh."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drills.conftest import Account
from tests.fleet.fleet import Playbooks
from tests.lab import bird
from tests.vm.kubelets import start_kubelets
from tests.vm.vms import Vms

NODE, PID_MAX, CAP = "vm1", 3000, 1000
CONSOLE = "/dev/ttyS0"
# Seconds from its start on that the first leak lives; meanwhile nobody can end it. It must outlive three logins that
# fail, on an emulated machine that is slow, too.
LEAKS = 240

# What the kubelet does with control groups: all pods together get what is not reserved (enforceNodeAllocatable).
ALLOCATABLE = """#!/usr/bin/python3
import json, subprocess, time
for _ in range(100):
    try:
        took = json.load(open("/run/lab/kubelet.json"))
        break
    except (OSError, ValueError):
        time.sleep(0.2)
reserved = [int(took[of].get("pid", 0)) for of in ("systemReserved", "kubeReserved")]
tasks = f"TasksMax={took['pids'] - sum(reserved)}"
subprocess.run(["systemctl", "set-property", "--runtime", "kubepods.slice", tasks], check=True)
"""
# SECONDS NAME: takes threads for so long, each time anew where the kernel refused one; says so the first time.
LEAK = f"""
import os, sys, threading, time
threading.stack_size(65536)
until, said = time.monotonic() + float(sys.argv[1]), False
while time.monotonic() < until:
    try:
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
    except RuntimeError as error:
        if not said:
            print(f"leak {{sys.argv[2]}}: {{error}}", file=open("{CONSOLE}", "w"))
        said = True
        time.sleep(0.2)
os._exit(0)
"""
# An exec probe each second, told on the console: where nothing can be started, nobody could log in and look.
PROBES = f"""
import subprocess, time
with open("{CONSOLE}", "w") as console:
    while True:
        try:
            subprocess.run(["true"], check=True)
            print("probe: ok", file=console, flush=True)
        except OSError as error:
            print(f"probe: {{error.strerror}}", file=console, flush=True)
        time.sleep(1)
"""
# A BIRD that spins: it has Calico's control socket, and answers nobody. The real one is in the drill of A3.
SPINS = """#!/usr/bin/python3
import os, socket, sys
sys.path.insert(0, "/usr/local/lib/lab")
from stand_in import look_like
os.makedirs("/var/run/calico", exist_ok=True)
if os.path.exists("/var/run/calico/bird.ctl"):
    os.unlink("/var/run/calico/bird.ctl")
control = socket.socket(socket.AF_UNIX)
control.bind("/var/run/calico/bird.ctl")
control.listen(1)
look_like("bird", ["bird", *sys.argv[1:]])
while True:
    pass
"""
SUPERVISED = "while :; do python3 /root/spins -R -s /var/run/calico/bird.ctl -d; sleep 1; done"


class Node:
    """The machine, and what is started on it as the kubelet and containerd start it."""

    def __init__(self, machines: Vms) -> None:
        self.machines = machines
        machines.down()
        machines.up()
        machines.put(NODE, "/usr/local/lib/lab/allocatable", ALLOCATABLE, 0o755)
        also = "[Service]\nExecStartPre=rm -f /run/lab/kubelet.json\nExecStartPost=/usr/local/lib/lab/allocatable\n"
        machines.put(NODE, "/etc/systemd/system/kubelet.service.d/20-allocatable.conf", also)
        for name, text in (("leak", LEAK), ("probes", PROBES), ("spins", SPINS)):
            machines.put(NODE, f"/root/{name}", text)
        self.run(f"echo {PID_MAX} > /proc/sys/kernel/pid_max")
        start_kubelets(machines, [NODE])

    def run(self, command: str) -> str:
        return self.machines.run(NODE, command).stdout.strip()

    def cap(self) -> int:
        """How many process ids the kubelet lets a pod have, -1 where it sets no limit."""
        return int(json.loads(self.run("cat /run/lab/kubelet.json"))["podPidsLimit"])

    def pod(self, name: str, command: str) -> None:
        """Start a pod of one container, with the limit that the kubelet gives the group of a pod."""
        pod, cap = f"kubepods-besteffort-pod{name}.slice", self.cap()
        self.run(
            f"systemctl set-property --runtime {pod} TasksMax={cap if cap > 0 else 'infinity'};"
            f"setsid systemd-run --quiet --scope --slice={pod} --unit=cri-containerd-{name}.scope"
            f" --property=TasksMax=infinity {command} < /dev/null > /dev/null 2>&1 &"
        )

    def told(self, mark: str) -> list[str]:
        """The last words of the probes and of a leak, after it first told that it was refused one."""
        said = re.findall(r"(?:probe|leak \S+): .*", self.machines.console(NODE))
        refused = [number for number, line in enumerate(said) if line.startswith(f"leak {mark}: ")]
        return [line.strip() for line in said[refused[0] + 1 :]] if refused else []

    def logins(self) -> list[bool]:
        """Whether ssh lets in whoever comes, three times."""
        return [self.machines.run(NODE, "true", check=False).returncode == 0 for _ in range(3)]

    def threads(self, group: str = "") -> tuple[int, int]:
        """The threads of a control group of pods, or of all, and what it may have."""
        folder = f"/sys/fs/cgroup/kubepods.slice/{group}"
        current, most = self.run(f"cat {folder}/pids.current {folder}/pids.max").split()
        return int(current), int(most)

    def watchdog(self) -> dict[str, str]:
        """What systemd knows of it: its process, and when it last said that its loop goes round."""
        names = "MainPID,NRestarts,WatchdogTimestampMonotonic"
        told = self.run(f"systemctl show --property={names} nodeward-bird-watchdog")
        return dict(line.split("=", 1) for line in told.splitlines())


@pytest.fixture
def node(say: Callable[[str], None]) -> Iterator[Node]:
    machines = Vms("drills", say, count=1)
    try:
        yield Node(machines)
    finally:
        machines.down()


@pytest.mark.long
def test_a_node_without_process_ids_lets_nobody_in(node: Node, account: Account, tmp_path: Path) -> None:
    """B: one pod leaked threads until kernel.pid_max was reached: no fork, no probe, no login."""
    node.pod("probes", "python3 /root/probes")
    node.pod("first", f"python3 /root/leak {LEAKS} first")
    # a probe that was begun before that, or gets the id of something that ended, is one more that passes
    failed = ["probe: Resource temporarily unavailable"] * 5
    bird.until(lambda: node.told("first")[-5:] == failed, "five failed probes after the leak was refused a thread", 120)
    assert node.logins() == [False] * 3, f"the probes said then: {node.told('first')[-5:]}"
    account.before(f"with kernel.pid_max {PID_MAX} five exec probes in a row and three of three logins failed")
    bird.until(lambda: all(node.logins()), "the end of the leak", LEAKS + 210)

    words = ["--tags", "pid_limits,bird_watchdog", "-e", "harden_allow=kubelet_restart", "-e", "harden_pause=0"]
    watchdog = {"bird_watchdog_window": 20, "bird_watchdog_random_delay": 0, "bird_watchdog_cooldown": 30}
    for key, value in {"pid_limits_pids_per_pod": CAP, **watchdog}.items():
        words += ["-e", f"{key}={value}"]
    assert Playbooks(node.machines.inventory, tmp_path, limit=900).play("harden", *words).code == 0
    assert node.cap() == CAP

    node.pod("second", "python3 /root/leak 600 second")
    bird.until(lambda: len(node.told("second")) >= 5, "five probes after the leak was refused a thread", 120)
    assert node.told("second")[:5] == ["probe: ok"] * 5
    assert node.logins() == [True] * 3
    assert node.threads("kubepods-besteffort.slice/kubepods-besteffort-podsecond.slice") == (CAP, CAP)
    account.after(
        f"the same leak is refused more than {CAP} threads; five of five probes and three of three logins pass"
    )

    node.pod("calico", f"sh -c '{SUPERVISED}'")
    first = node.run("until pgrep -x bird; do sleep 1; done")
    # a look by ssh takes a share of the one core, and a BIRD with less than it wants is none that is killed
    node.run(f"until pgrep -x bird | grep -v '^{first}$'; do sleep 3; done")
    assert f"bird[{first}] is killed: socket_silent" in node.run("journalctl --identifier=nodeward-bird-watchdog")
    account.after("beside it the watchdog kills a BIRD that spins, and another one comes up")

    _current, most = node.threads()
    assert most == min(int(node.run(f"cat /proc/sys/kernel/{name}")) for name in ("pid_max", "threads-max")) - 2048
    for number in range(most // CAP + 1):
        node.pod(f"more{number}", f"python3 /root/leak 600 more{number}")
    bird.until(lambda: node.threads()[0] >= most - 1, "pods that fill what they may have", 180)
    assert node.logins() == [True] * 3
    before = node.watchdog()
    bird.until(lambda: node.watchdog()["WatchdogTimestampMonotonic"] != before["WatchdogTimestampMonotonic"], "a sign")
    now = node.watchdog()
    assert (now["MainPID"], now["NRestarts"]) == (before["MainPID"], "0")
    account.after(f"with {node.threads()[0]:,} threads in pods, all that they may have, ssh and the watchdog go on")
