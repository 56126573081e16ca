"""A node that goes down in the middle of an uplink's change, and comes up again with the MTUs of its files."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import restore as put_back
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu, restore
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Policy

from tests.unit.fake_host import FakeHost

UNIT = "/etc/systemd/network/10-eth0.network"
DROP_IN = f"{UNIT}.d/99-zz-nodeward-link_mtu.conf"
FILES = {UNIT: "[Match]\nName=eth0\n[Network]\nDHCP=yes\n", "/run/systemd/netif/links/2": f"NETWORK_FILE={UNIT}\n"}
WANTED = Policy(uplink_mtu=1400)
ALLOW = ("uplink_change",)
MTUS = {"eth0": 1500, "eth0.7": 1500, "tunl0": 1480}


class PowerCut(BaseException):
    """The node is off: nothing is put back."""


class Node(FakeHost):
    """Goes off at the mutating call ``lasts`` + 1, and stays so."""

    lasts = 1000

    def _mutate(self, verb: str, path: str) -> None:
        if len(self.calls) >= self.lasts:
            raise PowerCut
        super()._mutate(verb, path)


def booted(files: dict[str, str]) -> Node:
    """Boot a node: networkd gives the uplink the MTU of its drop-in, all else is made anew."""
    uplink = int(files[DROP_IN].rpartition("=")[2]) if DROP_IN in files else MTUS["eth0"]
    links = (
        Link(1, "lo", 65536, loopback=True),
        Link(2, "eth0", uplink, min_mtu=68, max_mtu=9710),
        Link(3, "eth0.7", min(uplink, MTUS["eth0.7"]), "vlan", lower=2),
        Link(5, "tunl0", MTUS["tunl0"], "ipip"),
    )
    return Node(files, network=Network(links, (Address("192.0.2.4", 2),), (DefaultRoute(4, 254, 0, 2),)))


def mtus(node: Node) -> dict[str, int]:
    return {link.name: link.mtu for link in node.network().links if not link.loopback}


def harden(node: Node) -> None:
    now, _pending = link_mtu.plan(link_mtu.observe(node), WANTED).split(ALLOW)
    apply(now, node)


def bring_back(node: Node) -> None:
    known = restore.observe(journal.decode(node.read_text(journal.PATH)), node, ["link_mtu"])
    planned = link_mtu.going_back(link_mtu.observe(node), restore.plan(known, ["link_mtu"]).changes, Policy())
    assert list(link_mtu.guard(link_mtu.observe(node), planned.changes)) == []
    put_back(planned.changes, restore.forgotten(known, planned, planned.changes), node)


def undisturbed() -> Node:
    node = booted(FILES)
    harden(node)
    return node


CALLS = len(undisturbed().calls)


def test_the_undisturbed_run_changes_links_and_file():
    node = undisturbed()
    assert mtus(node) == {"eth0": 1400, "eth0.7": 1400, "tunl0": 1380}
    assert "MTUBytes=1400" in node.files[DROP_IN]
    assert CALLS >= 5, "the journal, the folder and the file, and the links"


@pytest.mark.parametrize("lasts", range(CALLS + 1))
def test_the_next_run_after_the_boot_ends_as_one_that_nothing_disturbed(lasts):
    node = booted(FILES)
    node.lasts = lasts
    if lasts < CALLS:
        with pytest.raises(PowerCut):
            harden(node)
    else:
        harden(node)
    again = booted(node.files)
    harden(again)
    assert mtus(again) == mtus(undisturbed())
    assert again.files[DROP_IN] == undisturbed().files[DROP_IN]


@pytest.mark.parametrize("lasts", range(CALLS + 1))
def test_restore_after_the_boot_brings_back_what_was(lasts):
    node = booted(FILES)
    node.lasts = lasts
    if lasts < CALLS:
        with pytest.raises(PowerCut):
            harden(node)
    else:
        harden(node)
    again = booted(node.files)
    bring_back(again)
    # a tunnel that the boot made anew has what it had; one of the file's is back with the file
    assert again.files.get(DROP_IN) is None
    assert booted(again.files).files == FILES
    assert mtus(booted(again.files)) == MTUS
