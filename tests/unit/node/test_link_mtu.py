"""The trap link_mtu: what a node gets, in which order, and what a person is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Change,
    Reason,
    SetKey,
    SetLinkMtu,
    WriteFile,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu
from ansible_collections.nodeward.calico.plugins.module_utils._node.calico_links import OVERHEADS
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_boot import IFUPDOWN, NETWORKD, Boot
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_files import render
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

LO = Link(1, "lo", 65536, loopback=True)
ETH0 = Link(2, "eth0", 1500, min_mtu=68, max_mtu=9710)
TUNL0 = Link(5, "tunl0", 1480, "ipip")
POD = Link(7, "cali0123456789a", 1450, "veth", lower=3, netnsid=0)
POD_END = Link(3, "eth0", 1450, "veth", lower=7, netnsid=1)
ADDRESSES = (Address("127.0.0.1", 1), Address("192.0.2.4", 2))
ROUTES = (DefaultRoute(4, 254, 0, 2),)
NETWORK = Network((LO, ETH0, TUNL0), ADDRESSES, ROUTES)
ALLOW = ("uplink_change", "pod_veth_change")


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


PLANS: list[tuple[str, Facts, Policy, list[str]]] = [
    ("all well", node(tunnel(1480)), Policy(), []),
    ("incident C", node(uplink(1450), tunnel(1450), pod(1450)), Policy(),
     ["peer cali0123456789a 1450>1430 pod_veth_change", "link cali0123456789a 1450>1430 pod_veth_change",
      "link tunl0 1450>1430"]),
    ("a smaller tunnel is somebody's choice", node(tunnel(1400)), Policy(), []),
    ("no tunnel, no encapsulation", node(pod(1500)), Policy(), []),
    ("pods larger than the uplink", node(pod(1501)), Policy(),
     ["peer cali0123456789a 1501>1500 pod_veth_change", "link cali0123456789a 1501>1500 pod_veth_change"]),
    ("a tunnel that is down", node(replace(tunnel(9000), up=False), pod(1500)), Policy(), []),
    ("vxlan.calico", node(tunnel(1451, "vxlan.calico", "vxlan")), Policy(), ["link vxlan.calico 1451>1450"]),
    ("vxlan-v6.calico", node(tunnel(1431, "vxlan-v6.calico", "vxlan")), Policy(), ["link vxlan-v6.calico 1431>1430"]),
    ("wireguard.cali", node(tunnel(1441, "wireguard.cali", "wireguard")), Policy(), ["link wireguard.cali 1441>1440"]),
    ("wg-v6.cali", node(tunnel(1421, "wg-v6.cali", "wireguard")), Policy(), ["link wg-v6.cali 1421>1420"]),
    ("a vxlan called tunl0", node(tunnel(1480, kind="vxlan")), Policy(), ["link tunl0 1480>1450"]),
    ("Felix owns it", node(tunnel(1500), felix=True), Policy(), []),
    ("Felix owns it, its pods do not", node(tunnel(1500), pod(1500), felix=True), Policy(),
     ["peer cali0123456789a 1500>1480 pod_veth_change", "link cali0123456789a 1500>1480 pod_veth_change"]),
    ("a lower uplink", node(tunnel(1480), pod(1480)), Policy(uplink_mtu=1450),
     ["peer cali0123456789a 1480>1430 pod_veth_change", "link cali0123456789a 1480>1430 pod_veth_change",
      "link tunl0 1480>1430 uplink_change", "link eth0 1500>1450 uplink_change"]),
    ("a lower uplink, a tunnel too large already", node(tunnel(1490)), Policy(uplink_mtu=1450),
     ["link tunl0 1490>1480", "link tunl0 1480>1430 uplink_change", "link eth0 1500>1450 uplink_change"]),
    ("a higher uplink", node(uplink(1450), tunnel(1430)), Policy(uplink_mtu=1500),
     ["link eth0 1450>1500 uplink_change", "link tunl0 1430>1480 uplink_change"]),
    ("a higher uplink, a tunnel too large already", node(uplink(1450), tunnel(1480)), Policy(uplink_mtu=1500),
     ["link tunl0 1480>1430", "link eth0 1450>1500 uplink_change"]),
    ("a higher uplink is all that Felix needs", node(uplink(1450), tunnel(1480), felix=True), Policy(uplink_mtu=1500),
     ["link eth0 1450>1500 uplink_change"]),
    ("Felix keeps the uplink up", node(tunnel(1480), felix=True), Policy(uplink_mtu=1450), []),
    ("Felix has followed", node(tunnel(1430), felix=True), Policy(uplink_mtu=1450),
     ["link eth0 1500>1450 uplink_change"]),
    ("right already", node(tunnel(1480)), Policy(uplink_mtu=1500), []),
    ("VLANs on the uplink would be cut", node(Link(8, "eth0.7", 1500, "vlan", lower=2)), Policy(uplink_mtu=1450),
     ["link eth0.7 1500>1450 uplink_change", "link eth0 1500>1450 uplink_change"]),
    ("a VLAN on a VLAN would be cut too",
     node(Link(9, "eth0.7.8", 1500, "vlan", lower=8), Link(8, "eth0.7", 1500, "vlan", lower=2)),
     Policy(uplink_mtu=1450),
     ["link eth0.7.8 1500>1450 uplink_change", "link eth0.7 1500>1450 uplink_change",
      "link eth0 1500>1450 uplink_change"]),
    ("a VLAN on a bond whose member carries less",
     node(Link(2, "bond0.7", 1500, "vlan", lower=8), Link(8, "bond0", 1500, "bond"),
          Link(9, "eno1", 1500, master=8), Link(10, "eno2", 1450, master=8), tunnel(1480)), Policy(),
     ["link tunl0 1480>1430"]),
    ("a bridge over a bond whose member carries less",
     node(replace(ETH0, kind="bridge"), Link(8, "bond0", 1500, "bond", master=2), Link(9, "eno1", 1450, master=8),
          tunnel(1480)), Policy(), ["link tunl0 1480>1430"]),
    ("a VLAN on a bridge whose port carries less",
     node(Link(2, "br0.7", 1500, "vlan", lower=8), Link(8, "br0", 1500, "bridge"), Link(9, "eno1", 1450, master=8),
          Link(10, "veth1", 1280, "veth", master=8), tunnel(1480)), Policy(), ["link tunl0 1480>1430"]),
    ("links that stand on each other in a ring, as no kernel makes them",
     node(Link(2, "a", 1500, "vlan", lower=8), Link(8, "b", 1500, "vlan", lower=2), tunnel(1480)), Policy(), []),
    ("a bridge whose port carries less",
     node(replace(ETH0, kind="bridge"), Link(9, "eno1", 1450, master=2), pod(1430), tunnel(1480)), Policy(),
     ["link tunl0 1480>1430"]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "changes"), [c[1:] for c in PLANS], ids=[c[0] for c in PLANS])
def test_plans(facts, policy, changes):
    assert told(plan(facts, policy).changes) == changes


def test_only_the_pod_s_end_is_too_large():
    facts = node(pod(1430), tunnel(1430), uplink(1450))
    facts = replace(facts, network=replace(facts.network, pod_ends={POD.name: replace(POD_END, mtu=1450)}))
    assert told(plan(facts).changes) == ["peer cali0123456789a 1450>1430 pod_veth_change"]


NETWORKD_FILE = "/etc/systemd/network/10-eth0.network"
DROP_IN = "/etc/systemd/network/10-eth0.network.d/99-zz-nodeward-link_mtu.conf"
INTERFACES = "/etc/network/interfaces"
STANZA = "iface eth0 inet static\n    address 192.0.2.4/24\n"


def test_the_file_goes_with_the_uplink_and_its_consent():
    boot = Boot(NETWORKD, NETWORKD_FILE, {NETWORKD_FILE: "[Match]\nName=eth0\n"})
    link, file = plan(node(boot=boot), Policy(uplink_mtu=1450)).changes
    assert (link.target, link.reason.disrupts) == ("link eth0", "uplink_change")
    assert isinstance(file, WriteFile)
    assert (file.path, file.before, file.after, file.reason.disrupts) == (DROP_IN, None, render(1450), "uplink_change")


def test_a_file_is_needed_also_where_only_the_boot_would_be_wrong():
    boot = Boot(IFUPDOWN, INTERFACES, {INTERFACES: STANZA})
    [change] = plan(node(uplink(1450), boot=boot), Policy(uplink_mtu=1450)).changes
    assert isinstance(change, SetKey)
    assert (change.target, change.after) == (f"interfaces {INTERFACES}#eth0/inet/mtu", "1450")


# --- refusals ---------------------------------------------------------------------------------------

BOND = (Link(2, "bond0", 1500, "bond", 68, 65535), Link(8, "eno1", 1500, "", 68, 9000, master=2))
BRIDGE = (Link(2, "br0", 1500, "bridge", 68, 65535), Link(8, "eno1", 1500, "", 68, 9000, master=2),
          Link(9, "vnet0", 1400, "tun", master=2))  # fmt: skip
VLAN = (Link(2, "eth0.7", 1500, "vlan", 0, 65535, lower=8), Link(8, "eth0", 1500, "", 68, 9000))
TWO_ROUTES = (*ROUTES, DefaultRoute(4, 254, 100, 9))
ETH1 = Link(9, "eth1", 1500)

REFUSED: list[tuple[str, Facts, Policy, str, str]] = [
    ("no such link", node(pod(1450)), Policy(uplink="eth9"), "link_mtu_uplink", "there is no link eth9"),
    ("the links that there are", node(pod(1450)), Policy(uplink="eth9"), "link_mtu_uplink", "one that is there (eth0)"),
    ("an address of nobody", node(), Policy(address="192.0.2.5"), "link_mtu_address", "no link carries 192.0.2.5"),
    ("no address", node(), Policy(address="eth0"), "link_mtu_address", "no link carries eth0"),
    ("an address on lo", node(), Policy(address="127.0.0.1"), "link_mtu_address", "Name the uplink in link_mtu_uplink"),
    ("below what IPv6 needs", node(), Policy(uplink_mtu=1279), "link_mtu_uplink_mtu", "1279 is below 1280"),
    ("negative", node(), Policy(uplink_mtu=-1), "link_mtu_uplink_mtu", "-1 is below 1280"),
    ("above what the driver takes", node(), Policy(uplink_mtu=9711), "link_mtu_uplink_mtu", "at most 9710"),
    ("two default routes", node(ETH1, routes=TWO_ROUTES), Policy(), "default routes", "eth0 and eth1"),
    ("what to set then", node(ETH1, routes=TWO_ROUTES), Policy(), "default routes", "link_mtu_address"),
    ("one of each IP version", node(ETH1, routes=(*ROUTES, DefaultRoute(6, 254, 0, 9))), Policy(),
     "default routes", "eth0 and eth1"),
    ("a member of a bond", node(*BOND), Policy(uplink="eno1"), "link_mtu_uplink", "Name bond0 instead"),
    ("a bond's member takes less", node(*BOND), Policy(uplink_mtu=9001), "link_mtu_uplink_mtu",
     "the driver of eno1 takes no MTU of 9001"),
    ("a bridge's port carries less", node(*BRIDGE), Policy(uplink_mtu=1501), "link_mtu_uplink_mtu",
     "Raise the MTU of eno1 first"),
    ("a VLAN above its lower link", node(*VLAN), Policy(uplink_mtu=1501), "link_mtu_uplink_mtu",
     "1501 is more than eth0, which eth0.7 stands on, carries (1500)"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "where", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refusals(facts, policy, where, words):
    made = link_mtu.plan(facts, policy)
    [refusal] = made.refusals
    assert refusal.where == where
    assert words in str(refusal)
    assert made.changes == ()


TAKEN: list[tuple[str, Facts, Policy, list[str]]] = [
    ("a bond hands its MTU down", node(*BOND), Policy(uplink_mtu=9000), ["link bond0 1500>9000 uplink_change"]),
    ("a bridge's ports to pods do not count", node(*BRIDGE), Policy(uplink_mtu=1450),
     ["link br0 1500>1450 uplink_change"]),
    ("a VLAN below its lower link", node(*VLAN), Policy(uplink_mtu=1400), ["link eth0.7 1500>1400 uplink_change"]),
    ("two default routes, the link given", node(ETH1, routes=TWO_ROUTES), Policy(uplink="eth1", uplink_mtu=1400),
     ["link eth1 1500>1400 uplink_change"]),
    ("two default routes, the address given", node(ETH1, routes=TWO_ROUTES),
     Policy(address="192.0.2.4", uplink_mtu=1400), ["link eth0 1500>1400 uplink_change"]),
    ("two default routes, the kubelet knows", replace(node(ETH1, routes=TWO_ROUTES), node_ips=("192.0.2.4",)),
     Policy(uplink_mtu=1400), ["link eth0 1500>1400 uplink_change"]),
    ("two default routes, Calico knows",
     node(ETH1, replace(tunnel(1400, "vxlan.calico", "vxlan"), local="192.0.2.4"), routes=TWO_ROUTES),
     Policy(uplink_mtu=1450), ["link eth0 1500>1450 uplink_change"]),
    ("the kubelet's address is on lo", replace(node(), node_ips=("127.0.0.1",)), Policy(uplink_mtu=1400),
     ["link eth0 1500>1400 uplink_change"]),
    ("the kubelet's address is nobody's", replace(node(), node_ips=("::", "x")), Policy(uplink_mtu=1400),
     ["link eth0 1500>1400 uplink_change"]),
    ("both IP versions by one link", node(routes=(*ROUTES, DefaultRoute(6, 254, 1024, 2))),
     Policy(uplink_mtu=1400), ["link eth0 1500>1400 uplink_change"]),
    ("in a VRF", node(replace(ETH0, master=9), Link(9, "vrf-a", 65575, "vrf"), Link(10, "wg0", 1420, "wireguard"),
                      routes=(DefaultRoute(4, 1001, 0, 2), DefaultRoute(4, 51820, 0, 10))),
     Policy(uplink_mtu=1400), ["link eth0 1500>1400 uplink_change"]),
    ("an IPv6 address written otherwise", node(ETH1, addresses=(Address("2001:db8::4", 9),)),
     Policy(address="2001:0DB8:0::4", uplink_mtu=1400), ["link eth1 1500>1400 uplink_change"]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "changes"), [c[1:] for c in TAKEN], ids=[c[0] for c in TAKEN])
def test_which_link_is_the_uplink(facts, policy, changes):
    assert told(plan(facts, policy).changes) == changes


# --- findings ---------------------------------------------------------------------------------------

BOND0 = replace(ETH0, name="bond0", kind="bond")
FINDINGS: list[tuple[str, Facts, Policy, list[tuple[str, str]]]] = [
    ("all well", node(tunnel(1480), pod(1480)), Policy(), []),
    ("pods larger than the tunnel", node(tunnel(1400), pod(1450)), Policy(), [("pod_links", "high")]),
    ("pods larger than a tunnel that is too small for IPv6", node(tunnel(1200), pod(1450)), Policy(),
     [("pod_links", "high")]),
    ("Felix owns a tunnel that is too large", node(tunnel(1490), felix=True), Policy(), [("owned_by_felix", "high")]),
    ("Felix has to go first", node(tunnel(1480), felix=True), Policy(uplink_mtu=1450), [("felix_first", "high")]),
    ("a name that Calico passes over", node(BOND0, tunnel(1480)), Policy(), [("missed_by_calico", "medium")]),
    ("a name that an older Calico passes over", node(replace(ETH0, name="enP2s0"), tunnel(1480)), Policy(),
     [("missed_by_calico", "info")]),
    ("no Calico to pass over a name", node(BOND0), Policy(), []),
    ("a VPN", node(Link(8, "wg0", 1500, "wireguard")), Policy(), [("other_tunnel", "low")]),
    ("a VPN that fits", node(Link(8, "wg0", 1420, "wireguard")), Policy(), []),
    ("a VPN that is down", node(Link(8, "gre0", 1476, "gre", up=False)), Policy(), []),
    ("storage over vxlan", node(Link(8, "vxstor", 1500, "vxlan")), Policy(), [("other_tunnel", "low")]),
    ("no way out", node(routes=()), Policy(), [("no_uplink", "medium")]),
    ("an unknown manager", node(), Policy(uplink_mtu=1500), [("not_persistent", "medium")]),
    ("no pyroute2", Facts(missing=("pyroute2",)), Policy(uplink_mtu=1500), [("missing", "medium")]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "policy", "found"), [c[1:] for c in FINDINGS], ids=[c[0] for c in FINDINGS])
def test_findings(facts, policy, found):
    findings = link_mtu.plan(facts, policy).findings
    assert [(f.id, f.severity) for f in findings] == [(f"link_mtu.{what}", severity) for what, severity in found]


@pytest.mark.parametrize(("limit", "is_mended"), [(1400, True), (1279, False)])
def test_pods_that_cannot_be_lowered_are_not_called_mended(limit, is_mended):
    made = plan(node(tunnel(limit), pod(1450)), Policy())
    [finding] = [each for each in made.findings if each.id == "link_mtu.pod_links"]
    assert finding.mended is is_mended
    assert bool(made.changes) is is_mended


def test_what_is_missing_is_named():
    made = link_mtu.plan(Facts(missing=("pyroute2",)), Policy())
    assert (made.missing, made.changes) == (("pyroute2",), ())
    assert link_mtu.shown(Facts(missing=("pyroute2",)))["missing"] == ["pyroute2"]


# --- no moment has a tunnel larger than its uplink carries ------------------------------------------

mtus = st.integers(1280 + max(OVERHEADS.values()), 9000)  # below that nothing is lowered, or an MTU is refused
tunnels = st.sampled_from(
    [
        ("tunl0", "ipip", 4),
        ("vxlan.calico", "vxlan", 4),
        ("vxlan-v6.calico", "vxlan", 6),
        ("wg-v6.cali", "wireguard", 6),
    ]
)


@given(mtus, tunnels, mtus, mtus, st.none() | mtus, st.booleans())
def test_no_moment_has_a_tunnel_that_is_too_large(up, kind, tunnel_mtu, pod_mtu, wanted, consent):
    name, link_kind, version = kind
    overhead = OVERHEADS[link_kind, version]
    host = FakeHost(network=node(uplink(up), tunnel(tunnel_mtu, name, link_kind), pod(pod_mtu)).network)
    state = {"tunnel": tunnel_mtu, "uplink": up}

    def room() -> int:
        return int(state["uplink"]) - overhead

    was_well = tunnel_mtu <= room()
    made = plan(link_mtu.observe(host), Policy(uplink_mtu=wanted))
    now, _pending = made.split(ALLOW if consent else ())
    for change in now:
        assert isinstance(change, SetLinkMtu)
        key = {name: "tunnel", "eth0": "uplink"}.get(change.name)
        if key:
            assert state[key] == int(change.before or 0)
            state[key] = int(change.after or 0)
            was_well = was_well or state["tunnel"] <= room()
            assert not was_well or state["tunnel"] <= room()
    assert state["tunnel"] <= room()

    apply(now, host)
    again, _pending = plan(link_mtu.observe(host), Policy(uplink_mtu=wanted)).split(ALLOW if consent else ())
    raised = [c for c in again if c.target == f"link {name}" and int(c.after or 0) > int(c.before or 0)]
    assert list(again) == raised, "only a tunnel that was too large may still be raised by the second run"


# --- what IPv6 needs --------------------------------------------------------------------------------


def test_no_tunnel_and_no_pod_goes_below_what_ipv6_needs():
    made = plan(node(uplink(1300), tunnel(1300, "vxlan-v6.calico", "vxlan"), pod(1300)), Policy())
    assert made.changes == ()
    assert "link_mtu.uplink_too_small" in [finding.id for finding in made.findings]


def test_an_uplink_that_leaves_a_tunnel_less_than_ipv6_needs_is_refused():
    made = link_mtu.plan(node(uplink(1500), tunnel(1430, "vxlan-v6.calico", "vxlan")), Policy(uplink_mtu=1340))
    assert made.changes == ()
    [refusal] = made.refusals
    assert (refusal.where, refusal.remedy) == ("link_mtu_uplink_mtu", "Set link_mtu_uplink_mtu to 1350 or more")


def test_a_tunnel_is_no_uplink_of_itself():
    made = link_mtu.plan(node(uplink(1500), tunnel(1480, "tunl0", "ipip")), Policy(uplink="tunl0"))
    assert (made.changes, [refusal.where for refusal in made.refusals]) == ((), ["link_mtu_uplink"])


def test_a_pod_that_ends_meanwhile_fails_nothing():
    host = FakeHost(network=Network())
    for peer in (True, False):
        change = SetLinkMtu("cali1", "1450", "1400", Reason("link_mtu", "w"), peer=peer)
        change.check(host)
        change.act(host)
        change.verify(host)
    with pytest.raises(NodewardError):
        SetLinkMtu("tunl0", "1450", "1400", Reason("link_mtu", "w")).check(host)


# --- restore ----------------------------------------------------------------------------------------

BACK = Reason("link_mtu", "back")
GUARDED: list[tuple[str, Facts, list[SetLinkMtu], list[str]]] = [
    ("the uplink and then the tunnel", node(uplink(1450), tunnel(1430)),
     [SetLinkMtu("eth0", "1450", "1500", BACK), SetLinkMtu("tunl0", "1430", "1480", BACK)], []),
    ("the tunnel alone, while the uplink waits", node(uplink(1450), tunnel(1430)),
     [SetLinkMtu("tunl0", "1430", "1480", BACK)], ["link tunl0"]),
    ("the uplink below its tunnel", node(uplink(1500), tunnel(1480)), [SetLinkMtu("eth0", "1500", "1450", BACK)],
     ["link eth0"]),
    ("a tunnel that was too large, within its uplink", node(tunnel(1480)),
     [SetLinkMtu("tunl0", "1480", "1500", BACK)], []),
    ("pods", node(pod(1400), tunnel(1400)), [SetLinkMtu(POD.name, "1400", "1450", BACK),
                                             SetLinkMtu(POD.name, "1400", "1450", BACK, peer=True)], []),
    ("a link that is gone", node(), [SetLinkMtu("eth7", None, "1450", BACK)], []),
    ("no uplink to compare with", node(tunnel(1480), routes=()),
     [SetLinkMtu("tunl0", "1480", "9000", BACK)], []),
    ("two of them", node(ETH1, routes=TWO_ROUTES), [SetLinkMtu("eth0", "1500", "1400", BACK)], []),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "changes", "refused"), [c[1:] for c in GUARDED], ids=[c[0] for c in GUARDED])
def test_what_restore_must_not_do(facts, changes, refused):
    assert [refusal.where for refusal in link_mtu.guard(facts, changes)] == refused


def test_a_tunnel_that_felix_has_taken_over_is_left_to_it_and_named():
    back = [SetLinkMtu(POD.name, "1430", "1480", BACK), SetLinkMtu("tunl0", "1430", "1480", BACK),
            SetLinkMtu("eth0", "1450", "1500", BACK)]  # fmt: skip
    without_felix = link_mtu.going_back(node(uplink(1450), tunnel(1430)), back, Policy())
    assert told(without_felix.changes) == ["link eth0 1450>1500", "link tunl0 1430>1480", f"link {POD.name} 1430>1480"]
    assert without_felix.findings == ()
    with_felix = link_mtu.going_back(node(uplink(1450), tunnel(1430), felix=True), back, Policy())
    assert told(with_felix.changes) == ["link eth0 1450>1500"]
    left, pods = with_felix.findings
    assert (left.id, left.where, left.observed) == ("link_mtu.left_to_felix", "link tunl0", "1430")
    assert (pods.id, pods.where, pods.observed) == ("link_mtu.pods_left", f"link {POD.name}", "1430")


VXLAN = Link(5, "vxlan.calico", 1400, "vxlan", lower=2)
STACK = (Link(8, "eth0.7", 1400, "vlan", lower=2), Link(9, "eth0.7.8", 1400, "vlan", lower=8))
FILE = WriteFile(NETWORKD_FILE, "a", "b", BACK)
OF_ANOTHER = WriteFile("/etc/x", "a", "b", Reason("pid_limits", "back"))
GOING_BACK: list[tuple[str, Facts, list[Change], list[str], list[str]]] = [
    ("the uplink beneath a tunnel that Felix has taken over", node(uplink(1500), tunnel(1480), felix=True),
     [OF_ANOTHER, FILE, SetLinkMtu("eth0", "1500", "1450", BACK), SetLinkMtu("tunl0", "1480", "1430", BACK)],
     ["file /etc/x"], ["left_to_felix link tunl0", "tunnel_first link eth0"]),
    ("the uplink beneath a tunnel that somebody else has set", node(uplink(1500), tunnel(1470)),
     [FILE, SetLinkMtu("eth0", "1500", "1450", BACK)], [], ["tunnel_first link eth0"]),
    ("an uplink below which the tunnel fits", node(uplink(1500), tunnel(1430), felix=True),
     [SetLinkMtu("eth0", "1500", "1450", BACK)], ["link eth0 1500>1450"], []),
    ("the tunnel goes down with it", node(uplink(1500), tunnel(1480)),
     [SetLinkMtu("eth0", "1500", "1450", BACK), SetLinkMtu("tunl0", "1480", "1430", BACK)],
     ["link tunl0 1480>1430", "link eth0 1500>1450"], []),
    ("a tunnel that was too large", node(uplink(1450), tunnel(1430)),
     [SetLinkMtu("tunl0", "1430", "1450", BACK)], ["link tunl0 1430>1450"], ["too_large_again link tunl0"]),
    ("links that stand on each other, up", node(uplink(1400), *STACK),
     [SetLinkMtu("eth0.7.8", "1400", "1450", BACK), SetLinkMtu("eth0.7", "1400", "1500", BACK),
      SetLinkMtu("eth0", "1400", "1500", BACK)],
     ["link eth0 1400>1500", "link eth0.7 1400>1500", "link eth0.7.8 1400>1450"], []),
    ("links that stand on each other, down", node(uplink(1400), *STACK),
     [SetLinkMtu("eth0", "1400", "1300", BACK), SetLinkMtu("eth0.7", "1400", "1300", BACK),
      SetLinkMtu("eth0.7.8", "1400", "1290", BACK)],
     ["link eth0.7.8 1400>1290", "link eth0.7 1400>1300", "link eth0 1400>1300"], []),
    ("a VXLAN that was larger than its device allows", node(uplink(1450), VXLAN),
     [SetLinkMtu("vxlan.calico", "1400", "1450", BACK)], [], ["beyond_the_device link vxlan.calico"]),
    ("a VXLAN whose device goes up with it", node(uplink(1450), VXLAN),
     [SetLinkMtu("vxlan.calico", "1400", "1450", BACK), SetLinkMtu("eth0", "1450", "1500", BACK)],
     ["link eth0 1450>1500", "link vxlan.calico 1400>1450"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "changes", "kept", "left"), [c[1:] for c in GOING_BACK], ids=[c[0] for c in GOING_BACK]
)
def test_what_goes_back_and_what_is_left(facts, changes, kept, left):
    made = link_mtu.going_back(facts, changes, Policy())
    assert [f"{c.target} {c.before}>{c.after}" if isinstance(c, SetLinkMtu) else c.target for c in made.changes] == kept
    assert [f"{finding.id.removeprefix('link_mtu.')} {finding.where}" for finding in made.findings] == left


def test_pods_wait_for_a_tunnel_that_waits():
    facts = node(uplink(1450), tunnel(1430), pod(1430))
    pods = [SetLinkMtu(POD.name, "1430", "1450", BACK, peer=True), SetLinkMtu(POD.name, "1430", "1450", BACK)]
    waiting = [SetLinkMtu("tunl0", "1430", "1450", BACK)]
    refused = [refusal.where for refusal in link_mtu.guard(facts, pods, Policy(), waiting)]
    assert refused == [f"peer {POD.name}", f"link {POD.name}"]
    assert list(link_mtu.guard(facts, [*waiting, *pods], Policy())) == []
    assert list(link_mtu.guard(facts, pods, Policy())) == [], "it was so before the first run"


def test_two_steps_at_one_place_are_made_and_put_back():
    """A tunnel that is too large, and is to be smaller still with its uplink."""
    steps = plan(node(tunnel(1490)), Policy(uplink_mtu=1450)).changes
    host = FakeHost(network=node(tunnel(1490)).network)
    apply(steps, host)
    assert mtus_of(host) == {"eth0": 1450, "tunl0": 1430}
    broken = FakeHost(network=node(tunnel(1490)).network, broken=frozenset({4}))
    with pytest.raises(NodewardError, match="put back"):
        apply(steps, broken)
    assert mtus_of(broken) == {"eth0": 1500, "tunl0": 1490}


def mtus_of(host: FakeHost) -> dict[str, int]:
    return {link.name: link.mtu for link in host.network().links if not link.loopback}


# --- observe and show -------------------------------------------------------------------------------

FILES = {
    "/proc/40/comm": "kubelet\n",
    "/proc/40/cmdline": "/usr/bin/kubelet\0--node-ip=192.0.2.4, 2001:db8::4\0--v=2\0",
    "/proc/50/comm": "calico-node\n",
    "/proc/50/cgroup": "0::/kubepods.slice/x\n",
    "/proc/50/cmdline": "calico-node\0-felix\0",
    "/run/systemd/netif/links/2": "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n",
    NETWORKD_FILE: "[Match]\nName=eth0\n",
}


def test_observing_a_whole_node():
    host = FakeHost(FILES, network=replace(NETWORK, links=(*NETWORK.links, POD)))
    facts = link_mtu.observe(host)
    assert host.calls == []
    assert (facts.node_ips, facts.felix) == (("192.0.2.4", "2001:db8::4"), True)
    assert list(facts.boot) == ["eth0"]
    shown = link_mtu.shown(facts)
    assert (shown["uplink"]["name"], shown["uplink"]["boot"]) == ("eth0", "systemd-networkd")
    assert [(each["name"], each["overhead"]) for each in shown["tunnels"]] == [("tunl0", 20)]
    assert (shown["felix"], shown["pod_links"], shown["missing"]) == (True, {"1450": 1}, [])
    assert shown["addresses"] == {"eth0": "192.0.2.4"}


def test_showing_a_node_whose_uplink_cannot_be_told():
    assert link_mtu.shown(node(ETH1, routes=TWO_ROUTES))["uplink"] is None
    assert link_mtu.shown(node(ETH1, routes=TWO_ROUTES), Policy(uplink="eth1"))["uplink"]["name"] == "eth1"


def test_observing_a_node_without_pyroute2():
    assert link_mtu.observe(FakeHost(FILES)) == Facts(missing=("pyroute2",))


FELIX: list[tuple[str, str, str, bool]] = [
    ("calico-node -felix", "calico-node", "calico-node\0-felix\0", True),
    ("from v3.33 on", "calico", "calico\0component\0node\0felix\0", True),
    ("on a host", "calico-felix", "calico-felix\0", True),
    ("another part of calico-node", "calico-node", "calico-node\0-confd\0", False),
    ("a probe", "calico", "calico\0component\0node\0health\0--felix-live\0", False),
    ("another program", "sleep", "sleep\0felix\0", False),
]


@pytest.mark.parametrize(("name", "words", "runs"), [c[1:] for c in FELIX], ids=[c[0] for c in FELIX])
def test_felix(name, words, runs):
    host = FakeHost({"/proc/9/comm": f"{name}\n", "/proc/9/cmdline": words}, network=NETWORK)
    assert link_mtu.observe(host).felix is runs


@pytest.mark.parametrize(
    ("words", "ips"),
    [
        ("kubelet\0--node-ip\x00192.0.2.4\0", ("192.0.2.4",)),
        ("kubelet\0--node-ip=::\0", ("::",)),
        ("kubelet\0--node-ip\0", ()),
        ("kubelet\0", ()),
    ],
)
def test_what_the_kubelet_was_told(words, ips):
    host = FakeHost({"/proc/9/comm": "kubelet\n", "/proc/9/cmdline": words}, network=NETWORK)
    assert link_mtu.observe(host).node_ips == ips
