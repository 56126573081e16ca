"""What the one round trip costs on a node with 40,000 threads, and on one with 5,000 links."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.faults.table import Fault
from tests.fleet.fleet import Fleet

NODE = "node1"
ROUNDS = 7
PROCESSES, THREADS, LINKS = 4, 10_000, 5_000  # one process has no room for 40,000 stacks (vm.max_map_count)
MOST = 3.0  # times the round trip of a quiet node
PID_MAX = Path("/proc/sys/kernel/pid_max")

MODULES = ("node", "node_info")

# What there is to change is changed first, and then there is nothing.
PLAYBOOK = """
- hosts: {node}
  gather_facts: false
  tasks:
    - nodeward.calico.node: &traps
        {{pid_limits: {{}}, link_mtu: {{}}, bird_watchdog: {{}}, process_metrics: {{}}, etcd_timing: {{}}}}
    - ansible.builtin.debug: {{msg: "at {{{{ now(fmt='%s.%f') }}}}"}}
"""
ROUND = """
    - nodeward.calico.{module}: *traps
      register: round
      failed_when: round is failed or round is changed
    - ansible.builtin.debug: {{msg: "at {{{{ now(fmt='%s.%f') }}}}"}}
"""
SLEEPERS = """
import threading, time
threading.stack_size(64 * 1024)
for number in range(%d):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
open("/run/lab/sleepers-%%s" %% __import__("os").getpid(), "w").close()
time.sleep(3600)
"""


def round_trips(fleet: Fleet, folder: Path) -> dict[str, float]:
    """Seconds of one round trip with nothing to change, of each module the median of seven."""
    playbook = folder / "rounds.yml"
    rounds = [ROUND.format(module=module) for module in MODULES for _ in range(ROUNDS)]
    playbook.write_text(PLAYBOOK.format(node=NODE) + "".join(rounds))
    run = fleet.play(str(playbook))
    assert run.code == 0
    moments = [float(text) for text in re.findall(r"msg: at ([0-9.]+)", run.output)]
    took = [later - earlier for earlier, later in pairwise(moments)]
    assert len(took) == len(rounds)
    return dict(zip(MODULES, (median(took[:ROUNDS]), median(took[ROUNDS:])), strict=True))


def compare(fault: Fault, what: str, quiet: dict[str, float], loaded: dict[str, float]) -> None:
    """Count whether it takes too many times as long with a load, and keep the figures."""
    times = {module: loaded[module] / quiet[module] for module in MODULES}
    slow = [f"{module} takes {each:.1f} times as long" for module, each in times.items() if each > MOST]
    fault.outcome(what, slow, None)
    slower = ", ".join(f"{module} {each:.1f} times as long" for module, each in times.items())
    fault.measured.append(f"with {what} {told(loaded)}, quiet {told(quiet)}: {slower}")


def told(seconds: dict[str, float]) -> str:
    return ", ".join(f"{each:.2f} s ({module})" for module, each in seconds.items())


@contextlib.contextmanager
def room_for_process_ids() -> Iterator[None]:
    """Have this machine give out so many process ids: a node's own limit does not go beyond it."""
    before = PID_MAX.read_text()
    PID_MAX.write_text(str(max(int(before), 4 * PROCESSES * THREADS)))
    try:
        yield
    finally:
        PID_MAX.write_text(before)


def test_forty_thousand_threads(fault: Fault, fleet: Fleet, tmp_path: Path) -> None:
    """A node has 40,000 threads: at most three times the round trip of a quiet one."""
    fault.tried += 1
    with room_for_process_ids():
        fleet.lab.reset()
        fleet.lab.run(NODE, f"echo {4 * PROCESSES * THREADS} > /proc/sys/kernel/pid_max")
        quiet = round_trips(fleet, tmp_path)
        fleet.lab.run(NODE, f"mkdir -p /run/lab; cat > /root/sleepers.py <<'END'{SLEEPERS % THREADS}END")
        for number in range(PROCESSES):
            fleet.lab.run(
                NODE, f"systemd-run -q --unit=lab-sleepers{number} -p TasksMax=infinity python3 /root/sleepers.py"
            )
        fleet.lab.run(
            NODE, f"until [ $(ls /run/lab/sleepers-* 2>/dev/null | wc -l) = {PROCESSES} ]; do sleep 0.2; done"
        )
        there = int(fleet.lab.run(NODE, "cat /proc/[0-9]*/status | awk '/^Threads:/ {n += $2} END {print n}'").stdout)
        assert there > PROCESSES * THREADS
        loaded = round_trips(fleet, tmp_path)
        fleet.lab.run(NODE, "pkill -KILL -f /root/sleepers.py")
    compare(fault, f"{there:,} threads", quiet, loaded)
    assert fault.unlike == []


def test_five_thousand_links(fault: Fault, fleet: Fleet, tmp_path: Path) -> None:
    """A node has 5,000 links: at most three times the round trip of a quiet one."""
    fault.tried += 1
    quiet = round_trips(fleet, tmp_path)
    # pairs, as of pods whose other ends have not been moved yet
    make = """awk '{printf "link add cali%011d type veth peer name pod%011d\\n", $1, $1}' | ip -batch -"""
    fleet.lab.run(NODE, f"seq {LINKS // 2} | {make}", timeout=300)
    there = int(fleet.lab.run(NODE, "ip -o link | wc -l").stdout)
    assert there > LINKS
    loaded = round_trips(fleet, tmp_path)
    compare(fault, f"{there:,} links", quiet, loaded)
    assert fault.unlike == []
