"""What really passes between two nodes: how it is measured, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import echo
from ansible_collections.nodeward.calico.plugins.module_utils._node import paths
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost


def target(address: str = "192.0.2.2", mtu: int = 1500, over: str = "eth0") -> dict[str, Any]:
    return {"node": f"node-{address}", "over": over, "address": address, "mtu": mtu}


def measured(carries: dict[str, int], *targets: dict[str, Any]) -> tuple[list[paths.Path], int, FakeHost]:
    host = FakeHost()
    host.carries = carries
    found, left = paths.measure(host, targets)
    return found, left, host


CASES: list[tuple[str, int, int, int | None, list[str]]] = [
    ("well", 1500, 1500, 1500, []),
    ("a larger one than both ends", 9000, 1500, 1500, []),
    ("a smaller one in between", 1400, 1500, 1400, ["link_mtu.path:eth0:node-192.0.2.2"]),
    ("one byte less", 1499, 1500, 1499, ["link_mtu.path:eth0:node-192.0.2.2"]),
    ("hardly anything", 64, 1500, 64, ["link_mtu.path:eth0:node-192.0.2.2"]),
    ("jumbo frames that are cut", 1500, 9000, 1500, ["link_mtu.path:eth0:node-192.0.2.2"]),
    ("nobody answers", 0, 1500, None, ["link_mtu.path_silent:eth0:node-192.0.2.2"]),
]


@pytest.mark.parametrize(("carries", "mtu", "passes", "ids"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_passes_is_measured_and_told(carries, mtu, passes, ids):
    found, left, host = measured({"192.0.2.2": carries}, target(mtu=mtu))
    assert [(path.passes, left) for path in found] == [(passes, 0)]
    assert [finding.id for finding in paths.findings(found, left)] == ids
    assert host.calls == []


def test_a_finding_names_both_ends_and_both_sizes():
    found, left, _host = measured({"192.0.2.2": 1400}, target())
    [finding] = paths.findings(found, left)
    assert finding.severity == "high"
    assert finding.where == "eth0 to node-192.0.2.2 (192.0.2.2)"
    assert (finding.observed, finding.wanted) == (
        "packets of up to 1400 bytes pass",
        "1500 bytes, what both ends are set to",
    )


def test_a_path_that_is_well_costs_two_packets_and_one_that_is_not_few():
    found, _left, _host = measured({"a::1": 1500, "a::2": 1280}, target("a::1"), target("a::2"), target("a::3"))
    counts = [path.packets for path in found]
    assert counts[0] == 2
    assert counts[1] <= 2 + 2 * 5, "a usual size is found soon"
    assert counts[2] == paths.TRIES
    assert paths.shown(found, 0)["packets"] == sum(counts)


def test_packets_go_at_a_bounded_rate():
    _found, _left, host = measured({"192.0.2.2": 1500}, *[target()] * paths.MOST)
    assert host.now == pytest.approx(2 * paths.MOST * paths.PAUSE)


def test_time_and_number_are_bounded_and_what_is_left_is_told():
    silent = [target(f"192.0.2.{number}") for number in range(100)]
    found, left, host = measured({}, *silent)
    assert (len(found), left) == (paths.MOST, 76)
    broken = {each["address"]: 100 for each in silent}
    found, left, host = measured(broken, *silent)
    assert left > 76
    assert host.now < paths.BUDGET + 2 * 12 * (paths.PATIENCE + paths.PAUSE)
    assert [each.id for each in paths.findings(found, left)][-1] == "link_mtu.paths_not_measured"


class Told(FakeHost):
    """Answers in turn as it is told."""

    def __init__(self, *told: str) -> None:
        super().__init__()
        self.told = list(told)

    def echo(self, _address: str, _size: int, _patience: float) -> str:
        return self.told.pop(0)


def test_one_lost_packet_is_no_smaller_path():
    [path], _left = paths.measure(Told(echo.LOST, echo.ANSWERED, echo.LOST, echo.ANSWERED), [target()])
    assert (path.passes, path.packets) == (1500, 4)


def test_what_the_own_kernel_does_not_let_out_is_not_tried_again():
    [path], _left = paths.measure(Told(echo.NOT_SENT), [target()])
    assert (path.passes, path.packets) == (None, 1)


@given(carries=st.integers(echo.SMALLEST, 9000), mtu=st.integers(1280, 9000))
def test_the_search_finds_the_largest(carries, mtu):
    assert paths.largest(lambda size: size <= carries, mtu) == min(carries, mtu)
