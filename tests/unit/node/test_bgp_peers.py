"""The BGP peers of a BIRD, by its configuration and the kernel's table of connections."""

from __future__ import annotations

import errno
import sys

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import bgp_peers
from ansible_collections.nodeward.calico.plugins.module_utils._node.bgp_peers import NAMED, Peers

from tests.unit.fake_host import FakeHost

# As Calico's template writes them (confd in calico-node).
CONFIG = """\
router id 10.0.0.1;
# neighbor 10.0.0.9 as 64512;
template bgp bgp_template {
  local as 64512;
}
protocol bgp Mesh_10_0_0_2 from bgp_template {
  neighbor 10.0.0.2 as 64512;
  source address 10.0.0.1;
}
protocol bgp Mesh_10_0_0_3 from bgp_template {
  neighbor 10.0.0.3 port 179 as 64512;
  passive on;
}
protocol bgp Node_10_0_1_4 from bgp_template { neighbor 10.0.1.4 as 64513; multihop; }
"""
CONFIG6 = "protocol bgp Mesh_fd00__2 from bgp_template {\n  neighbor fd00:0:0::2 as 64512;\n}\n"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def word(*octets: int) -> str:
    return f"{int.from_bytes(bytes(octets), sys.byteorder):08X}"


def line(local: str, here: int, remote: str, there: int, state: str = "01") -> str:
    return (
        f"   0: {local}:{here:04X} {remote}:{there:04X} {state} 00000000:00000000 02:00000FA1 00000000     0        0\n"
    )


OWN, SECOND, THIRD, FOURTH = word(10, 0, 0, 1), word(10, 0, 0, 2), word(10, 0, 0, 3), word(10, 0, 1, 4)
LISTENS = line(word(0, 0, 0, 0), 179, word(0, 0, 0, 0), 0, "0A")
MADE, TAKEN = line(OWN, 43210, SECOND, 179), line(OWN, 179, THIRD, 43211)
TRIED, OTHER = line(OWN, 43212, FOURTH, 179, "02"), line(OWN, 43213, FOURTH, 6443)


def node(table: str, config: str | None = CONFIG, name: str = "bird") -> FakeHost:
    files = {f"/proc/7/net/{'tcp6' if name == 'bird6' else 'tcp'}": HEAD + table}
    if config is not None:
        files[f"/proc/7/root/etc/calico/confd/config/{name}.cfg"] = config
    return FakeHost(files)


TABLES = {
    "all but one, whichever side made it": (LISTENS + MADE + TAKEN + TRIED + OTHER, Peers(3, 1, ("10.0.1.4",))),
    "nobody": (LISTENS, Peers(3, 3, ("10.0.0.2", "10.0.0.3", "10.0.1.4"))),
    "all": (MADE + TAKEN + line(OWN, 1, FOURTH, 179), Peers(3)),
}


@pytest.mark.parametrize(("table", "seen"), TABLES.values(), ids=TABLES)
def test_peers(table: str, seen: Peers) -> None:
    assert bgp_peers.observe(node(table), 7, "bird") == seen


def test_those_of_bird6_by_the_same_address_in_other_words() -> None:
    zeros = word(0, 0, 0, 0)
    second = word(0xFD, 0, 0, 0) + zeros * 2 + word(0, 0, 0, 2)
    host = node(line(zeros * 4, 40000, second, 179), CONFIG6, "bird6")
    assert bgp_peers.observe(host, 7, "bird6") == Peers(1)
    assert bgp_peers.observe(node("", CONFIG6, "bird6"), 7, "bird6") == Peers(1, 1, ("fd00::2",))


def test_of_many_that_are_lost_some_are_named() -> None:
    config = "".join(f"neighbor 10.0.{number}.1 as 64512;\n" for number in range(99))
    seen = bgp_peers.observe(node("", config), 7, "bird")
    assert seen
    assert (seen.configured, seen.lost, len(seen.named)) == (99, 99, NAMED)


def test_without_a_configuration_nothing_is_said() -> None:
    assert bgp_peers.observe(node(MADE, None), 7, "bird") is None
    assert bgp_peers.observe(FakeHost({}), 7, "bird") is None


def test_a_table_that_is_too_large_is_no_error() -> None:
    class Crowded(FakeHost):
        def read_text(self, path: str) -> str | None:
            if path.endswith("/net/tcp"):
                raise OSError(errno.EFBIG, "File too large", path)
            return super().read_text(path)

    host = Crowded({"/proc/7/root/etc/calico/confd/config/bird.cfg": CONFIG})
    assert bgp_peers.observe(host, 7, "bird") is None
