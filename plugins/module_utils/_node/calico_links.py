# Private to the collection nodeward.calico: may change in any release.
"""What Calico calls its links, and what its tunnels add to each packet; tables with their source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._core.host import Host
from .._core.links import PODS, Link, Network
from . import processes

__all__ = ["PODS", "Tunnel", "felix_runs", "missed_by_autodetection", "other_tunnels", "tunnels"]

# Calico's tunnels and the IP version that they travel in (felix/dataplane/linux, felix/rules: the names).
NAMES = {"tunl0": 4, "vxlan.calico": 4, "vxlan-v6.calico": 6, "wireguard.cali": 4, "wg-v6.cali": 6}

# Bytes by kind of link and IP version (felix/dataplane/linux/int_dataplane.go, ipipMTUOverhead and the like;
# docs.tigera.io "Configure MTU to maximize network performance" has the same table).
OVERHEADS = {("ipip", 4): 20, ("vxlan", 4): 50, ("vxlan", 6): 70, ("wireguard", 4): 60, ("wireguard", 6): 80}

# Tunnels that are not Calico's: the least that they add, over IPv4 without options (the kernel's headers:
# outer IP 20, GRE 4, UDP 8, VXLAN and Geneve 8, inner Ethernet 14; WireGuard 60 as above).
OTHER_OVERHEADS = {"ipip": 20, "sit": 20, "gre": 24, "gretap": 38, "vxlan": 50, "geneve": 50, "wireguard": 60}

# MTUIfacePattern of felix/config/config_params.go, the newest first, with the Calico versions that have it.
PATTERNS = (
    ("v3.27 or newer", r"((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"),
    ("v3.17 to v3.26", r"((en|wl|ww|sl|ib)[opsx].*|(eth|wlan|wwan).*)"),
)
# What Felix takes where no link matches (int_dataplane.go findHostMTU).
FALLBACK_MTU = 1460

_FELIX = ("calico-node", "calico-felix", "calico")


@dataclass(frozen=True)
class Tunnel:
    """A tunnel and what it adds to each packet, in bytes."""

    link: Link
    overhead: int


def tunnels(network: Network) -> list[Tunnel]:
    """Return Calico's tunnels in use: known by name, their overhead by the kind of link that bears it.

    One that is down carries nothing: tunl0 is there as soon as the kernel has ipip, whatever Calico uses.
    """
    found = ((link, OVERHEADS.get((link.kind, NAMES.get(link.name, 0)))) for link in network.links if link.up)
    return [Tunnel(link, overhead) for link, overhead in found if overhead is not None]


def other_tunnels(network: Network) -> list[Tunnel]:
    """Return the tunnels in use that are not Calico's."""
    return [
        Tunnel(link, OTHER_OVERHEADS[link.kind])
        for link in network.links
        if link.up and link.kind in OTHER_OVERHEADS and link.name not in NAMES
    ]


def missed_by_autodetection(name: str) -> list[str]:
    """Return the Calico versions whose detection of the MTU passes over a link of this name."""
    return [versions for versions, pattern in PATTERNS if not re.match(pattern, name)]


def felix_runs(host: Host, names: Mapping[int, str]) -> bool:
    """Tell whether a Felix runs here, in a pod or not; ``names`` as processes.names returns them.

    It is ``calico-node -felix`` (node/filesystem/etc/service/available/felix/run), ``calico component node felix``
    from v3.33 on, or ``calico-felix`` on a host. A pod that only calls itself so keeps us from a tunnel's MTU,
    and nothing else.
    """
    for pid in sorted(pid for pid, name in names.items() if name in _FELIX):
        words = processes.command_line(host, pid)
        if names[pid] == "calico-felix" or any(word.lstrip("-") == "felix" for word in words):
            return True
    return False
