"""Which paths to other nodes a node measures."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.path_targets import chosen, path_targets

ADDED = {"tunl0": 20, "vxlan.calico": 50, "wg": 60}  # bytes that a tunnel adds


def told(number: int, mtu: int = 1500, carries: int | None = None, **tunnels: int) -> dict[str, Any]:
    names = {"eth0": f"192.0.2.{number}", **dict.fromkeys(tunnels, f"10.0.{number}.1")}
    shown = {
        "uplink": {"name": "eth0", "mtu": mtu, "carries": carries or mtu},
        "tunnels": [{"name": name, "mtu": size, "overhead": ADDED[name]} for name, size in tunnels.items()],
        "addresses": names,
    }
    return {"node_result": {"facts": {"link_mtu": shown}}}


def test_the_uplink_and_the_tunnels_that_both_have_by_the_smaller_size():
    variables = {"a": told(1, tunl0=1480, wg=1440), "b": told(2, 1450, tunl0=1480)}
    assert path_targets("a", ["a", "b"], variables) == [
        {"node": "b", "over": "eth0", "address": "192.0.2.2", "mtu": 1450, "carries": 1450},
        {"node": "b", "over": "tunl0", "address": "10.0.2.1", "mtu": 1480, "carries": 1430},
    ]


# Name, uplinks of both ends, the tunnels' MTU, what their uplinks leave them.
CARRIES = [
    ("a tunnel that fits", (1500, 1500), 1480, 1480),
    ("incident C", (1450, 1450), 1450, 1430),
    ("this end's uplink is the smaller one", (1450, 1500), 1480, 1430),
    ("the other end's uplink is the smaller one", (1500, 1450), 1480, 1430),
]


@pytest.mark.parametrize(("uplinks", "mtu", "carries"), [c[1:] for c in CARRIES], ids=[c[0] for c in CARRIES])
def test_what_the_uplinks_of_both_ends_leave_a_tunnel(uplinks, mtu, carries):
    variables = {"a": told(1, uplinks[0], tunl0=mtu), "b": told(2, uplinks[1], tunl0=mtu)}
    _uplink, tunnel = path_targets("a", ["a", "b"], variables)
    assert (tunnel["mtu"], tunnel["carries"]) == (mtu, carries)


def test_an_uplink_that_stands_on_a_smaller_link_carries_less_and_leaves_a_tunnel_less():
    variables = {"a": told(1, tunl0=1480), "b": told(2, carries=1400, tunl0=1480)}
    for host in "ab":
        targets = path_targets(host, ["a", "b"], variables)
        assert [(path["mtu"], path["carries"]) for path in targets] == [(1500, 1400), (1480, 1380)]


def test_of_a_link_that_takes_more_than_a_packet_can_have_the_largest_packet():
    variables = {"a": told(1, 70000, wg=80000), "b": told(2, 70000, wg=80000)}
    assert [path["mtu"] for path in path_targets("a", ["a", "b"], variables)] == [65535, 65535]


NOTHING: list[tuple[str, dict[str, Any]]] = [
    ("nothing was seen of it", {"b": told(2)}),
    ("it has no uplink", {"a": {"node_result": {"facts": {"link_mtu": {"uplink": None}}}}, "b": told(2)}),
    ("it failed", {"a": {"node_result": {"failed": True}}, "b": told(2)}),
    ("nothing was seen of the others", {"a": told(1), "b": {}}),
    ("the other has no address", {"a": told(1), "b": {"node_result": {"facts": {"link_mtu": {
        "uplink": {"name": "eth0", "mtu": 1500, "carries": 1500}, "tunnels": [], "addresses": {}}}}}}),
    ("it is alone", {"a": told(1)}),
]  # fmt: skip


@pytest.mark.parametrize("variables", [case[1] for case in NOTHING], ids=[case[0] for case in NOTHING])
def test_nothing_where(variables):
    assert path_targets("a", ["a", "b"], variables) == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 101, 1000])
def test_a_sample_of_others_each_asked_by_as_many(size):
    hosts = [f"node{number}" for number in range(size)]
    asked = [chosen(host, hosts, 3) for host in hosts]
    count = min(3, size - 1)
    assert all(len(set(each)) == count and host not in each for host, each in zip(hosts, asked, strict=True))
    by = [sum(host in each for each in asked) for host in hosts]
    assert set(by) == {count}
