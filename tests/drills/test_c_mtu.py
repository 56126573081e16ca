"""Incident C between kernels of their own (tests/vm): a full packet, and the 20 bytes that IPIP adds to it.

A kernel that drops such a packet tells its sender so by ICMP, and TCP then sends smaller ones: nobody sees anything.
Where these messages get lost, as behind a firewall that drops ICMP, the sender goes on with what never arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drills.conftest import Account
from tests.fleet.fleet import Playbooks, Run
from tests.fleet.transfer import RECEIVER, SENDER
from tests.vm.vms import CHECKOUT, Vms

POD = "/usr/local/lib/lab/pod"
PODS = {"vm1": "10.233.1.10", "vm2": "10.233.2.10"}
UPLINK, FITS = 1450, 1430
LARGE = 1_000_000  # bytes: some 700 full packets
PATIENCE = 20  # seconds for a transfer that takes one; the machines are emulated

# The incident's values, a pod, and no way for the node's own ICMP to the pod. Only the tunnel of the incident is there.
INCIDENT = f"""
set -e
ip link delete vxlan.calico
ip link delete wireguard.cali
ip link set eth0 mtu {UPLINK}
ip link set tunl0 mtu {UPLINK}
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
{POD} add pod ADDRESS {UPLINK}
ip rule add iif lo ipproto 1 to ADDRESS blackhole
"""
# The largest packet, 28 bytes of headers with it, that is answered; the first two tell a path that is none.
LARGEST = """
passes() { ping -q -M do -c 3 -i 0.3 -W 3 -s $(($1 - 28)) ADDRESS > /dev/null 2>&1; }
passes 1280 && ! passes 1501 || exit 1
low=1280 high=1501
while [ $((high - low)) -gt 1 ]; do
    size=$(((low + high) / 2))
    if passes $size; then low=$size; else high=$size; fi
done
echo $low
"""


@pytest.fixture
def machines(say: Callable[[str], None]) -> Iterator[Vms]:
    """Two machines as incident C found them, with a pod on each."""
    machines = Vms("drills", say, count=len(PODS))
    machines.down()
    try:
        machines.up()
        pod = (CHECKOUT / "tests/lab/rootfs" / POD.removeprefix("/")).read_text()
        for name, address in PODS.items():
            machines.put(name, POD, pod, 0o755)
            machines.put(name, "/root/receive.py", RECEIVER)
            machines.put(name, "/root/send.py", SENDER)
            machines.run(name, INCIDENT.replace("ADDRESS", address))
        machines.run("vm2", f"systemd-run --quiet {POD} exec pod python3 /root/receive.py")
        machines.run("vm2", f"until {POD} exec pod ss -Hltn | grep -q :9000; do sleep 1; done")
        yield machines
    finally:
        machines.down()


def sent(machines: Vms, size: int) -> str:
    """Send so many bytes from one pod to the other; returns what the other has got, '' where that hangs."""
    return machines.run("vm1", f"{POD} exec pod python3 /root/send.py {PODS['vm2']} {size} {PATIENCE}").stdout.strip()


def largest(machines: Vms) -> list[int]:
    """The largest packet that passes between the pods, as measured from each end."""
    ends = (("vm1", PODS["vm2"]), ("vm2", PODS["vm1"]))
    return [
        int(machines.run(name, f"{POD} exec pod sh -c '{LARGEST.replace('ADDRESS', other)}'").stdout)
        for name, other in ends
    ]


def ping(machines: Vms, size: int) -> str:
    command = f"{POD} exec pod ping -M do -c 1 -W 5 -s {size - 28} {PODS['vm2']} 2>&1"
    return machines.run("vm1", command, check=False).stdout


def mtus(machines: Vms) -> list[int]:
    """Of uplink, tunnel and pod, on both."""
    read = f"cat /sys/class/net/eth0/mtu /sys/class/net/tunl0/mtu; {POD} exec pod cat /sys/class/net/eth0/mtu"
    return [int(each) for name in PODS for each in machines.run(name, read).stdout.split()]


def harden(machines: Vms, folder: Path, allow: str) -> Run:
    words = ("--tags", "link_mtu", "-e", f"harden_allow={allow}", "-e", "harden_pause=0")
    made = Playbooks(machines.inventory, folder, limit=900).play("harden", *words)
    assert made.code == 0
    return made


@pytest.mark.long
def test_full_packets_vanish_and_then_arrive(machines: Vms, account: Account, tmp_path: Path) -> None:
    """C: uplink and tunnel both had 1450, so that small messages between nodes passed and large ones hung."""
    assert mtus(machines) == [UPLINK] * 6
    assert sent(machines, 100) == "100"
    assert sent(machines, LARGE) == ""
    hung = f"100 bytes arrive, {LARGE:,} hang for {PATIENCE} s"
    account.before(f"of uplink, tunnel and pod with {UPLINK}, where ICMP is dropped: {hung}")
    assert largest(machines) == [FITS] * 2
    assert "too long" not in ping(machines, FITS + 1), "the sender is told: nothing vanishes"
    account.before(f"packets of {FITS} pass, from both ends; one byte more is sent and never answered")

    first = harden(machines, tmp_path, allow="")
    assert mtus(machines) == [UPLINK, FITS, UPLINK] * 2
    assert {each["target"] for each in first.node("vm1")["pending"]} != set(), "the pods wait for consent"
    assert sent(machines, LARGE) == ""
    account.before(f"with the tunnels at {FITS} and the pods as they were, which wait for consent, it still hangs")

    harden(machines, tmp_path, allow="pod_veth_change")
    assert mtus(machines) == [UPLINK, FITS, FITS] * 2
    assert sent(machines, LARGE) == str(LARGE)
    account.after(f"{LARGE:,} bytes arrive, by the same pods, with the consent pod_veth_change")
    assert largest(machines) == [FITS] * 2
    assert "too long" in ping(machines, FITS + 1)
    account.after(f"packets of {FITS} pass, from both ends, and one byte more is refused at once")
