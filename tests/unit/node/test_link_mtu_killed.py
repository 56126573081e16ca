"""A run that ends in the middle of an uplink's change under NetworkManager, with and without a boot behind it."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import restore as put_back
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import keyfile
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link, Network
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu, restore
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Policy

from tests.unit.fake_host import FakeHost

PROFILE = "/etc/NetworkManager/system-connections/up.nmconnection"
TEXT = "[connection]\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\n# ours\nmethod=auto\n"
FILES = {PROFILE: TEXT, "/run/NetworkManager/devices/2": "managed=true\n"}
RUNS = {"/run/systemd/units/invocation:NetworkManager.service": "0" * 32}


class PowerCutError(BaseException):
    """The run is over: nothing is put back."""


class Node(FakeHost):
    """Its NetworkManager has a profile in memory as it was loaded; it ends at the change ``lasts`` + 1."""

    lasts = 1000
    memory = ""
    changes = 0

    def _mutate(self, verb: str, path: str) -> None:
        if verb != "run" or path.startswith("nmcli connection load"):
            if self.changes >= self.lasts:
                raise PowerCutError
            self.changes += 1
        super()._mutate(verb, path)

    def run(self, command, _patience=0):
        words = " ".join(command)
        self._mutate("run", words)
        if "--terse" in command:
            return f"u1:802-3-ethernet:yes:0:eth0:{PROFILE}\n"
        if "load" in command:
            self.memory = self.files[PROFILE]
            return ""
        return (keyfile.get(self.memory, "ethernet/mtu") or "auto") + "\n"


def booted(files: dict[str, str]) -> Node:
    """Boot a node: the uplink gets the MTU of its profile, the tunnel is made anew."""
    links = (
        Link(2, "eth0", int(keyfile.get(files[PROFILE], "ethernet/mtu") or 1500), min_mtu=68, max_mtu=9710),
        Link(5, "tunl0", 1480, "ipip"),
    )
    network = Network(links, (Address("192.0.2.4", 2),), (DefaultRoute(4, 254, 0, 2),))
    node = Node(files, links=RUNS, network=network)
    node.memory = files[PROFILE]
    return node


def harden(node: Node) -> None:
    now, _pending = link_mtu.plan(link_mtu.observe(node), Policy(uplink_mtu=1400)).split(("uplink_change",))
    apply(now, node)


def bring_back(node: Node) -> None:
    known = restore.observe(journal.decode(node.read_text(journal.PATH)), node, ["link_mtu"])
    planned = link_mtu.going_back(link_mtu.observe(node), restore.plan(known, ["link_mtu"]).changes, Policy())
    put_back(planned.changes, restore.forgotten(known, planned, planned.changes), node)


def state(node: Node) -> tuple[dict[str, int], str, str]:
    return {link.name: link.mtu for link in node.network().links}, node.files[PROFILE], node.memory


def undisturbed() -> Node:
    node = booted(FILES)
    harden(node)
    return node


def killed(lasts: int) -> Node:
    node = booted(FILES)
    node.lasts = lasts
    if lasts < CHANGES:
        with pytest.raises(PowerCutError):
            harden(node)
    else:
        harden(node)
    node.lasts = 1000
    return node


CHANGES = undisturbed().changes


def test_the_undisturbed_run_changes_links_file_and_memory():
    mtus, text, memory = state(undisturbed())
    assert mtus == {"eth0": 1400, "tunl0": 1380}
    assert text == memory != TEXT
    assert keyfile.get(memory, "ethernet/mtu") == "1400"
    assert CHANGES == 5, "the journal, two links, the file and its load"


@pytest.mark.parametrize("boots", [False, True])
@pytest.mark.parametrize("lasts", range(CHANGES + 1))
def test_the_next_run_ends_as_one_that_nothing_disturbed(lasts, boots):
    node = killed(lasts)
    again = booted(node.files) if boots else node
    harden(again)
    assert state(again) == state(undisturbed())


@pytest.mark.parametrize("boots", [False, True])
@pytest.mark.parametrize("lasts", range(CHANGES + 1))
def test_restore_brings_back_what_was(lasts, boots):
    node = killed(lasts)
    again = booted(node.files) if boots else node
    bring_back(again)
    assert (again.files[PROFILE], again.memory) == (TEXT, TEXT)
    assert state(booted(again.files)) == state(booted(FILES))
