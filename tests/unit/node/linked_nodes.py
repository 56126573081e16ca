"""A node with an uplink, a tunnel and a pod's link, and what link_mtu plans for it in a line each."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Change
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_boot import Boot

LO = Link(1, "lo", 65536, loopback=True)
ETH0 = Link(2, "eth0", 1500, min_mtu=68, max_mtu=9710)
TUNL0 = Link(5, "tunl0", 1480, "ipip")
POD = Link(7, "cali0123456789a", 1450, "veth", lower=3, netnsid=0)
POD_END = Link(3, "eth0", 1450, "veth", lower=7, netnsid=1)
ADDRESSES = (Address("127.0.0.1", 1), Address("192.0.2.4", 2))
ROUTES = (DefaultRoute(4, 254, 0, 2),)
ETH1 = Link(9, "eth1", 1500)
TWO_ROUTES = (*ROUTES, DefaultRoute(4, 254, 100, 9))
NETWORK = Network((LO, ETH0, TUNL0), ADDRESSES, ROUTES)
NETWORKD_FILE = "/etc/systemd/network/10-eth0.network"


def node(
    *links: Link,
    felix: bool = False,
    boot: Boot | None = None,
    routes: tuple[DefaultRoute, ...] = ROUTES,
    addresses: tuple[Address, ...] = ADDRESSES,
) -> Facts:
    """Describe a node with eth0 and these links; a pod's link has its other end."""
    ends = {link.name: replace(POD_END, mtu=link.mtu) for link in links if link.name == POD.name}
    there = links if any(link.index == 2 for link in links) else (ETH0, *links)
    network = Network((LO, *there), addresses, routes, ends)
    return Facts(network, felix=felix, boot={} if boot is None else {"eth0": boot})


def uplink(mtu: int) -> Link:
    return replace(ETH0, mtu=mtu)


def tunnel(mtu: int, name: str = "tunl0", kind: str = "ipip") -> Link:
    return replace(TUNL0, name=name, kind=kind, mtu=mtu)


def pod(mtu: int) -> Link:
    return replace(POD, mtu=mtu)


def told(changes: tuple[Change, ...]) -> list[str]:
    """Say a change in a line, with its consent."""
    return [f"{c.target} {c.before}>{c.after} {c.reason.disrupts}".rstrip() for c in changes]


def plan(facts: Facts, policy: Policy | None = None) -> Plan:
    made = link_mtu.plan(facts, policy or Policy())
    assert made.refusals == ()
    assert {c.reason.trap for c in made.changes} <= {"link_mtu"}
    return made
