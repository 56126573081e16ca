"""Whose file sets the uplink's MTU at the next boot, and what is written there."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._node import uplink_files
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_boot import IFUPDOWN, NETWORKD, Boot
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_files import mtu_in, render
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

ETH0 = Link(2, "eth0", 1500)
NETWORK = Network(
    (Link(1, "lo", 65536, loopback=True), ETH0, Link(7, "cali1", 1450, "veth"), Link(8, "br0", 1500, "bridge")),
    (Address("192.0.2.4", 8), Address("fe80::1", 7)),
    (DefaultRoute(4, 254, 0, 8),),
)
NAME = "10-eth0.network"
ETC = f"/etc/systemd/network/{NAME}"
OWN = f"{ETC}.d/99-zz-nodeward-link_mtu.conf"
STATE = "/run/systemd/netif/links/2"
CONFIGURED = f"ADMIN_STATE=configured\nNETWORK_FILE={ETC}\n"
MATCH = "[Match]\nName=eth0\n"
INTERFACES = "/etc/network/interfaces"
STATIC = "auto eth0\niface eth0 inet static\n    address 192.0.2.4/24\n"

MANAGERS: list[tuple[str, dict[str, str], tuple[str, str, str]]] = [
    ("nobody that we know", {}, ("", "", "")),
    ("networkd", {STATE: CONFIGURED, ETC: MATCH}, (NETWORKD, ETC, "")),
    ("networkd, the file in /usr", {STATE: f"NETWORK_FILE=/usr/lib/systemd/network/{NAME}\n",
                                     f"/usr/lib/systemd/network/{NAME}": MATCH},
     (NETWORKD, f"/usr/lib/systemd/network/{NAME}", "")),
    ("networkd looks on", {STATE: "ADMIN_STATE=unmanaged\n", INTERFACES: STATIC}, (IFUPDOWN, INTERFACES, "")),
    ("another generator's", {STATE: f"NETWORK_FILE=/run/systemd/network/{NAME}\n"},
     ("", f"/run/systemd/network/{NAME}", "")),
    ("NetworkManager leaves it alone", {"/run/NetworkManager/devices/2": "[device]\nmanaged=false\n"}, ("", "", "")),
    ("ifupdown", {INTERFACES: STATIC}, (IFUPDOWN, INTERFACES, "")),
    ("ifupdown, a file beside it", {INTERFACES: "source /etc/network/interfaces.d/*\n",
                                    "/etc/network/interfaces.d/eth0": STATIC},
     (IFUPDOWN, "/etc/network/interfaces.d/eth0", "")),
    ("ifupdown, a relative pattern", {INTERFACES: "source interfaces.d/*.cfg\n",
                                      "/etc/network/interfaces.d/a.txt": STATIC,
                                      "/etc/network/interfaces.d/b.cfg": STATIC},
     (IFUPDOWN, "/etc/network/interfaces.d/b.cfg", "")),
    ("ifupdown, a folder", {INTERFACES: "source-directory interfaces.d\n", "/etc/network/interfaces.d/x.cfg": STATIC,
                            "/etc/network/interfaces.d/x": STATIC}, (IFUPDOWN, "/etc/network/interfaces.d/x", "")),
    ("files that include one another", {INTERFACES: f"source {INTERFACES}\n{STATIC}"}, (IFUPDOWN, INTERFACES, "")),
    ("ifupdown by DHCP", {INTERFACES: "iface eth0 inet dhcp\n"},
     (IFUPDOWN, INTERFACES, "the method dhcp takes no mtu")),
    ("a line that goes on", {INTERFACES: "iface eth0 inet static\n address \\\n 192.0.2.1\n"},
     (IFUPDOWN, INTERFACES, "line 2: it goes on in the next line")),
    ("a line that goes on, of another link", {INTERFACES: "iface eth1 inet static\n address \\\n 192.0.2.1\n"},
     ("", "", "")),
    ("ifupdown, a hidden file beside it", {INTERFACES: f"source interfaces.d/*\n{STATIC}",
                                           "/etc/network/interfaces.d/.eth0.swp": STATIC}, (IFUPDOWN, INTERFACES, "")),
    ("ifupdown, hidden files are asked for", {INTERFACES: "source interfaces.d/.*\n",
                                              "/etc/network/interfaces.d/.eth0": STATIC},
     (IFUPDOWN, "/etc/network/interfaces.d/.eth0", "")),
    ("ifupdown, two files", {INTERFACES: f"source interfaces.d/*\n{STATIC}",
                             "/etc/network/interfaces.d/eth0": "iface eth0 inet static\n mtu 1400\n"},
     (IFUPDOWN, INTERFACES, "it is in /etc/network/interfaces.d/eth0 too")),
    ("ifupdown, a file for IPv6", {INTERFACES: "iface eth0 inet6 auto\nsource interfaces.d/*\n",
                                   "/etc/network/interfaces.d/eth0": STATIC},
     (IFUPDOWN, "/etc/network/interfaces.d/eth0", f"it is in {INTERFACES} too")),
    ("ifupdown, a file that cannot be understood", {INTERFACES: f"source interfaces.d/*\n{STATIC}",
                                                    "/etc/network/interfaces.d/a": "iface eth0 inet6 auto\n up a \\\n"},
     (IFUPDOWN, "/etc/network/interfaces.d/a", "line 2: it goes on in the next line")),
    ("ifupdown, another link's file", {INTERFACES: f"source interfaces.d/*\n{STATIC}",
                                       "/etc/network/interfaces.d/eth1": "iface eth1 inet static\n mtu 1400\n"},
     (IFUPDOWN, INTERFACES, "")),
    ("ifupdown, IPv6 too", {INTERFACES: STATIC + "iface eth0 inet6 auto\n"}, (IFUPDOWN, INTERFACES, "")),
    ("ifupdown, IPv6 sets an mtu", {INTERFACES: STATIC + "iface eth0 inet6 static\n mtu 1400\n"},
     (IFUPDOWN, INTERFACES, "its inet6 stanza sets an mtu, line 5")),
    ("ifupdown, a command sets it", {INTERFACES: STATIC + " post-up ip link set eth0 mtu 1400\n"},
     (IFUPDOWN, INTERFACES, "a command sets an mtu, line 4")),
    ("ifupdown, a command of IPv6 sets it",
     {INTERFACES: STATIC + "iface eth0 inet6 auto\n up echo 1400 > /sys/class/net/eth0/mtu\n"},
     (IFUPDOWN, INTERFACES, "a command sets an mtu, line 5")),
    ("ifupdown, a command sets something else", {INTERFACES: STATIC + " up ethtool -K eth0 gro off\n"},
     (IFUPDOWN, INTERFACES, "")),
    ("ifupdown inherits", {INTERFACES: "iface base inet static\n mtu 1400\niface eth0 inet static inherits base\n"},
     (IFUPDOWN, INTERFACES, "it inherits from another stanza")),
    ("ifupdown inherits, no family", {INTERFACES: "iface eth0 inherits base\n"},
     (IFUPDOWN, INTERFACES, "it inherits from another stanza")),
    ("only IPv6", {INTERFACES: "iface eth0 inet6 auto\n"}, ("", "", "")),
]  # fmt: skip


@pytest.mark.parametrize(("files", "boot"), [case[1:] for case in MANAGERS], ids=[case[0] for case in MANAGERS])
def test_who_configures_a_link(files, boot):
    found = uplink_files.observe(FakeHost(files), NETWORK)["eth0"]
    assert (found.manager, found.path, found.garbled) == boot


MAY_BE_OTHERS = "it may configure other links too"
SHARED: list[tuple[str, dict[str, str], str]] = [
    ("one name", {ETC: "[Match]\nName = eth0 \nType=ether\n"}, ""),
    ("a glob", {ETC: "[Match]\nName=eth*\n"}, MAY_BE_OTHERS),
    ("any but", {ETC: "[Match]\nName=!eth1\n"}, MAY_BE_OTHERS),
    ("several names", {ETC: "[Match]\nName=eth0 eth1\n"}, MAY_BE_OTHERS),
    ("a name more on its own line", {ETC: "[Match]\nName=eth0\nName=eth1\n"}, MAY_BE_OTHERS),
    ("a name more in a drop-in", {ETC: MATCH, f"{ETC}.d/10-a.conf": "[Match]\nName=eth1\n"}, MAY_BE_OTHERS),
    ("only the last name counts", {ETC: "[Match]\nName=eth*\nName=\nName=eth0\n"}, ""),
    ("a line that goes on", {ETC: "[Match]\nName=\\\neth*\n"}, MAY_BE_OTHERS),
    ("a name elsewhere", {ETC: "[Match]\nType=ether\n[Network]\nName=eth0\n"}, MAY_BE_OTHERS),
    ("a comment", {ETC: "[Match]\n#Name=eth0\n"}, MAY_BE_OTHERS),
    ("a type", {ETC: "[Match]\nType=ether\n"}, MAY_BE_OTHERS),
    ("nothing", {ETC: "[Network]\nDHCP=yes\n"}, MAY_BE_OTHERS),
    ("a hardware address", {ETC: "[Match]\nMACAddress=02:00:00:00:00:01\n"}, ""),
    ("a permanent one and a glob", {ETC: "[Match]\nName=e*\nPermanentMACAddress=02:00:00:00:00:01\n"}, ""),
    ("several hardware addresses", {ETC: "[Match]\nMACAddress=02:00:00:00:00:01 02:00:00:00:00:02\n"}, MAY_BE_OTHERS),
    ("another link has it", {ETC: MATCH, "/run/systemd/netif/links/8": CONFIGURED}, "it configures br0 too"),
    ("a pod's link has it", {ETC: "[Match]\nName=*\n", "/run/systemd/netif/links/7": CONFIGURED},
     "it configures cali1 too"),
    ("two have it", {ETC: "", "/run/systemd/netif/links/7": CONFIGURED, "/run/systemd/netif/links/8": CONFIGURED},
     "it configures cali1, br0 too"),
    ("another link has another", {ETC: MATCH, "/run/systemd/netif/links/8": "NETWORK_FILE=/etc/x.network\n"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("files", "garbled"), [case[1:] for case in SHARED], ids=[case[0] for case in SHARED])
def test_whether_a_network_file_is_for_one_link(files, garbled):
    boot = uplink_files.observe(FakeHost({STATE: CONFIGURED, **files}), NETWORK)["eth0"]
    assert (boot.manager, boot.path, boot.garbled) == (NETWORKD, ETC, garbled)


def test_only_what_may_be_an_uplink_is_looked_at():
    assert list(uplink_files.observe(FakeHost(), NETWORK)) == ["eth0", "br0"]


def test_drop_ins_come_in_the_order_of_their_names_and_etc_before_usr():
    files = {
        STATE: CONFIGURED,
        ETC: "a",
        f"/usr/lib/systemd/network/{NAME}.d/10-a.conf": "masked",
        f"{ETC}.d/10-a.conf": "b",
        f"/run/systemd/network/{NAME}.d/05-b.conf": "c",
        f"{ETC}.d/readme": "d",
    }
    boot = uplink_files.observe(FakeHost(files), NETWORK)["eth0"]
    assert list(boot.texts.items()) == [
        (ETC, "a"),
        (f"/run/systemd/network/{NAME}.d/05-b.conf", "c"),
        (f"{ETC}.d/10-a.conf", "b"),
    ]


def networkd(**texts: str) -> Boot:
    names = {"main": ETC, "own": OWN, "before": f"{ETC}.d/10-a.conf", "after": f"{ETC}.d/99-zzz.conf"}
    in_order = sorted(texts, key=["main", "before", "own", "after"].index)
    return Boot(NETWORKD, ETC, {names[key]: texts[key] for key in in_order})


def shared(**texts: str) -> Boot:
    return Boot(NETWORKD, ETC, networkd(**texts).texts, "it configures eth1 too")


def ifupdown(text: str, garbled: str = "") -> Boot:
    return Boot(IFUPDOWN, INTERFACES, {INTERFACES: text}, garbled)


SETS_1400 = "[Link]\nMTUBytes=1400\n"
SETS_1450 = "[Link]\nMTUBytes=1450\n"
KEY = f"interfaces {INTERFACES}#eth0/inet/mtu"
PLANS: list[tuple[str, Boot, list[tuple[str, str | None, str]], list[str]]] = [
    ("networkd says nothing", networkd(main="[Match]\n"), [(f"file {OWN}", None, render(1450))], []),
    ("networkd says another", networkd(main=SETS_1400), [(f"file {OWN}", None, render(1450))], []),
    ("networkd says it already", networkd(main=SETS_1450), [], []),
    ("a drop-in says it already", networkd(main=SETS_1400, before=SETS_1450), [], []),
    ("ours says it already", networkd(main="", own=render(1450)), [], []),
    ("ours says another", networkd(main="", own=render(1400)), [(f"file {OWN}", render(1400), render(1450))], []),
    ("ours was edited", networkd(main=SETS_1450, own=SETS_1450), [(f"file {OWN}", SETS_1450, render(1450))], []),
    ("a drop-in behind ours", networkd(main="", own=render(1450), after=SETS_1400), [], ["overridden"]),
    ("a drop-in behind ours that agrees", networkd(main="", own=render(1450), after=SETS_1450), [], []),
    ("networkd's file is for others too", shared(main="[Match]\n"), [], ["not_persistent"]),
    ("networkd's file is for others too and says another", shared(main=SETS_1400), [], ["not_persistent"]),
    ("networkd's file is for others too and says it already", shared(main=SETS_1450), [], []),
    ("networkd's file is for others too and one behind ours", shared(main="", after=SETS_1400), [],
     ["not_persistent"]),
    ("ifupdown says nothing", ifupdown(STATIC), [(KEY, None, "1450")], []),
    ("ifupdown says another", ifupdown(STATIC + "    mtu 1400\n"), [(KEY, "1400", "1450")], []),
    ("ifupdown says it already", ifupdown(STATIC + "    mtu 1450\n"), [], []),
    ("ifupdown by DHCP", ifupdown("iface eth0 inet dhcp\n", "the method dhcp takes no mtu"), [], ["not_persistent"]),
    ("set twice", ifupdown(STATIC + " mtu 1\n mtu 2\n"), [], ["not_persistent"]),
    ("nobody that we know", Boot(), [], ["not_persistent"]),
]  # fmt: skip


@pytest.mark.parametrize(("boot", "changes", "found"), [case[1:] for case in PLANS], ids=[case[0] for case in PLANS])
def test_plans(boot, changes, found):
    plan = uplink_files.plan(boot, ETH0, 1450, "link_mtu", "uplink_change")
    assert [(change.target, change.before, change.after) for change in plan.changes] == changes
    assert [finding.id for finding in plan.findings] == [f"link_mtu.{what}" for what in found]
    assert {change.reason.disrupts for change in plan.changes} <= {"uplink_change"}


MTUS: list[tuple[str, int | None]] = [
    ("", None),
    ("[Link]\nMTUBytes=1450\n", 1450),
    ("[Link]\n  MTUBytes = 9K \n", 9216),
    ("[Link]\nMTUBytes=1450\n[Network]\nMTUBytes=1\n", 1450),
    ("[Link]\nMTUBytes=1450\nMTUBytes=\n", None),
    ("[Link]\n#MTUBytes=1450\n", None),
    ("[Link]\nMTUBytes=lots\n", None),
]


@pytest.mark.parametrize(("text", "mtu"), MTUS)
def test_what_a_network_file_sets(text, mtu):
    assert mtu_in(text) == mtu


def test_the_finding_says_why():
    (finding,) = uplink_files.plan(shared(main=""), ETH0, 1450, "link_mtu", "uplink_change").findings
    assert finding.observed == "eth0 is configured by systemd-networkd (it configures eth1 too)"


@given(st.integers(1280, 65535))
def test_our_drop_in_sets_what_it_is_for(mtu):
    assert mtu_in(render(mtu)) == mtu
