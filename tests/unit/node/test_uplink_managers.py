"""NetworkManager and netplan: whose file sets the uplink's MTU at the next boot, and what is written there."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import describe
from ansible_collections.nodeward.calico.plugins.module_utils._node import uplink_files, uplink_netplan
from ansible_collections.nodeward.calico.plugins.module_utils._node.uplink_boot import (
    NETPLAN,
    NETWORK_MANAGER,
    OTHERS_TOO,
    Boot,
    Definition,
)

from tests.unit.fake_host import FakeHost

ETH0 = Link(2, "eth0", 1500)
NETWORK = Network((ETH0,))

# --- NetworkManager ---------------------------------------------------------------------------------

FOLDER = "/etc/NetworkManager/system-connections"
UP = f"{FOLDER}/up.nmconnection"
OTHER = f"{FOLDER}/other.nmconnection"
TEXT = "[connection]\nid=up\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\n\n[ipv4]\nmethod=auto\n"
DEVICE = {"/run/NetworkManager/devices/2": "[device]\nmanaged=true\n"}
LIST = "nmcli --terse --escape yes --fields UUID,TYPE,AUTOCONNECT,AUTOCONNECT-PRIORITY,DEVICE,FILENAME connection show"


def row(
    uuid: str, path: str, *, kind: str = "802-3-ethernet", auto: str = "yes", priority: int = 0, on: str = ""
) -> str:
    return f"{uuid}:{kind}:{auto}:{priority}:{on}:{path}\n"


def commands(listed: str, loaded: str = "auto", key: str = "802-3-ethernet.mtu") -> dict[str, str]:
    return {LIST: listed, f"nmcli --get-values {key} connection show uuid u1": f"{loaded}\n"}


ACTIVE = row("u1", UP, on="eth0")


def managed(files: dict[str, str], listed: str = ACTIVE, links: dict[str, str] | None = None, **more: str) -> Boot:
    host = FakeHost({**DEVICE, **files}, links=links, commands=commands(listed, **more))
    boot = uplink_files.observe(host, NETWORK)["eth0"]
    assert {verb for verb, _path in host.calls} <= {"run"}, "observing writes nothing"
    return boot


def plan(boot: Boot, mtu: int = 1450) -> tuple[list[tuple[str, str | None, str | None]], list[str]]:
    made = uplink_files.plan(boot, ETH0, mtu, "link_mtu", "uplink_change")
    assert {change.reason.disrupts for change in made.changes} <= {"uplink_change"}
    return [(c.target, c.before, c.after) for c in made.changes], [f.observed for f in made.findings]


def loads(path: str) -> tuple[str, None, None]:
    return (f"profile {path}", None, None)


def sets(key: str = "ethernet/mtu", before: str | None = None, path: str = UP) -> tuple[str, str | None, str]:
    return (f"keyfile {path}#{key}", before, "1450")


SET_TEXT = TEXT.replace("[ethernet]\n", "[ethernet]\nmtu=1450\n")
WRITTEN: list[tuple[str, Boot, list[tuple[str, str | None, str | None]]]] = [
    ("nothing is set", managed({UP: TEXT}), [sets(), loads(UP)]),
    ("another is set", managed({UP: SET_TEXT.replace("1450", "1400")}, loaded="1400"),
     [sets(before="1400"), loads(UP)]),
    ("it is set already", managed({UP: SET_TEXT}, loaded="1450"), []),
    ("it is set, but not in memory: a run was killed", managed({UP: SET_TEXT}), [loads(UP)]),
    ("an older name of the section", managed({UP: TEXT.replace("[ethernet]", "[802-3-ethernet]")}),
     [sets("802-3-ethernet/mtu"), loads(UP)]),
    ("no such section", managed({UP: TEXT.replace("[ethernet]\n", "")}), [sets(), loads(UP)]),
    ("CRLF", managed({UP: TEXT.replace("\n", "\r\n")}), [sets(), loads(UP)]),
    ("bytes that are no text", managed({UP: TEXT.replace("id=up", "id=\udce9")}), [sets(), loads(UP)]),
    ("a hardware address instead of a name",
     managed({UP: TEXT.replace("interface-name=eth0\n", "").replace("net]\n", "net]\nmac-address=02:00\n")}),
     [sets(), loads(UP)]),
    ("a VLAN", managed({UP: TEXT.replace("type=ethernet", "type=vlan")}, row("u1", UP, kind="vlan", on="eth0")),
     [sets(), loads(UP)]),
    ("infiniband", managed({UP: TEXT.replace("ethernet]", "infiniband]")},
                           row("u1", UP, kind="infiniband", on="eth0"), key="infiniband.mtu"),
     [sets("infiniband/mtu"), loads(UP)]),
    ("another profile for another link",
     managed({UP: TEXT, OTHER: TEXT.replace("eth0", "eth1")}, ACTIVE + row("u2", OTHER)), [sets(), loads(UP)]),
    ("another profile that does not come up by itself",
     managed({UP: TEXT, OTHER: TEXT}, ACTIVE + row("u2", OTHER, auto="no")), [sets(), loads(UP)]),
    ("another profile of less priority",
     managed({UP: TEXT, OTHER: TEXT}, row("u1", UP, priority=1, on="eth0") + row("u2", OTHER)), [sets(), loads(UP)]),
    ("another profile of another kind",
     managed({UP: TEXT, OTHER: TEXT}, ACTIVE + row("u2", OTHER, kind="bond")), [sets(), loads(UP)]),
    ("a script that has nothing to do with MTUs",
     managed({UP: TEXT, "/etc/NetworkManager/dispatcher.d/10-a": "#!/bin/sh\n# no mtu here\ntrue\n"}),
     [sets(), loads(UP)]),
]  # fmt: skip


@pytest.mark.parametrize(("boot", "changes"), [case[1:] for case in WRITTEN], ids=[case[0] for case in WRITTEN])
def test_what_is_written_into_a_profile(boot, changes):
    assert (boot.manager, boot.garbled) == (NETWORK_MANAGER, "")
    assert plan(boot) == (changes, [])


SCRIPT = "/etc/NetworkManager/dispatcher.d/pre-up.d/9"
RUN_PATH = "/run/NetworkManager/system-connections/eth0.nmconnection"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-eth0"
LEFT: list[tuple[str, Boot, str]] = [
    ("nmcli does not answer", uplink_files.observe(FakeHost({**DEVICE, UP: TEXT}), NETWORK)["eth0"],
     "nmcli does not tell its profile: the command ended with 1: unknown"),
    ("no profile is active", managed({UP: TEXT}, row("u1", UP)), "no profiles are active on it"),
    ("two are", managed({UP: TEXT}, ACTIVE + row("u2", OTHER, on="eth0")), "2 profiles are active on it"),
    ("no file", managed({}, row("u1", "", on="eth0")), "its profile has no file"),
    ("a file that is gone", managed({}), "its profile has no file"),
    ("in memory only", managed({RUN_PATH: TEXT}, row("u1", RUN_PATH, on="eth0")), "its profile is gone after a boot"),
    ("of a package", managed({"/usr/lib/a": TEXT}, row("u1", "/usr/lib/a", on="eth0")),
     "its profile belongs to a package"),
    ("the plug-in ifcfg-rh", managed({IFCFG: "MTU=1500\n"}, row("u1", IFCFG, on="eth0")),
     "no keyfile; nmcli connection migrate makes one of it"),
    ("a link to somewhere", managed({"/srv/up": TEXT}, links={UP: "/srv/up"}), "it is a link to /srv/up"),
    ("Wi-Fi", managed({UP: TEXT}, row("u1", UP, kind="802-11-wireless", on="eth0")),
     "a profile of type 802-11-wireless sets no MTU"),
    ("for any link", managed({UP: TEXT.replace("interface-name=eth0\n", "")}), OTHERS_TOO),
    ("for another name", managed({UP: TEXT.replace("=eth0", "=ens3")}), OTHERS_TOO),
    ("set twice", managed({UP: SET_TEXT.replace("mtu=1450\n", "mtu=1\nmtu=2\n")}), "mtu is set a second time"),
    ("the section twice", managed({UP: TEXT + "[ethernet]\n"}), "[ethernet] is there a second time"),
    ("both names of the section", managed({UP: TEXT + "[802-3-ethernet]\n"}), "which are one"),
    ("no keyfile at all", managed({UP: "hunter2\n"}), "line 1: it is neither"),
    ("another profile for it", managed({UP: TEXT, OTHER: TEXT}, ACTIVE + row("u2", OTHER)),
     f"{OTHER} may be taken instead at boot"),
    ("another profile for any link", managed({UP: TEXT, OTHER: "[connection]\nid=a\n"}, ACTIVE + row("u2", OTHER)),
     f"{OTHER} may be taken instead at boot"),
    ("another profile that is not understood", managed({UP: TEXT, OTHER: "x\n"}, ACTIVE + row("u2", OTHER)),
     f"{OTHER} may be taken instead at boot"),
    ("brought up by hand", managed({UP: TEXT}, row("u1", UP, auto="no", on="eth0")),
     "its profile does not come up by itself"),
    ("a bond that its ports may bring up", managed({UP: TEXT}, row("u1", UP, kind="bond", auto="no", on="eth0")),
     "its profile does not come up by itself"),
    ("brought up by hand, and a boot takes another of less priority",
     managed({UP: TEXT, OTHER: TEXT}, row("u1", UP, auto="no", on="eth0") + row("u2", OTHER, priority=-999)),
     "its profile does not come up by itself"),
    ("a script sets one", managed({UP: TEXT, SCRIPT: "ip link set x mtu 9000\n"}), f"{SCRIPT} may set an MTU"),
]  # fmt: skip


@pytest.mark.parametrize(("boot", "why"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT])
def test_a_profile_that_is_left_and_why(boot, why):
    changes, observed = plan(boot)
    assert (boot.manager, changes) == (NETWORK_MANAGER, [])
    [told] = observed
    assert told.startswith("eth0 is configured by NetworkManager (")
    assert why in told
    assert "hunter2" not in told


USR = "/usr/lib/NetworkManager/system-connections/up.nmconnection"
RIGHT: list[tuple[str, Boot]] = [
    ("for any link", managed({UP: SET_TEXT.replace("interface-name=eth0\n", "")}, loaded="1450")),
    ("a link to somewhere", managed({"/srv/up": SET_TEXT}, links={UP: "/srv/up"}, loaded="1450")),
    ("of a package", managed({USR: SET_TEXT}, row("u1", USR, on="eth0"), loaded="1450")),
]


@pytest.mark.parametrize("boot", [case[1] for case in RIGHT], ids=[case[0] for case in RIGHT])
def test_a_profile_that_is_left_and_right_is_no_finding(boot):
    assert boot.garbled
    assert plan(boot) == ([], [])


CONTESTED: list[tuple[str, Boot, str]] = [
    ("in memory only", managed({RUN_PATH: SET_TEXT}, row("u1", RUN_PATH, on="eth0"), loaded="1450"),
     "its profile is gone after a boot"),
    ("another profile for it", managed({UP: SET_TEXT, OTHER: TEXT}, ACTIVE + row("u2", OTHER), loaded="1450"),
     f"{OTHER} may be taken instead at boot"),
    ("another profile for it, and both for any link",
     managed({UP: SET_TEXT.replace("interface-name=eth0\n", ""), OTHER: "[connection]\nid=a\n"},
             ACTIVE + row("u2", OTHER), loaded="1450"),
     f"{OTHER} may be taken instead at boot"),
    ("brought up by hand", managed({UP: SET_TEXT}, row("u1", UP, auto="no", on="eth0"), loaded="1450"),
     "its profile does not come up by itself"),
    ("a script sets one", managed({UP: SET_TEXT, SCRIPT: "ip link set x mtu 9000\n"}, loaded="1450"),
     f"{SCRIPT} may set an MTU"),
]  # fmt: skip


@pytest.mark.parametrize(("boot", "why"), [case[1:] for case in CONTESTED], ids=[case[0] for case in CONTESTED])
def test_a_profile_that_is_right_and_need_not_decide_is_told(boot, why):
    assert boot.at_boot == 1450
    changes, [told] = plan(boot)
    assert changes == []
    assert why in told


def test_networkmanager_leaves_it_alone():
    host = FakeHost({"/run/NetworkManager/devices/2": "[device]\nmanaged=false\n"})
    assert uplink_files.observe(host, NETWORK)["eth0"] == Boot()
    assert host.calls == [], "nobody is asked about a link that is not NetworkManager's"


# --- netplan ----------------------------------------------------------------------------------------

MADE = "/run/systemd/network/10-netplan-up.network"
MADE_NM = "/run/NetworkManager/system-connections/netplan-up.nmconnection"
OWN = "/etc/netplan/99-zz-nodeward-link_mtu.yaml"
STATE = {"/run/systemd/netif/links/2": f"ADMIN_STATE=configured\nNETWORK_FILE={MADE}\n"}
PROGRAM = {"/usr/sbin/netplan": "#!/usr/bin/python3\n"}
NETWORKD_TEXT = "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.4/24\n"
# As netplan get prints it.
MERGED = """\
network:
  version: 2
  ethernets:
    up:
      match:
        name: "eth0"
      addresses:
      - "192.0.2.4/24"
      routes:
      - to: "default"
        via: "192.0.2.1"
"""
WITH_MTU = MERGED.replace("      routes:", "      mtu: 1450\n      routes:")
OURS = uplink_netplan.render(Definition("ethernets", "up"), 1450)
GET = "netplan get all"


def planned(merged: str = MERGED, made: str = NETWORKD_TEXT) -> Boot:
    """Describe a link of netplan's over systemd-networkd: what its files come to, and what it made for that."""
    return with_files({MADE: made}, merged=merged)


def with_files(files: dict[str, str], links: dict[str, str] | None = None, merged: str = MERGED) -> Boot:
    host = FakeHost({**STATE, **PROGRAM, MADE: NETWORKD_TEXT, **files}, links=links, commands={GET: merged})
    return uplink_files.observe(host, NETWORK)["eth0"]


WRITES = (f"file {OWN}", None, OURS)
GENERATES = (f"netplan {MADE}", None, None)
SET_MADE = NETWORKD_TEXT.replace("[Network]", "[Link]\nMTUBytes=1450\n\n[Network]")
NETPLAN_PLANS: list[tuple[str, Boot, list[tuple[str, str | None, str | None]]]] = [
    ("nothing is set", planned(), [WRITES, GENERATES]),
    ("somebody has set it", planned(WITH_MTU, SET_MADE), []),
    ("somebody has set it, and not generated", planned(WITH_MTU), [GENERATES]),
    ("it is ours already", with_files({OWN: OURS, MADE: SET_MADE}, merged=WITH_MTU), []),
    ("ours was written, and the run killed", with_files({OWN: OURS}, merged=WITH_MTU), [GENERATES]),
    ("ours was edited", with_files({OWN: "network: {}\n"}), [(f"file {OWN}", "network: {}\n", OURS), GENERATES]),
    ("another file behind ours, without an MTU", with_files({"/etc/netplan/99-zzz.yaml": "network:\n  version: 2\n"}),
     [WRITES, GENERATES]),
    ("a bond", planned(MERGED.replace("ethernets", "bonds")),
     [(f"file {OWN}", None, OURS.replace("ethernets", "bonds")), GENERATES]),
]  # fmt: skip


@pytest.mark.parametrize(("boot", "changes"), [c[1:] for c in NETPLAN_PLANS], ids=[c[0] for c in NETPLAN_PLANS])
def test_what_is_written_for_netplan(boot, changes):
    assert (boot.manager, boot.path, boot.garbled) == (NETPLAN, MADE, "")
    assert plan(boot) == (changes, [])


def test_our_file_is_root_s_alone_and_adds_to_the_definition_that_is_there():
    [write, _generate] = uplink_files.plan(planned(), ETH0, 1450, "link_mtu", "uplink_change").changes
    assert getattr(write, "mode", None) == 0o600
    assert describe(write)["after"] == OURS
    assert OURS.endswith('network:\n  version: 2\n  ethernets:\n    "up":\n      mtu: 1450\n')


class Angry(FakeHost):
    """Its netplan ends over a file, and quotes it."""

    def run(self, command, _patience=0):
        told = "/etc/netplan/60-bad.yaml:8:19: Error in network definition\n   password: hunter2"
        raise NodewardError(what=f"the command ended with 1: {told}", where=" ".join(command), remedy="Mend it")


DROP_IN = "/etc/systemd/network/10-netplan-up.network.d/a.conf"
NOT_NETPLANS: list[tuple[str, Boot, str]] = [
    ("it is not installed", uplink_files.observe(FakeHost({**STATE, MADE: NETWORKD_TEXT}), NETWORK)["eth0"],
     "netplan itself is not installed"),
    ("a file that it cannot read",
     uplink_files.observe(Angry({**STATE, **PROGRAM, MADE: NETWORKD_TEXT}), NETWORK)["eth0"],
     "netplan cannot read /etc/netplan/60-bad.yaml, line 8"),
    ("what it prints is not known", planned("network:\n  version: 2\n  x: &a b\n"), "netplan get prints what we do"),
    ("it prints nothing", planned(""), "no Ethernet, bond, bridge or VLAN of this id"),
    ("another id", planned(MERGED.replace("    up:", "    eth0:")), "no Ethernet, bond, bridge or VLAN of this id"),
    ("Wi-Fi", planned(MERGED.replace("ethernets", "wifis")), "no Ethernet, bond, bridge or VLAN of this id"),
    ("several links", planned(made="[Match]\nName=e*\n"), OTHERS_TOO),
    ("a drop-in sets one", with_files({DROP_IN: "[Link]\nMTUBytes=9000\n"}), f"{DROP_IN} sets an MTU over it"),
    ("a file behind ours", with_files({"/etc/netplan/99-zzz.yaml": "network: {ethernets: {up: {mtu: 9000}}}\n"}),
     "/etc/netplan/99-zzz.yaml is read after 99-zz-nodeward-link_mtu.yaml and sets an MTU"),
    ("one in front of another", with_files({"/run/netplan/zz.yaml": "mtu: 1\n", "/etc/netplan/zz.yaml": "a\n"}),
     "/run/netplan/zz.yaml is read after"),
    ("ours is a link", with_files({"/srv/a": OURS}, {OWN: "/srv/a"}), f"{OWN} is a link to /srv/a"),
]  # fmt: skip


@pytest.mark.parametrize(("boot", "why"), [case[1:] for case in NOT_NETPLANS], ids=[case[0] for case in NOT_NETPLANS])
def test_a_definition_that_is_left_and_why(boot, why):
    changes, observed = plan(boot)
    assert (boot.manager, changes) == (NETPLAN, [])
    [told] = observed
    assert told.startswith("eth0 is configured by netplan (")
    assert why in told
    assert "hunter2" not in told


def test_a_link_that_shares_its_definition_and_is_right_is_no_finding():
    assert plan(planned(WITH_MTU, SET_MADE.replace("Name=eth0", "Name=e*"))) == ([], [])


def test_a_file_behind_ours_that_leaves_the_link_right_is_no_finding():
    boot = with_files({"/etc/netplan/99-zzz.yaml": "network: {bonds: {b: {mtu: 9000}}}\n"}, merged=WITH_MTU)
    assert "99-zzz.yaml is read after" in boot.garbled
    assert plan(boot) == ([], []), "what netplan's files come to has that file in it"


def test_of_drop_ins_over_netplan_s_file_the_last_one_decides():
    sets = {size: f"[Link]\nMTUBytes={size}\n" for size in (1450, 9000)}
    later = DROP_IN.replace("a.conf", "b.conf")
    right = with_files({DROP_IN: sets[9000], later: sets[1450]})
    assert plan(right) == ([], [])
    wrong = with_files({DROP_IN: sets[1450], later: sets[9000], MADE: SET_MADE}, merged=WITH_MTU)
    assert plan(wrong) == ([], [f"eth0 is configured by netplan ({later} sets an MTU over it)"])


def test_without_netplan_nothing_that_it_made_is_known_to_come_back():
    host = FakeHost({**STATE, MADE: SET_MADE, DROP_IN: "[Link]\nMTUBytes=1450\n"})
    changes, [told] = plan(uplink_files.observe(host, NETWORK)["eth0"])
    assert changes == []
    assert "netplan itself is not installed" in told


MADE_TEXT = "[connection]\nid=netplan-up\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\nwake-on-lan=0\n"


def over_network_manager(made: str = MADE_TEXT, merged: str = MERGED, loaded: str = "auto", **more: str) -> Boot:
    told = {**commands(row("u1", MADE_NM, on="eth0"), loaded), GET: merged}
    host = FakeHost({**DEVICE, **PROGRAM, MADE_NM: made, **more}, commands=told)
    return uplink_files.observe(host, NETWORK)["eth0"]


def test_netplan_over_network_manager():
    generates = (f"netplan {MADE_NM}", None, None)
    boot = over_network_manager()
    assert (boot.manager, boot.garbled) == (NETPLAN, "")
    assert plan(boot) == ([WRITES, generates, loads(MADE_NM)], [])
    made = MADE_TEXT + "mtu=1450\n"
    assert plan(over_network_manager(made, WITH_MTU, "1450")) == ([], [])
    assert plan(over_network_manager(made, WITH_MTU)) == ([loads(MADE_NM)], [])
    assert plan(over_network_manager(MADE_TEXT, WITH_MTU)) == ([generates, loads(MADE_NM)], [])


def test_netplan_over_network_manager_where_something_else_may_decide():
    boot = over_network_manager(MADE_TEXT + "mtu=1450\n", WITH_MTU, "1450", **{SCRIPT: "ip link set x mtu 9000\n"})
    assert plan(boot) == ([], [f"eth0 is configured by netplan ({SCRIPT} may set an MTU)"])


def test_netplan_over_network_manager_for_any_link():
    boot = over_network_manager(MADE_TEXT.replace("interface-name=eth0\n", ""))
    assert (boot.manager, boot.garbled) == (NETPLAN, OTHERS_TOO)
    assert plan(boot)[0] == []
