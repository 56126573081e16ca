"""Make a real BIRD take processor time: by the bug of incident A3 (`spin`), or by plain work (`busy`).

The bug, in Calico's BIRD before 3.27.0: it never forgets an interface that is gone. Every scan (each 2 s) looks up
each interface of the node in a list that also holds those, one by one: its cost is links x (links + remembered).
projectcalico/bird issues 77, 95 and 102, calico issue 5942.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab import bird, throttle
from tests.lab.lab import Lab

_BATCH = 200  # pairs: with many more, BIRD's netlink socket overflows and it never hears of some names
_GROUP = "4242"
LONGEST_ANSWER = 30  # seconds that an answer is waited for: up to 207 were seen, and half a minute says it, too
_TIMED_OUT = 124  # the exit status of timeout(1) then
# Pairs. The first 20,000 take 35 s to make, then 97 to 100 % of a core, and answers after 14 s and more.
_REMEMBERED, _LIVE, _MOST = 20_000, 4_000, 60_000


def prefer(lab: Lab, node: str, pid: int) -> None:
    """Let a process have a core whenever it wants one, as on a machine that is not shared with others' tests.

    Without that, a process that spins on two cores with six that want to run has a share of a third.
    """
    group = f"/proc/{pid}/autogroup"  # sessions share the processor first, where the kernel has it so
    lab.run(node, f"renice -n -20 -p {pid}; [ ! -e {group} ] || echo -20 > {group}")


def quota(lab: Lab, node: str, percent: int) -> contextlib.AbstractContextManager[None]:
    """Let BIRD's container use so many percent of a core."""
    return throttle.processor(lab, node, percent, _is_birds)


def _is_birds(pid: int) -> bool:
    with contextlib.suppress(OSError):  # it ended meanwhile
        return Path(f"/proc/{pid}/comm").read_text().strip() in ("runsvdir", "runsv", "bird", "bird6")
    return False


def spin(lab: Lab, node: str, pid: int, percent: float) -> float:
    """Let interfaces come and go under ever new names, and more of them stay; both daemons hear of them.

    Again, with more that came and went, until a process takes so many percent of a core; its share.
    """
    taken = 0.0
    for first in range(0, _MOST, _REMEMBERED):
        for batch in range(first, first + _REMEMBERED, _BATCH):
            _add(lab, node, "gone", batch)
            _remove(lab, node)
        for batch in range(0, _LIVE, _BATCH):
            _add(lab, node, "here", batch)
        taken = share(lab, node, pid, 20)  # over more than one scan
        if taken >= percent:
            break
        _remove(lab, node)  # one that spins does not hear of the next ones
    return taken


def _remove(lab: Lab, node: str) -> None:
    _ip(lab, node, f"link delete group {_GROUP}")


def _add(lab: Lab, node: str, name: str, first: int) -> None:
    numbers = range(first, first + _BATCH)
    pairs = (f"link add {name}{i} group {_GROUP} type veth peer name {name}{i}p group {_GROUP}" for i in numbers)
    _ip(lab, node, "\n".join(pairs))


def _ip(lab: Lab, node: str, batch: str) -> None:
    command = ["ip", "-netns", lab.netns(node).name, "-batch", "-"]
    subprocess.run(command, input=batch + "\n", text=True, check=True, timeout=120)


@contextlib.contextmanager
def busy(lab: Lab, node: str, pid: int, control: str, percent: float = 100, prefixes: int = 150_000) -> Iterator[None]:
    """Keep the BIRD of this process and control socket at so many percent of a core.

    It answers others after every so many prefixes that it reads: 150,000 take it a tenth of a second.
    """
    prefer(lab, node, pid)
    words = f"{control} {pid} {percent:g} {prefixes}"
    lab.run(node, f"systemd-run --quiet --collect --unit=lab-bird-load /usr/local/lib/lab/bird-load {words}")
    try:
        yield
    finally:
        lab.run(node, "systemctl stop lab-bird-load", check=False)


def burst(lab: Lab, node: str, pid: int, control: str, seconds: float) -> float:
    """Keep a BIRD busy for so many seconds by the node's own clock; its share in their middle, in percent.

    The node is asked once, since every question may take a second on a machine that is shared.
    """
    prefer(lab, node, pid)
    limit = f"--property=RuntimeMaxSec={seconds:g} --unit=lab-bird-load"
    look = f"sleep {seconds / 3:g}; cut -d ' ' -f 14,15 /proc/{pid}/stat; cut -d ' ' -f 1 /proc/uptime"
    script = f"/usr/local/lib/lab/bird-load {control} {pid} 100 150000"
    told = lab.run(node, f"systemd-run --quiet --collect {limit} {script}; {look}; {look}").stdout
    user, system, at, user_after, system_after, at_after = map(float, told.split())
    ticks = user_after - user + system_after - system
    return ticks / os.sysconf("SC_CLK_TCK") / (at_after - at) * 100


def share(lab: Lab, node: str, pid: int, seconds: float = 10) -> float:
    """The share of one core that a process takes over some seconds, in percent, as top has it."""
    told = lab.run(node, f"XDG_CONFIG_HOME=/run top -b -n 2 -d {seconds:g} -p {pid}", timeout=seconds + 60).stdout
    *_, last = told.splitlines()
    return float(last.split()[8])


def answer(lab: Lab, node: str, name: str) -> float:
    """Seconds until BIRD answers a question on its control socket; LONGEST_ANSWER for one that does not by then."""
    start = time.monotonic()
    lab.run(node, f"timeout {LONGEST_ANSWER} {bird.SHELLS[name]} show status || [ $? = {_TIMED_OUT} ]")
    return time.monotonic() - start
