"""What link_mtu sees of a node: which link is its uplink, and which wishes for one are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Facts, Policy

from tests.unit.fake_host import FakeHost
from tests.unit.node.linked_nodes import (
    ADDRESSES,
    ETH0,
    ETH1,
    NETWORK,
    NETWORKD_FILE,
    POD,
    ROUTES,
    TWO_ROUTES,
    node,
    plan,
    pod,
    told,
    tunnel,
    uplink,
)

# --- refusals ---------------------------------------------------------------------------------------

BOND = (Link(2, "bond0", 1500, "bond", 68, 65535), Link(8, "eno1", 1500, "", 68, 9000, master=2))
BRIDGE = (Link(2, "br0", 1500, "bridge", 68, 65535), Link(8, "eno1", 1500, "", 68, 9000, master=2),
          Link(9, "vnet0", 1400, "tun", master=2))  # fmt: skip
VLAN = (Link(2, "eth0.7", 1500, "vlan", 0, 65535, lower=8), Link(8, "eth0", 1500, "", 68, 9000))

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


def test_an_uplink_that_leaves_a_tunnel_less_than_ipv6_needs_is_refused():
    made = link_mtu.plan(node(uplink(1500), tunnel(1430, "vxlan-v6.calico", "vxlan")), Policy(uplink_mtu=1340))
    assert made.changes == ()
    [refusal] = made.refusals
    assert (refusal.where, refusal.remedy) == ("link_mtu_uplink_mtu", "Set link_mtu_uplink_mtu to 1350 or more")


def test_a_tunnel_is_no_uplink_of_itself():
    made = link_mtu.plan(node(uplink(1500), tunnel(1480, "tunl0", "ipip")), Policy(uplink="tunl0"))
    assert (made.changes, [refusal.where for refusal in made.refusals]) == ((), ["link_mtu_uplink"])


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
    assert (shown["uplink"]["mtu"], shown["uplink"]["carries"]) == (1500, 1500)
    assert [(each["name"], each["overhead"]) for each in shown["tunnels"]] == [("tunl0", 20)]
    assert (shown["felix"], shown["pod_links"], shown["missing"]) == (True, {"1450": 1}, [])
    assert shown["addresses"] == {"eth0": "192.0.2.4"}


def test_the_address_that_was_given_is_the_one_by_which_others_reach_the_node():
    two = (Address("203.0.113.5", 2), Address("2001:db8::4", 2), *ADDRESSES)
    facts = replace(node(addresses=two), node_ips=("192.0.2.4",))
    reached = [link_mtu.shown(facts, Policy(address=each))["addresses"] for each in (None, "2001:0DB8:0::4")]
    assert reached == [{"eth0": "192.0.2.4"}, {"eth0": "2001:db8::4"}]


def test_a_bridge_carries_what_its_port_does():
    port = Link(3, "ens3", 1400, master=2)
    facts = node(replace(ETH0, kind="bridge"), port)
    assert link_mtu.shown(facts)["uplink"]["carries"] == 1400


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
