"""One echo that may not be cut into pieces, over this machine's own loopback, whose MTU is 65536."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

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


@pytest.mark.parametrize(("address", "_most"), LOOPBACK)
def test_an_answer_is_not_waited_for_beyond_the_patience(address, _most):
    assert echo(address, SMALLEST, 0.0) == LOST


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
    with pytest.raises(OSError, match="Too many open files"):
        echo("192.0.2.1", SMALLEST, 0.0)
