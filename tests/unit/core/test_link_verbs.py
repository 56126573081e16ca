"""SetLinkMtu: look, act, read back, turn round; on a link and on a pod's end of it."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Link, MissingPackageError, Network
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason, SetLinkMtu, change_at
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

REASON = Reason("link_mtu", "because")
ETH0 = Link(2, "eth0", 1500, min_mtu=68, max_mtu=9000)
POD = Link(7, "cali1", 1450, "veth", lower=3, netnsid=0)
NETWORK = Network((ETH0, POD), pod_ends={"cali1": Link(3, "eth0", 1440, "veth", lower=7, netnsid=1)})

mtus = st.integers(68, 9000).map(str)
places = st.sampled_from([("eth0", False, "1500"), ("cali1", False, "1450"), ("cali1", True, "1440")])


@given(places, mtus)
def test_acting_and_then_the_inverse_restores_the_link(place, after):
    name, peer, before = place
    host = FakeHost(network=NETWORK)
    change = SetLinkMtu(name, before, after, REASON, peer)
    change.check(host)
    assert host.calls == []
    change.act(host)
    change.verify(host)
    assert change.inverse().inverse() == change
    change.inverse().check(host)
    change.inverse().act(host)
    change.inverse().verify(host)
    assert host.present_network == NETWORK


@given(places, mtus)
def test_the_journal_s_target_gives_the_verb_back(place, after):
    name, peer, before = place
    change = SetLinkMtu(name, before, after, REASON, peer)
    assert change_at(change.target, before, after, REASON) == change


def test_targets():
    assert SetLinkMtu("eth0", "1", "2", REASON).target == "link eth0"
    assert SetLinkMtu("cali1", "1", "2", REASON, peer=True).target == "peer cali1"


REFUSED: list[tuple[str, SetLinkMtu, str]] = [
    ("changed since", SetLinkMtu("eth0", "1400", "1500", REASON), "expected '1400', found '1500'"),
    ("gone since", SetLinkMtu("eth9", "1400", "1500", REASON), "found nothing"),
    ("the pod is gone", SetLinkMtu("eth0", "1400", "1500", REASON, peer=True), "found nothing"),
    ("above the driver's range", SetLinkMtu("eth0", "1500", "9001", REASON), "takes no MTU of 9001 (68 to 9000)"),
    ("below the driver's range", SetLinkMtu("eth0", "1500", "67", REASON), "takes no MTU of 67"),
]


@pytest.mark.parametrize(("change", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_a_check_refuses(change, told):
    host = FakeHost(network=NETWORK)
    with pytest.raises(NodewardError) as refused:
        change.check(host)
    assert told in refused.value.what
    assert host.calls == []


def test_a_driver_that_tells_no_bound_is_asked():
    SetLinkMtu("cali1", "1450", "65000", REASON).check(FakeHost(network=NETWORK))


def test_a_link_that_is_gone_cannot_be_set():
    with pytest.raises(OSError, match="No such device"):
        SetLinkMtu("eth9", None, "1500", REASON).act(FakeHost(network=NETWORK))
    gone = SetLinkMtu("eth9", None, None, REASON)
    for host in [FakeHost(network=NETWORK)]:
        gone.check(host)
        gone.act(host)
        gone.verify(host)


def test_a_node_without_pyroute2_says_what_to_install():
    with pytest.raises(MissingPackageError) as missing:
        SetLinkMtu("eth0", "1", "2", REASON).present(FakeHost())
    assert missing.value.package == "pyroute2"
    assert "Install" in missing.value.remedy
