"""The way back of link_mtu: what goes back, in which order, and what is left to Felix or waits."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Link
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Change, Reason, SetLinkMtu, WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import link_mtu
from ansible_collections.nodeward.calico.plugins.module_utils._node.link_mtu import Facts, Policy

from tests.unit.fake_host import FakeHost
from tests.unit.node.linked_nodes import ETH1, NETWORKD_FILE, POD, TWO_ROUTES, node, plan, pod, told, tunnel, uplink

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
