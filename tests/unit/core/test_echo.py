"""One echo that may not be cut into pieces, over this machine's own loopback, whose MTU is 65536."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.echo import (
    ANSWERED,
    LARGEST,
    LOST,
    NOT_SENT,
    SMALLEST,
    echo,
)
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError

IPV6 = Path("/proc/net/if_inet6")  # is not there, or is empty, on a machine that was booted without
# Address, and the largest packet: of IPv4 what its header can tell, of IPv6 what fits the link.
LOOPBACK = [("127.0.0.1", LARGEST)] + ([("::1", 65536)] if IPV6.exists() and IPV6.read_text() else [])


@pytest.mark.parametrize("size", [SMALLEST, 1499, 1500, LARGEST])
@pytest.mark.parametrize(("address", "most"), LOOPBACK)
def test_it_is_answered(address, most, size):
    assert size <= most
    assert echo(address, size, 5.0) == ANSWERED


@pytest.mark.parametrize(("address", "most"), LOOPBACK)
def test_what_is_too_large_does_not_leave_the_node(address, most):
    assert echo(address, most, 5.0) == ANSWERED
    assert echo(address, most + 1, 5.0) == NOT_SENT


class Late(socket.socket):
    """Its process is off the CPU after it has sent, for longer than it would wait."""

    def sendto(self, *words: Any) -> int:
        sent = super().sendto(*words)
        time.sleep(0.1)
        return sent


class Deaf(socket.socket):
    """Sends nothing, so nobody answers."""

    def sendto(self, data: Any, *_words: Any) -> int:
        return len(data)


class Flooded(Deaf):
    """Gets other processes' ICMP faster than it can be read."""

    def recv(self, *_words: int) -> bytes:
        return bytes([0x45]).ljust(SMALLEST, b"\0")

    def fileno(self) -> int:
        return self.readable

    readable = -1


class Full(socket.socket):
    """Cannot send, for the time being or ever."""

    number = errno.ENOBUFS

    def sendto(self, *_words: Any) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(("address", "_most"), LOOPBACK)
def test_an_answer_that_is_there_counts_though_the_patience_is_over(monkeypatch, address, _most):
    monkeypatch.setattr(socket, "socket", Late)
    assert echo(address, SMALLEST, 0.0) == ANSWERED


@pytest.mark.parametrize("patience", [0.0, 0.2])
def test_an_answer_is_not_waited_for_beyond_the_patience(monkeypatch, patience):
    monkeypatch.setattr(socket, "socket", Deaf)
    start = time.monotonic()
    assert echo("127.0.0.1", SMALLEST, patience) == LOST
    assert time.monotonic() - start >= patience


def test_what_is_not_for_us_does_not_keep_it_waiting_for_ever(monkeypatch):
    reading, writing = os.pipe()
    os.close(writing)  # the end of a pipe can always be read
    monkeypatch.setattr(Flooded, "readable", reading)
    monkeypatch.setattr(socket, "socket", Flooded)
    assert echo("127.0.0.1", SMALLEST, 0.0) == LOST
    os.close(reading)


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOBUFS, LOST), (errno.EMSGSIZE, NOT_SENT), (errno.ENETUNREACH, NOT_SENT), (errno.EPERM, NOT_SENT)],
)
def test_only_what_will_be_refused_again_is_told_as_not_sent(monkeypatch, number, told):
    monkeypatch.setattr(Full, "number", number)
    monkeypatch.setattr(socket, "socket", Full)
    assert echo("127.0.0.1", SMALLEST, 0.0) == told


def kernel_that_refuses(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_words: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", refuse)


def test_a_node_without_ipv6_sends_nothing_to_an_ipv6_address(monkeypatch):
    kernel_that_refuses(monkeypatch, errno.EAFNOSUPPORT)
    assert echo("2001:db8::1", SMALLEST, 0.0) == NOT_SENT


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_without_the_capability_the_error_says_so(monkeypatch, number):
    kernel_that_refuses(monkeypatch, number)
    with pytest.raises(NodewardError) as told:
        echo("2001:db8::1", SMALLEST, 0.0)
    assert told.value.where == "raw socket for IPv6"
    assert "CAP_NET_RAW" in told.value.what
    assert "NET_RAW" in told.value.remedy


def test_what_else_keeps_a_socket_from_being_opened_is_not_hidden(monkeypatch):
    kernel_that_refuses(monkeypatch, errno.EMFILE)
    with pytest.raises(NodewardError, match="no ICMP echo can be sent: Too many open files") as told:
        echo("192.0.2.1", SMALLEST, 0.0)
    assert told.value.where == "raw socket for IPv4"
