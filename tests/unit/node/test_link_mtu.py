"""The trap link_mtu: what a node gets, in which order, and what a person is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason, SetKey, SetLinkMtu, WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu
from ansible_collections.nodeward.calico.plugins.module_utils._node.calico_links import OVERHEADS
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_boot import IFUPDOWN, NETWORKD, Boot
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_files import render
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost
from tests.unit.node.linked_nodes import ETH0, NETWORKD_FILE, POD, POD_END, node, plan, pod, told, tunnel, uplink

ALLOW = ("uplink_change", "pod_veth_change")

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


def test_a_pod_that_ends_meanwhile_fails_nothing():
    host = FakeHost(network=Network())
    for peer in (True, False):
        change = SetLinkMtu("cali1", "1450", "1400", Reason("link_mtu", "w"), peer=peer)
        change.check(host)
        change.act(host)
        change.verify(host)
    with pytest.raises(NodewardError):
        SetLinkMtu("tunl0", "1450", "1400", Reason("link_mtu", "w")).check(host)
