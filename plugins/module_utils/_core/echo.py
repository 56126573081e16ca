# Private to the collection nodeward.calico: may change in any release.
"""One ICMP echo of a given size that no router may cut into pieces. Needs CAP_NET_RAW."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import struct
import time

from .errors import NodewardError

# What comes back: the answer, nothing within the patience (another try may help), or the node's own kernel does not let
# it out (the link that it leaves by is smaller, or there is no way).
ANSWERED, LOST, NOT_SENT = "answered", "lost", "not sent"

# include/uapi/linux/in.h and in6.h; Python's socket module has not all of them.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG = 10, 23, 62
# IP_PMTUDISC_PROBE: don't fragment, and go by the link alone, not by a route's mtu or what was learnt about the path
_PROBE = 3

_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence (RFC 792, RFC 4443)
# By IP version: the header of IP in bytes, the types of the request and of its answer.
_IP_HEADER = {4: 20, 6: 40}
_REQUEST, _ANSWER = {4: 8, 6: 128}, {4: 0, 6: 129}
SMALLEST = 64  # bytes; room for the headers of both versions and what tells an answer from others
LARGEST = 65535  # bytes; what the field for the length of an IPv4 packet holds (RFC 791)
# Packets that are looked at after the patience: a socket's buffer of the usual size (net.core.rmem_default) has fewer.
_LATE = 1000


def echo(address: str, size: int, patience: float) -> str:
    """Send one packet of ``size`` bytes, IP header included, and wait ``patience`` seconds for its answer.

    Raises NodewardError where this process cannot open a raw socket.
    """
    version = ipaddress.ip_address(address).version
    told = os.urandom(8)  # by this an answer is known: the identifier may be another process's too
    body = told.ljust(size - _IP_HEADER[version] - _HEADER.size, b"\0")
    try:
        opened = _socket(version)
    except PermissionError as error:
        raise NodewardError(
            what="no ICMP echo can be sent: this process has not CAP_NET_RAW",
            where=f"raw socket for IPv{version}",
            remedy="Run as root; in a container add the capability NET_RAW",
        ) from error
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return NOT_SENT  # a node that was booted with ipv6.disable=1
        raise NodewardError(
            what=f"no ICMP echo can be sent: {error.strerror}",
            where=f"raw socket for IPv{version}",
            remedy="Mend that on the node (ulimit -n tells how many files may be open), then run again",
        ) from error
    with opened as sender:
        try:
            sender.sendto(_packet(version, body), (address, 0))
        except OSError as error:
            # no room to queue it is as on a full link further on; else too large for its link, no way there, link down
            return LOST if error.errno == errno.ENOBUFS else NOT_SENT
        return ANSWERED if _is_answered(sender, version, told, time.monotonic() + patience) else LOST


def _socket(version: int) -> socket.socket:
    if version == 4:
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
    else:
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
    return made


def _packet(version: int, body: bytes) -> bytes:
    identifier = os.getpid() & 0xFFFF
    without = _HEADER.pack(_REQUEST[version], 0, 0, identifier, 1) + body
    # ICMPv6's checksum is the kernel's matter (RFC 3542 section 3.1)
    return _HEADER.pack(_REQUEST[version], 0, _checksum(without) if version == 4 else 0, identifier, 1) + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _is_answered(sender: socket.socket, version: int, told: bytes, until: float) -> bool:
    """Read what comes, all ICMP that the node gets, until the answer to ours is there or the time is over.

    What came by then counts: a process that got no processor meanwhile finds its answer later than it was there.
    """
    late = 0
    while late < _LATE:
        left = until - time.monotonic()
        late += left <= 0
        if not select.select([sender], [], [], max(left, 0))[0]:
            break
        received = sender.recv(65535)
        # only IPv4 comes with the header of IP, whose length is in its first byte (raw(7))
        start = (received[0] & 0x0F) * 4 if version == 4 else 0
        body = start + _HEADER.size
        if received[start : start + 1] == bytes([_ANSWER[version]]) and received[body : body + len(told)] == told:
            return True
    return False
