"""Messages of the kernel, as Linux 6.18 sent them and as they might be cut off."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import netlink_messages as messages
from ansible_collections.nodeward.calico.plugins.module_utils._core.links import Address, DefaultRoute, Link
from hypothesis import given
from hypothesis import strategies as st


def packed(attributes: dict[int, bytes]) -> bytes:
    text = b""
    for kind, value in attributes.items():
        text += struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
    return text


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def message(attributes: dict[int, bytes], **fixed: int) -> dict[str, Any]:
    return {"attributes": attributes, **fixed}


VXLAN = packed({1: b"vxlan\0", 2: packed({1: u32(4096), 4: socket.inet_aton("192.0.2.4")})})
VXLAN6 = packed({1: b"vxlan\0", 2: packed({17: socket.inet_pton(socket.AF_INET6, "2001:db8::4")})})
VXLAN_ANY = packed({1: b"vxlan\0", 2: packed({4: bytes(4)})})
LINKS: list[tuple[str, dict[int, bytes], int, Link]] = [
    ("loopback", {3: b"lo\0", 4: u32(65536)}, 0x49, Link(1, "lo", 65536, loopback=True)),
    ("hardware", {3: b"eth0\0", 4: u32(1500), 50: u32(68), 51: u32(9710), 10: u32(7)}, 0x1003,
     Link(1, "eth0", 1500, min_mtu=68, max_mtu=9710, master=7)),
    ("a pod's veth", {3: b"cali1\0", 4: u32(1450), 5: u32(3), 37: u32(0), 18: packed({1: b"veth\0"})}, 0x1003,
     Link(1, "cali1", 1450, "veth", lower=3, netnsid=0)),
    ("no namespace id yet", {3: b"cali1\0", 4: u32(1450), 37: struct.pack("=i", -1)}, 0x1002,
     Link(1, "cali1", 1450, netnsid=-1, up=False)),
    ("vxlan", {3: b"v\0", 4: u32(1450), 18: VXLAN}, 1, Link(1, "v", 1450, "vxlan", local="192.0.2.4")),
    ("vxlan over IPv6", {3: b"v\0", 4: u32(1430), 18: VXLAN6}, 1, Link(1, "v", 1430, "vxlan", local="2001:db8::4")),
    ("vxlan from anywhere", {3: b"v\0", 4: u32(1430), 18: VXLAN_ANY}, 1, Link(1, "v", 1430, "vxlan")),
    ("a name that is no text", {3: b"\xff\0", 4: u32(1)}, 1, Link(1, "\udcff", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "flags", "link"), [c[1:] for c in LINKS], ids=[c[0] for c in LINKS])
def test_links(attributes, flags, link):
    assert messages.link(message(attributes, index=1, flags=flags)) == link


def test_addresses():
    v4 = message({1: socket.inet_aton("192.0.2.9"), 2: socket.inet_aton("192.0.2.4")}, index=2)
    assert messages.address(v4) == Address("192.0.2.4", 2), "of a point-to-point link the own one"
    v6 = message({1: socket.inet_pton(socket.AF_INET6, "2001:db8::4")}, index=3)
    assert messages.address(v6) == Address("2001:db8::4", 3)
    assert messages.address(message({}, index=3)) == Address("", 3)


HOPS = struct.pack("=HBBi", 8, 0, 0, 4) + struct.pack("=HBBi", 16, 0, 0, 5) + packed({5: bytes(4)})
ROUTES: list[tuple[str, dict[str, int], dict[int, bytes], list[DefaultRoute]]] = [
    ("plain", {}, {4: u32(2), 15: u32(254)}, [DefaultRoute(4, 254, 0, 2)]),
    ("with a metric, of a VRF", {}, {4: u32(2), 6: u32(100), 15: u32(1001)}, [DefaultRoute(4, 1001, 100, 2)]),
    ("of IPv6", {"family": socket.AF_INET6}, {4: u32(2)}, [DefaultRoute(6, 254, 0, 2)]),
    ("by two links", {}, {9: HOPS, 15: u32(254)}, [DefaultRoute(4, 254, 0, 4), DefaultRoute(4, 254, 0, 5)]),
    ("to a network", {"dst_len": 24}, {4: u32(2)}, []),
    ("to nowhere", {"type": 7}, {4: u32(1)}, []),
    ("by nothing", {}, {15: u32(254)}, []),
    ("cut off", {}, {9: struct.pack("=HBBi", 2, 0, 0, 4)}, []),
]


@pytest.mark.parametrize(("fixed", "attributes", "routes"), [c[1:] for c in ROUTES], ids=[c[0] for c in ROUTES])
def test_default_routes(fixed, attributes, routes):
    given = message(attributes, **{"family": socket.AF_INET, "dst_len": 0, "type": 1, "table": 254, **fixed})
    assert list(messages.default_routes(given)) == routes


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_are_read_as_they_were_written(attributes):
    text = packed(attributes)
    assert messages.attributes(text, 0, len(text)) == attributes


@given(st.binary(max_size=60))
def test_garbage_is_no_error(text):
    messages.attributes(text, 0, len(text))
