"""One echo that may not be cut into pieces, over this machine's own loopback, whose MTU is 65536."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.echo import ANSWERED, LOST, NOT_SENT, SMALLEST, echo

LARGEST = 65535  # bytes of a packet of IPv4, header included


@pytest.mark.parametrize("size", [SMALLEST, 1499, 1500, LARGEST])
def test_it_is_answered(size):
    assert echo("127.0.0.1", size, 5.0) == ANSWERED


def test_what_is_too_large_does_not_leave_the_node():
    assert echo("127.0.0.1", LARGEST + 1, 5.0) == NOT_SENT


def test_an_answer_is_not_waited_for_beyond_the_patience():
    assert echo("127.0.0.1", SMALLEST, 0.0) == LOST
