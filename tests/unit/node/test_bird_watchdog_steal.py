"""What a hypervisor takes from a node counts into what a BIRD wanted; verdicts are in test_bird_watchdog_decision."""

from __future__ import annotations

from itertools import pairwise

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import (
    TICKS,
    Sample,
    share,
    wanted,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_reading import measure, node_times
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.floats(0, 1e4)


@given(st.lists(st.tuples(st.floats(0.01, 100), *[TIMES] * 4), min_size=1, max_size=20))
def test_what_it_wanted_is_at_least_what_it_had_and_no_theft_makes_it_more_than_a_core(steps):
    samples = [Sample(0.0, 0.0)]
    for step in steps:
        at, cpu, wait, busy, stolen = (
            have + more for have, more in zip(samples[-1][:3] + samples[-1][4:], step, strict=True)
        )
        samples.append(Sample(at, cpu, wait, 1.0, busy, stolen))
    for (before, now), (first, last) in zip(pairwise(samples), pairwise(wanted(samples)), strict=True):
        known, elapsed = now.cpu - before.cpu + now.wait - before.wait, now.at - before.at
        slack = 1e-6 * (1 + last.cpu)
        assert known - slack <= last.cpu - first.cpu <= max(known, elapsed) + slack


def test_a_counter_that_goes_backwards_steals_nothing():
    """Steal may: the host restates it after a migration, and the kernel says so."""
    samples = [Sample(0.0, 0.0, 0.0, 1.0, 50.0, 9.0), Sample(10.0, 4.0, 1.0, 1.0, 60.0, 3.0)]
    assert share(wanted(samples)) == 50.0
    assert share(wanted([samples[0], samples[1]._replace(busy=40.0, stolen=99.0)])) == 50.0


STATS = [
    ("a virtual machine", "cpu  1000 200 300 9000 50 0 100 400 70 0\ncpu0 1 2 3\n", (1600, 400)),
    ("a kernel before steal", "cpu 1 2 3 4\n", (0, 0)),
    ("unreadable", "", (0, 0)),
]


@pytest.mark.parametrize(("text", "ticks"), [case[1:] for case in STATS], ids=[case[0] for case in STATS])
def test_the_times_of_a_node_are_read(text, ticks):
    assert [round(each * TICKS) for each in node_times(text)] == [*ticks]


def test_a_sample_has_the_times_of_its_node():
    files = {"/proc/7/schedstat": "1 2500000000 3", "/proc/stat": STATS[0][1]}
    sample = measure(1.0, 2.0, "/proc/7", files.get, "/sys/fs/cgroup")
    assert sample == Sample(1.0, 2.0, 2.5, 1.0, 1600 / TICKS, 400 / TICKS)
