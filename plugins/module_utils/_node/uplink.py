# Private to the collection nodeward.calico: may change in any release.
"""The uplink: the link by which packets between nodes leave this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from .._core.host import Host
from .._core.links import MAIN_TABLE, PODS, Link, Network
from .._core.plan import Refusal
from .._core.verbs.links import takes
from . import processes
from .calico_links import NAMES

# The least that IPv6 needs (RFC 8200 section 5); below it the kernel takes IPv6 off a link.
LEAST_MTU = 1280

# Links that stand on another one (IFLA_LINK), and never take more than it does.
ON_ANOTHER = ("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap")
# Links that hand their MTU down to their members.
TEAMS = ("bond", "team")
# Members of a bridge that lead to pods and machines, not to the network.
INWARD = ("veth", "tun")


class UnfoundError(Exception):
    """No uplink can be told; ``refusal`` says why and what to do."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.what)
        self.refusal = refusal


@dataclass(frozen=True)
class Wanted:
    """What a user said: the link, or the address that it carries; '' where nothing was said."""

    trap: str
    link: str = ""
    address: str = ""


def observe(host: Host, names: Mapping[int, str]) -> tuple[str, ...]:
    """Return the addresses that the kubelet was told (--node-ip); names as processes.names returns them."""
    for pid in processes.own(host, names, ("kubelet",)):
        words = processes.command_line(host, pid)
        for word, following in zip(words, [*words[1:], ""]):
            flag, _equals, value = word.partition("=")
            if flag == "--node-ip":
                return tuple(part.strip() for part in (value or following).split(",") if part.strip())
    return ()


def find(network: Network, wanted: Wanted, node_ips: Sequence[str]) -> Link | None:
    """Return the uplink, None where nothing leads out.

    In this order: the link or address given, the address that the kubelet was told, the outer address of
    Calico's VXLAN, the default routes. Raises UnfoundError.
    """
    if wanted.link:
        return _given_link(network, wanted)
    if wanted.address:
        return _given_address(network, wanted)
    outer = [link.local for link in network.links if link.name in NAMES and link.local]
    for address in (*node_ips, *outer):
        carriers = _carriers(network, address)
        if len(carriers) == 1 and not _is_inner(carriers[0]):
            return carriers[0]
    return _by_default_route(network, wanted)


def reached_by(network: Network, link: Link, named: Sequence[str] = ()) -> str:
    """Return the address of a link by which other nodes reach it, '' where it has none.

    The first of the ``named``, what we and the kubelet were told, that it has. Else its first that is not link-local:
    one that moves between nodes comes later.
    """
    own = [each.address for each in network.addresses if each.link == link.index]
    told = [address for address in map(_plain, named) if address in own]
    return next((address for address in (*told, *own) if not ip_address(address).is_link_local), "")


def carried(network: Network, uplink: Link) -> int:
    """Return how large a packet can leave by the uplink: it, and what it stands on."""
    return min(link.mtu for link in (uplink, *below(network, uplink)))


def on_top(network: Network, uplink: Link) -> list[Link]:
    """Return the links that stand on the uplink, which the kernel cuts when it is lowered; the topmost first."""
    return _reached(uplink, lambda lower: [link for link in network.links if _stands_on(link) == lower.index])[::-1]


def bad_mtu(network: Network, uplink: Link, mtu: int, trap: str) -> Iterator[Refusal]:
    """Refuse an MTU that is too small for IPv6, or that the uplink or what it stands on does not take."""
    variable = f"{trap}_uplink_mtu"

    def refusal(what: str, remedy: str) -> Refusal:
        return Refusal(trap=trap, what=what, where=variable, remedy=remedy)

    if mtu < LEAST_MTU:
        yield refusal(
            f"{mtu} is below {LEAST_MTU}, the least that IPv6 needs", f"Set {variable} to {LEAST_MTU} or more"
        )
        return
    for link in (uplink, *_members(network, uplink)):
        if not takes(link, mtu):
            yield refusal(
                f"the driver of {link.name} takes no MTU of {mtu} ({link.min_mtu} to {link.max_mtu})",
                f"Set {variable} to at most {link.max_mtu}",
            )
    handed_down = _members(network, uplink) if uplink.kind in TEAMS else []
    for link in below(network, uplink):
        if mtu > link.mtu and link not in handed_down:
            yield refusal(
                f"{mtu} is more than {link.name}, which {uplink.name} stands on, carries ({link.mtu})",
                f"Raise the MTU of {link.name} first, or set {variable} to at most {link.mtu}",
            )


def below(network: Network, uplink: Link) -> list[Link]:
    """Return the links that a packet leaves by after this one, down to the hardware."""
    return _reached(uplink, lambda link: _next_below(network, link))


def _next_below(network: Network, link: Link) -> list[Link]:
    lower = network.link(_stands_on(link))
    return _members(network, link) if lower is None else [lower]


def _stands_on(link: Link) -> int | None:
    return link.lower if link.kind in ON_ANOTHER and link.netnsid is None else None


def _reached(start: Link, step: Callable[[Link], list[Link]]) -> list[Link]:
    """Return the links that are reached from one by any number of steps, the nearest first, each once."""
    found = {start.index: start}
    waiting = [start]
    for link in waiting:
        new = [each for each in step(link) if each.index not in found]
        found.update({each.index: each for each in new})
        waiting += new
    return waiting[1:]


def _members(network: Network, uplink: Link) -> list[Link]:
    members = [link for link in network.links if link.master == uplink.index]
    if uplink.kind == "bridge":
        return [link for link in members if link.kind not in INWARD]
    return members if uplink.kind in TEAMS else []


def _carriers(network: Network, address: str) -> list[Link]:
    indexes = dict.fromkeys(each.link for each in network.addresses if each.address == _plain(address))
    return [link for link in map(network.link, indexes) if link is not None]


def _plain(address: str) -> str:
    """Return an address as the kernel's are written here; '' for what is none."""
    try:
        return str(ip_address(address))
    except ValueError:
        return ""


def _is_inner(link: Link) -> bool:
    """Tell whether a link carries addresses but leads nowhere: loopback, a dummy, a VRF."""
    return link.loopback or link.kind in ("dummy", "vrf")


def _given_link(network: Network, wanted: Wanted) -> Link:
    variable = f"{wanted.trap}_uplink"
    link = network.named(wanted.link)
    if link is None:
        there = [each.name for each in network.links if not each.loopback and not each.name.startswith("cali")]
        raise _unfound(
            wanted, f"there is no link {wanted.link}", variable, f"Name one that is there ({', '.join(there[:20])})"
        )
    if link.name in NAMES or link.name.startswith(PODS) or _is_inner(link):
        raise _unfound(wanted, f"{link.name} leads to no other node by itself", variable, "Name the link below it")
    master = network.link(link.master)
    if master is not None and master.kind in (*TEAMS, "bridge"):
        raise _unfound(wanted, f"{link.name} is a member of {master.name}", variable, f"Name {master.name} instead")
    return link


def _given_address(network: Network, wanted: Wanted) -> Link:
    variable = f"{wanted.trap}_address"
    carriers = _carriers(network, wanted.address)
    if not carriers:
        raise _unfound(
            wanted, f"no link carries {wanted.address}", variable, "Give an address of this node, or leave it out"
        )
    if len(carriers) > 1 or _is_inner(carriers[0]) or carriers[0].name in NAMES:
        names = " and ".join(link.name for link in carriers)
        raise _unfound(
            wanted,
            f"{wanted.address} is carried by {names}, so the way out cannot be told",
            variable,
            f"Name the uplink in {wanted.trap}_uplink",
        )
    return carriers[0]


def _by_default_route(network: Network, wanted: Wanted) -> Link | None:
    """Return the link of the default routes of the main table, else of those by members of a VRF."""
    routes = [route for route in network.default_routes if route.table == MAIN_TABLE]
    if not routes:
        vrfs = {link.index for link in network.links if link.kind == "vrf"}
        in_vrf = {link.index for link in network.links if link.master in vrfs}
        routes = [route for route in network.default_routes if route.link in in_vrf]
    found = [network.link(index) for index in dict.fromkeys(route.link for route in routes)]
    links = [link for link in found if link is not None]
    if len(links) > 1:
        names = " and ".join(link.name for link in links)
        raise _unfound(
            wanted,
            f"default routes lead out by {names}, so the uplink cannot be told",
            "default routes",
            f"Name the uplink in {wanted.trap}_uplink, or the node's address in {wanted.trap}_address",
        )
    return links[0] if links else None


def _unfound(wanted: Wanted, what: str, where: str, remedy: str) -> UnfoundError:
    return UnfoundError(Refusal(trap=wanted.trap, what=what, where=where, remedy=remedy))
