# Private to the collection nodeward.calico: may change in any release.
"""Links, addresses and routes of a node, as the kernel tells them over netlink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import NodewardError

# What the links of pods begin with: Calico's CNI plugin names them cali + 11 hexadecimal digits.
PODS = "cali"

MAIN_TABLE = 254  # RT_TABLE_MAIN


@dataclass(frozen=True)
class Link:
    """One link. MTUs in bytes; a bound that the driver does not tell is 0.

    ``kind`` is the kernel's (vxlan, bond, vlan, ...), '' for hardware. ``master`` is the index of the bond,
    bridge or VRF that it belongs to, ``lower`` of the link that it stands on, or of its other end (veth);
    with ``netnsid`` the index is one of another network namespace. ``local`` is the outer address of a VXLAN.
    """

    index: int
    name: str
    mtu: int
    kind: str = ""
    min_mtu: int = 0
    max_mtu: int = 0
    master: int | None = None
    lower: int | None = None
    netnsid: int | None = None
    up: bool = True
    loopback: bool = False
    local: str = ""


@dataclass(frozen=True)
class Address:
    """An IP address and the index of the link that carries it."""

    address: str
    link: int


@dataclass(frozen=True)
class DefaultRoute:
    """A default route: address family (4 or 6), routing table, metric, the index of the link it leads out by.

    One that leads out by several links at once is one for each of them.
    """

    family: int
    table: int
    metric: int
    link: int


@dataclass(frozen=True)
class Network:
    """All links with all addresses and default routes; ``pod_ends`` has the other ends of the pods' links by name."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    default_routes: tuple[DefaultRoute, ...] = ()
    pod_ends: Mapping[str, Link] = field(default_factory=dict)

    def link(self, index: int | None) -> Link | None:
        return next((link for link in self.links if link.index == index), None)

    def named(self, name: str) -> Link | None:
        return next((link for link in self.links if link.name == name), None)


class MissingPackageError(NodewardError):
    """A Python package that the node has not."""

    def __init__(self, package: str, why: str) -> None:
        super().__init__(
            what=f"Python's {package} is missing ({why})",
            where=package,
            remedy=f"Install the distribution's package (python3-{package}), or have harden.yml bring it",
        )
        self.package = package

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str]]:
        return type(self), (self.package, self.what)
