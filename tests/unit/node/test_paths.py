"""What really passes between two nodes: how it is measured, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import echo
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._node import paths
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

# As the documentation tells them: packets and seconds of the worst path that loses by size alone, by its mtu.
WORST = [(1500, 36), (9000, 40), (65520, 46)]
MOST_PACKETS, MOST_SECONDS = 46, 19


def target(address: str = "192.0.2.2", mtu: int = 1500, over: str = "eth0") -> dict[str, Any]:
    return {"node": f"node-{address}", "over": over, "address": address, "mtu": mtu}


def measured(carries: dict[str, int], *targets: dict[str, Any]) -> tuple[list[paths.Path], int, FakeHost]:
    host = FakeHost()
    host.carries = carries
    found, left = paths.measure(host, targets)
    return found, left, host


class Narrow(FakeHost):
    """Has a link that lets no more out than this."""

    def __init__(self, let_out: int) -> None:
        super().__init__()
        self.let_out = let_out

    def echo(self, address: str, size: int, patience: float) -> str:
        return super().echo(address, size, patience) if size <= self.let_out else echo.NOT_SENT


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


TUNNEL, BELOW, OTHER, BETWEEN = (
    "the tunnel is larger than its uplink",
    "an uplink, here or there, stands on a link that carries less",
    "the link that it leaves by carries less",
    "a switch or a cloud",
)
REMEDIES = {
    TUNNEL: "ansible-playbook nodeward.calico.harden --tags link_mtu",
    BELOW: "ip -d link",
    OTHER: "ip route get 192.0.2.2",
    BETWEEN: "(link_mtu_uplink_mtu)",
}

# By which link, what the address answers, what the node's own kernel lets out, the target's mtu and carries, the cause
# that is told.
CAUSES: list[tuple[str, str, int, int, int, int | None, str]] = [
    ("incident C: uplink 1450, tunl0 1450", "tunl0", 1430, 9000, 1450, 1430, TUNNEL),
    ("the other end takes a little more", "tunl0", 1434, 9000, 1450, 1430, TUNNEL),
    ("too large, and its link lets out less", "tunl0", 9000, 1440, 1480, 1430, TUNNEL),
    ("a tunnel that fits, and a switch", "tunl0", 1380, 9000, 1430, 1430, BETWEEN),
    ("too large, and a switch", "tunl0", 1380, 9000, 1450, 1430, BETWEEN),
    ("nothing is known of the uplinks", "tunl0", 1430, 9000, 1450, None, BETWEEN),
    ("a bridge of 1500 on a port of 1400", "br0", 1404, 9000, 1500, 1400, BELOW),
    ("an uplink on nothing else, and a switch", "eth0", 1400, 9000, 1500, 1500, BETWEEN),
    ("by another link, and less beyond it", "eth0", 1390, 1480, 1500, 1500, BETWEEN),
    ("by a VPN's link", "eth0", 9000, 1400, 1500, 1500, OTHER),
    ("such a link under a tunnel", "tunl0", 9000, 1400, 1480, 1480, OTHER),
]


@pytest.mark.parametrize(
    ("over", "answers", "let_out", "mtu", "carries", "cause"), [c[1:] for c in CAUSES], ids=[c[0] for c in CAUSES]
)
def test_a_finding_names_the_cause_and_a_remedy_that_helps(over, answers, let_out, mtu, carries, cause):
    host = Narrow(let_out)
    host.carries = {"192.0.2.2": answers}
    found, left = paths.measure(host, [{**target(mtu=mtu, over=over), "carries": carries}])
    [finding] = paths.findings(found, left)
    assert finding.id == f"link_mtu.path:{over}:node-192.0.2.2"
    assert finding.severity == ("low" if cause == OTHER else "high"), "of what the own kernel refuses the sender hears"
    assert finding.why.startswith(cause)
    assert [of for of, words in REMEDIES.items() if words in finding.remedy] == [cause]


def test_of_a_tunnel_that_is_too_large_the_finding_says_how_large_it_may_be():
    found, left, _host = measured({"192.0.2.2": 1430}, {**target(mtu=1450, over="tunl0"), "carries": 1430})
    [finding] = paths.findings(found, left)
    assert finding.wanted == "a tunnel of at most 1430 bytes, what the uplinks leave it; both ends are set to 1450"


def test_where_the_own_kernel_sends_nothing_at_all_the_other_node_is_not_blamed():
    found, left = paths.measure(Narrow(0), [target()])
    [finding] = paths.findings(found, left)
    assert finding.id == "link_mtu.path_silent:eth0:node-192.0.2.2"
    assert finding.observed == "this node's own kernel sends nothing there"
    assert finding.remedy.endswith("ip route get 192.0.2.2")


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("a name", {"address": "node1"}, "address", "'node1' is no IP address"),
    ("nothing", {"address": ""}, "address", "'' is no IP address"),
    ("a network", {"address": "10.0.0.1/24"}, "address", "'10.0.0.1/24' is no IP address"),
    ("any address", {"address": "0.0.0.0"}, "address", "0.0.0.0 is no address of another node"),  # noqa: S104
    ("any address of IPv6", {"address": "::"}, "address", ":: is no address of another node"),
    ("itself", {"address": "127.0.0.1"}, "address", "127.0.0.1 is no address of another node"),
    ("itself by IPv6", {"address": "::1"}, "address", "::1 is no address of another node"),
    ("many", {"address": "224.0.0.5"}, "address", "224.0.0.5 is no address of another node"),
    ("many by IPv6", {"address": "ff02::1"}, "address", "ff02::1 is no address of another node"),
    ("no size", {"mtu": 0}, "mtu", "0 is no size of a packet"),
    ("less than none", {"mtu": -5}, "mtu", "-5 is no size of a packet"),
    ("less than the headers", {"mtu": echo.SMALLEST - 1}, "mtu", "63 is no size of a packet"),
    ("more than IP can have", {"mtu": echo.LARGEST + 1}, "mtu", "65536 is no size of a packet"),
    ("more than memory", {"mtu": 10**12}, "mtu", "1000000000000 is no size of a packet"),
]


@pytest.mark.parametrize(("bad", "where", "what"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_target_that_cannot_be_meant_is_refused_before_the_first_packet(bad, where, what):
    host = Told()  # any packet would be one too many
    with pytest.raises(NodewardError) as told:
        paths.measure(host, [target(), {**target(), **bad}])
    assert (told.value.where, told.value.what) == (f"paths_to[1].{where}", what)
    assert told.value.remedy.startswith("Give the ")


@pytest.mark.parametrize("mtu", [echo.SMALLEST, echo.LARGEST])
def test_the_least_and_the_most_are_measured(mtu):
    [path], _left, _host = measured({"192.0.2.2": echo.LARGEST}, target(mtu=mtu))
    assert (path.passes, path.packets) == (mtu, 2)


def test_a_path_that_is_well_costs_two_packets_and_one_that_is_not_few():
    found, _left, _host = measured({"a::1": 1500, "a::2": 1280}, target("a::1"), target("a::2"), target("a::3"))
    counts = [path.packets for path in found]
    assert counts[0] == 2
    assert counts[1] <= 2 + 2 * 8, "a usual size is found soon"
    assert counts[2] == paths.TRIES
    assert paths.shown(found, 0)["packets"] == sum(counts)


@pytest.mark.parametrize(("mtu", "packets"), WORST)
def test_the_worst_path_takes_as_many_packets_and_seconds_as_is_told(mtu, packets):
    def taken(carries: int) -> tuple[int, int]:
        asked: list[int] = []

        def passes(size: int) -> bool:
            asked.append(size)
            return size <= carries

        paths.largest(passes, mtu)
        lost = sum(size > carries for size in asked)
        return len(asked) + lost * (paths.TRIES - 1), lost

    every = [taken(carries) for carries in range(echo.SMALLEST, mtu)]
    assert max(count for count, _lost in every) == packets
    assert max(lost for _count, lost in every) * paths.TRIES * (paths.PATIENCE + paths.PAUSE) < MOST_SECONDS


def test_packets_go_at_a_bounded_rate_which_the_result_tells():
    found, left, host = measured({"192.0.2.2": 1500}, *[target()] * paths.MOST)
    assert host.now == pytest.approx(2 * paths.MOST * paths.PAUSE)
    told = paths.shown(found, left)
    assert (told["packets"], told["per_second"]) == (2 * paths.MOST, 50)
    assert told["packets"] / host.now <= told["per_second"]


def test_time_and_number_are_bounded_and_what_is_left_is_told():
    silent = [target(f"192.0.2.{number}") for number in range(100)]
    found, left, host = measured({}, *silent)
    assert (len(found), left) == (paths.MOST, 76)
    broken = {each["address"]: 100 for each in silent}
    found, left, host = measured(broken, *silent)
    assert left > 76
    assert host.now < paths.BUDGET + 2 * 12 * (paths.PATIENCE + paths.PAUSE)
    assert [each.id for each in paths.findings(found, left)][-1] == "link_mtu.paths_not_measured"


def test_that_nothing_was_measured_does_not_look_like_all_is_well():
    found, left, _host = measured({})
    [finding] = paths.findings(found, left)
    assert (finding.id, finding.severity) == ("link_mtu.paths_not_measured", "info"), "a fleet of one fails no audit"
    assert "no other node with a known uplink was seen" in finding.observed
    assert "python3-pyroute2" in finding.remedy, "mostly that is what a fresh node lacks"


class Told(FakeHost):
    """Answers in turn as it is told."""

    def __init__(self, *told: str) -> None:
        super().__init__()
        self.told = list(told)

    def echo(self, _address: str, _size: int, patience: float) -> str:
        self.now += patience if self.told[0] == echo.LOST else 0
        return self.told.pop(0)


def test_one_lost_packet_is_no_smaller_path():
    [path], _left = paths.measure(Told(echo.LOST, echo.ANSWERED, echo.LOST, echo.ANSWERED), [target()])
    assert (path.passes, path.packets) == (1500, 4)


class Lossy(FakeHost):
    """Loses the packets of these numbers, whatever their size."""

    def __init__(self, carries: int, *lost: int) -> None:
        super().__init__()
        self.carries = {"192.0.2.2": carries}
        self.lost, self.asked = lost, 0

    def echo(self, address: str, size: int, patience: float) -> str:
        self.asked += 1
        told = super().echo(address, size, patience)
        return echo.LOST if self.asked in self.lost else told


# What is carried of 1500, the numbers of the packets that are lost by chance: the first is that of the least size.
UNLUCKY: list[tuple[str, int, tuple[int, ...]]] = [
    ("the full size twice", 1500, (2, 3)),
    ("the full size twice, and another", 1500, (2, 3, 5, 6)),
    ("the full size three times", 1500, (2, 3, 12)),
    ("a usual size that is what passes", 1400, (8, 9)),
    ("a usual size far below what passes", 1400, (6, 7)),
]


@pytest.mark.parametrize(("carries", "lost"), [case[1:] for case in UNLUCKY], ids=[case[0] for case in UNLUCKY])
def test_what_was_lost_by_chance_is_no_smaller_path(carries, lost):
    host = Lossy(carries, *lost)
    [path], _left = paths.measure(host, [target()])
    assert path.passes == carries
    assert path.packets == host.asked > max(lost)


class Gone(FakeHost):
    """Is away from one packet on, for so many seconds."""

    def __init__(self, packet: int, seconds: float, carries: int) -> None:
        super().__init__()
        self.packet, self.seconds, self.most, self.asked = packet, seconds, carries, 0
        self.since: float | None = None

    def echo(self, address: str, size: int, patience: float) -> str:
        self.asked += 1
        if self.asked == self.packet:
            self.since = self.now
        is_away = self.since is not None and self.now < self.since + self.seconds
        self.carries = {} if is_away else {"192.0.2.2": self.most}
        return super().echo(address, size, patience)


@pytest.mark.parametrize("packet", [2, 7, 8])
def test_of_a_node_that_goes_away_while_it_is_measured_no_size_is_told(packet):
    found, left = paths.measure(Gone(packet, 3600, carries=1400), [target()])
    [finding] = paths.findings(found, left)
    assert (finding.id, finding.severity) == ("link_mtu.path_silent:eth0:node-192.0.2.2", "low")
    assert finding.observed.startswith("ICMP echo was answered at first")


@given(st.integers(2, 40), st.floats(0.1, 25), st.sampled_from([1500, 1400, 1234]))
def test_an_outage_whenever_it_begins_and_ends_is_no_smaller_path(packet, seconds, carries):
    [path], _left = paths.measure(Gone(packet, seconds, carries), [target()])
    assert path.passes in (carries, None)


@given(st.lists(st.booleans(), min_size=2 * MOST_PACKETS, max_size=2 * MOST_PACKETS), st.integers(64, echo.LARGEST))
def test_whatever_is_lost_by_chance_the_packets_and_seconds_are_bounded(lots, mtu):
    host = Told(*(echo.LOST if lost else echo.ANSWERED for lost in lots))
    [path], _left = paths.measure(host, [target(mtu=mtu)])
    assert path.packets <= 2 * MOST_PACKETS
    assert host.now < 2 * MOST_SECONDS
    assert path.passes is None or path.passes <= mtu


def test_what_the_own_kernel_does_not_let_out_is_not_tried_again():
    [path], _left = paths.measure(Told(echo.NOT_SENT), [target()])
    assert (path.passes, path.packets) == (None, 1)


def test_one_address_that_nothing_can_be_sent_to_leaves_the_other_paths_measured():
    found, left = paths.measure(Told(echo.NOT_SENT, echo.ANSWERED, echo.ANSWERED), [target("2001:db8::2"), target()])
    assert ([path.passes for path in found], left) == ([None, 1500], 0)


@given(carries=st.integers(echo.SMALLEST, 9000), mtu=st.integers(1280, 9000))
def test_the_search_finds_the_largest(carries, mtu):
    assert paths.largest(lambda size: size <= carries, mtu) == min(carries, mtu)


def test_every_finding_of_paths_is_known_as_one_by_its_id():
    ends = [target(), target("192.0.2.3")]
    told = [*paths.findings(*measured({"192.0.2.3": 1400}, *ends)[:2]), *paths.findings([], 0), *paths.findings([], 1)]
    assert len(told) == 4
    assert all(each.id.startswith(paths.IDS) for each in told)
    assert not "link_mtu.link:tunl0".startswith(paths.IDS)
