"""One bridge per lab; per node a network namespace whose eth0 is a veth into the bridge."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

from tests.lab import process
from tests.lab.host import mounts, run

_NETNS = Path("/run/netns")
_LINKS = Path("/sys/class/net")


@dataclasses.dataclass(frozen=True)
class Network:
    """Everything is named after the lab's id, so that it can be found again with nothing but the id.

    Link names hold 15 characters: nw + 8 of the id + n + the node's number.
    """

    lab_id: str
    subnet: ipaddress.IPv4Network

    @property
    def bridge(self) -> str:
        return f"nw{self.lab_id}"

    @property
    def gateway(self) -> str:
        return str(self.subnet[1])

    def address(self, number: int) -> str:
        """node1 has .11: the addresses below are free for whatever a drill puts on the bridge."""
        return str(self.subnet[10 + number])

    def netns(self, number: int) -> str:
        return f"nw-{self.lab_id}-node{number}"

    def port(self, number: int) -> str:
        """The end of a node's link that is in the bridge."""
        return f"{self.bridge}n{number}"

    def netns_path(self, number: int) -> Path:
        return _NETNS / self.netns(number)

    def mac(self, number: int) -> str:
        """Always the same for a node (0: the bridge), or neighbours remember the old one for half a minute."""
        return f"02:{':'.join(self.lab_id[at : at + 2] for at in range(0, 8, 2))}:{number:02x}"

    def make_bridge(self) -> None:
        """Idempotent: also completes one that a killed run left half-made."""
        if not (_LINKS / self.bridge).exists():
            run(["ip", "link", "add", self.bridge, "address", self.mac(0), "type", "bridge"])
        run(["ip", "address", "replace", f"{self.gateway}/{self.subnet.prefixlen}", "dev", self.bridge])
        run(["ip", "link", "set", self.bridge, "up"])

    def make_node(self, number: int) -> None:
        """A fresh namespace: what is left of an earlier one goes first, as links do when a machine reboots."""
        self.remove_node(number)
        netns, veth = self.netns(number), self.port(number)
        inside = ["ip", "-netns", netns]
        run(["ip", "netns", "add", netns])
        run(
            [
                "ip",
                "link",
                "add",
                veth,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "address",
                self.mac(number),
                "netns",
                netns,
            ]
        )
        run(["ip", "link", "set", veth, "master", self.bridge, "up"])
        run([*inside, "link", "set", "lo", "up"])
        run([*inside, "address", "add", f"{self.address(number)}/{self.subnet.prefixlen}", "dev", "eth0"])
        run([*inside, "link", "set", "eth0", "up"])
        run([*inside, "route", "add", "default", "via", self.gateway])
        # Felix's part, and sysctls are read-only in the node; this one belongs to its namespace.
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        run(["nsenter", f"--net={self.netns_path(number)}", "sh", "-c", forward])

    def remove_node(self, number: int) -> None:
        _remove_netns([self.netns_path(number)])
        _remove_links([_LINKS / f"{self.bridge}n{number}"])


def remove(lab_id: str) -> None:
    """Remove all that carries this id, whatever is there of it."""
    _remove_netns(sorted(_NETNS.glob(f"nw-{lab_id}-*")))
    _remove_links(sorted(_LINKS.glob(f"nw{lab_id}*"), reverse=True))  # the bridge, with the shortest name, last


def _remove_links(links: list[Path]) -> None:
    for link in links:
        if link.exists():
            # Waits until the kernel has let go of both ends; may lose against the end of the namespace.
            done = run(["ip", "link", "delete", link.name], check=False)
            if done.returncode != 0 and link.exists():
                run(["ip", "link", "delete", link.name])


def _remove_netns(paths: list[Path]) -> None:
    """The kernel keeps a namespace without a name as long as a process is in it: those are ended first."""
    mounted = {mount.target for mount in mounts()}
    inodes = [path.stat().st_ino for path in paths if path.exists() and str(path) in mounted]
    process.end(lambda: process.in_network(inodes), grace=0)
    for path in paths:
        if path.exists():  # also an empty file that a reboot left of it
            run(["ip", "netns", "delete", path.name])
