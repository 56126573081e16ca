# Private to the collection nodeward.calico: may change in any release.
"""The BGP peers of a BIRD, and with which of them it has a connection, by /proc: a BIRD that spins answers nobody.

A connection is no session yet, but where there is none there is no session.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import sys
from dataclasses import dataclass

from .._core.host import Host

# Inside the container, by the name of the process (confd/templates in Calico's node).
CONFIG = "/etc/calico/confd/config/{name}.cfg"
_NEIGHBOR = re.compile(r"\bneighbor\s+([0-9A-Fa-f.:]+)(?:%\S+)?\s+(?:port\s+\d+\s+)?as\b")

# /proc/PID/net/tcp: local and remote address as ADDRESS:PORT in hexadecimal digits, then the state; 01 is established.
_CONNECTION = re.compile(r"^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) 01 ", re.MULTILINE)
_BGP = "00B3"  # port 179
NAMED = 10


@dataclass(frozen=True)
class Peers:
    """How many are configured, and the first NAMED of those without a connection, of ``lost`` ones in all."""

    configured: int = 0
    lost: int = 0
    named: tuple[str, ...] = ()


def observe(host: Host, pid: int, name: str) -> Peers | None:
    """Look at one BIRD, 'bird' or 'bird6'; None where its configuration cannot be read, or its connections."""
    config = table = None
    with contextlib.suppress(OSError):  # a table that is too large is one of a node that has other worries
        config = host.read_text(f"/proc/{pid}/root{CONFIG.format(name=name)}")
        table = host.read_text(f"/proc/{pid}/net/{'tcp6' if name == 'bird6' else 'tcp'}")
    if config is None or table is None:
        return None
    wanted = dict.fromkeys(_configured(config))
    there = connected(table)
    lost = [address for address in wanted if address not in there]
    return Peers(len(wanted), len(lost), tuple(lost[:NAMED]))


def _configured(config: str) -> list[str]:
    lines = [line.partition("#")[0] for line in config.splitlines()]
    return [_plain(found) for line in lines for found in _NEIGHBOR.findall(line)]


def connected(table: str) -> set[str]:
    """Return the addresses at the other end of connections of BGP, whichever side made them."""
    found = _CONNECTION.findall(table)
    return {_address(remote) for _local, here, remote, there in found if _BGP in (here, there)}


def _address(digits: str) -> str:
    """Return an address as the kernel writes it, in words of 32 bits in the byte order of the machine."""
    words = [digits[start : start + 8] for start in range(0, len(digits), 8)]
    raw = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return str(ipaddress.ip_address(raw))


def _plain(address: str) -> str:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(address))
    return address
