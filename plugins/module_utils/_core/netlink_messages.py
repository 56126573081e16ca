# Private to the collection nodeward.calico: may change in any release.
"""What the kernel's messages about links, addresses and routes mean; pure."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .links import MAIN_TABLE, Address, DefaultRoute, Link

# linux/if_link.h IFLA_*, IFLA_INFO_*, IFLA_VXLAN_*; linux/if_addr.h IFA_*; linux/rtnetlink.h RTA_*, RTN_*;
# linux/if.h IFF_*
_IFNAME, _MTU, _LINK, _MASTER, _LINKINFO, _LINK_NETNSID, _MIN_MTU, _MAX_MTU = 3, 4, 5, 10, 18, 37, 50, 51
TARGET_NETNSID = 46
_INFO_KIND, _INFO_DATA = 1, 2
_VXLAN_LOCAL, _VXLAN_LOCAL6 = 4, 17
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE = 4, 6, 9, 15
_UNICAST = 1
_UP, _LOOPBACK = 0x1, 0x8

_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK
_NEXT_HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, weight, link

Attributes = dict[int, bytes]
# A message as pyroute2 gives it: the fields of its fixed part by name, and "attributes".
Message = Mapping[str, Any]


def attributes(data: Any, start: int, end: int) -> Attributes:
    """Return the attributes between two places of a message, by their type; what is cut off is left out."""
    found: Attributes = {}
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = bytes(data[start + _ATTRIBUTE.size : start + length])
        start += (length + 3) & ~3
    return found


def _number(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value, sys.byteorder, signed=True)


def _text(value: bytes) -> str:
    return os.fsdecode(value.rstrip(b"\0"))


def link(message: Message) -> Link:
    """Read an RTM_NEWLINK."""
    had: Attributes = message["attributes"]
    info = had.get(_LINKINFO, b"")
    about = attributes(info, 0, len(info))
    kind = _text(about.get(_INFO_KIND, b""))
    return Link(
        index=message["index"],
        name=_text(had[_IFNAME]),
        mtu=_number(had.get(_MTU)) or 0,
        kind=kind,
        min_mtu=_number(had.get(_MIN_MTU)) or 0,
        max_mtu=_number(had.get(_MAX_MTU)) or 0,
        master=_number(had.get(_MASTER)),
        lower=_number(had.get(_LINK)) or None,
        netnsid=_number(had.get(_LINK_NETNSID)),
        up=bool(message["flags"] & _UP),
        loopback=bool(message["flags"] & _LOOPBACK),
        local=_local(about.get(_INFO_DATA, b"")) if kind == "vxlan" else "",
    )


def _local(vxlan: bytes) -> str:
    had = attributes(vxlan, 0, len(vxlan))
    outer = had.get(_VXLAN_LOCAL) or had.get(_VXLAN_LOCAL6) or b""
    return _address_text(outer) if any(outer) else ""


def address(message: Message) -> Address:
    """Read an RTM_NEWADDR."""
    had: Attributes = message["attributes"]
    # of a point-to-point link IFA_ADDRESS is the other end's
    return Address(_address_text(had.get(_IFA_LOCAL) or had.get(_IFA_ADDRESS, b"")), message["index"])


def _address_text(address: bytes) -> str:
    families = {4: socket.AF_INET, 16: socket.AF_INET6}
    return socket.inet_ntop(families[len(address)], address) if len(address) in families else ""


def default_routes(message: Message) -> Iterator[DefaultRoute]:
    """Return a default route for each link that it leads out by; none for a route to somewhere, or to nowhere."""
    if message["dst_len"] != 0 or message["type"] != _UNICAST:
        return
    had: Attributes = message["attributes"]
    for index in [_number(had.get(_RTA_OIF)), *_next_hops(had.get(_RTA_MULTIPATH, b""))]:
        if index:
            yield DefaultRoute(
                family=4 if message["family"] == socket.AF_INET else 6,
                table=_number(had.get(_RTA_TABLE)) or message["table"] or MAIN_TABLE,
                metric=_number(had.get(_RTA_PRIORITY)) or 0,
                link=index,
            )


def _next_hops(hops: bytes) -> Iterator[int]:
    start = 0
    while start + _NEXT_HOP.size <= len(hops):
        length, _flags, _weight, index = _NEXT_HOP.unpack_from(hops, start)
        if length < _NEXT_HOP.size:
            break
        yield index
        start += (length + 3) & ~3
