"""What heartbeat and election timeout have to keep to, and what measurements choose."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import timing
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.evidence import Evidence
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.settings import ELECTION, HEARTBEAT
from hypothesis import given
from hypothesis import strategies as st

RULES: list[tuple[str, int, int, float | None, list[str]]] = [
    ("the defaults of the trap", 250, 5000, 1.0, ["renew_deadline:info"]),
    ("etcd's own defaults", 100, 1000, 1.0, []),
    ("no measurement", 100, 1000, None, []),
    ("no heartbeat", 0, 1000, None, ["refused"]),
    ("no election", 100, 0, None, ["refused"]),
    ("a negative one", -1, 1000, None, ["refused"]),
    ("four heartbeats", 250, 1000, None, ["refused"]),
    ("five heartbeats", 200, 1000, None, ["values:low"]),
    ("nine heartbeats", 110, 1000, None, ["values:low"]),
    ("ten heartbeats", 100, 1000, None, []),
    ("too long", 250, 50001, None, ["refused", "renew_deadline:medium"]),
    ("the longest", 5000, 50000, None, ["renew_deadline:medium"]),
    ("nine round trips", 100, 1000, 100.1, ["refused"]),
    ("ten round trips", 100, 1000, 100.0, []),
    ("just below the edge", 250, 4999, None, []),
    ("just beyond the edge", 250, 5001, None, ["renew_deadline:medium"]),
]


@pytest.mark.parametrize(("beat", "election", "trip", "found"), [c[1:] for c in RULES], ids=[c[0] for c in RULES])
def test_the_rules(beat, election, trip, found):
    seen = timing.problems(beat, election, trip)
    assert ["refused" if problem.refused else f"{problem.id}:{problem.severity}" for problem in seen] == found


def test_the_renewal_says_how_long_there_is_no_leader():
    [problem] = timing.problems(250, 5000)
    assert "5 to 10 s" in problem.what
    assert "10 s (--leader-elect-renew-deadline)" in problem.what


def pair(beat: int, election: int) -> dict[str, int | str]:
    return timing.pair(beat, election)


MIXED: list[tuple[str, list[tuple[int, int]], tuple[int, int], bool]] = [
    ("the usual raise", [(100, 1000)] * 3, (250, 5000), False),
    ("two heartbeats still fit", [(100, 1000)], (500, 5000), False),
    ("a heartbeat as long as the others' election", [(100, 1000)], (1000, 10000), True),
    ("far down", [(500, 5000)], (10, 100), True),
    ("back down", [(250, 5000)], (100, 1000), False),
    ("one odd member", [(100, 1000), (100, 1000), (1000, 10000)], (100, 1000), True),
]


@pytest.mark.parametrize(("present", "wanted", "refused"), [c[1:] for c in MIXED], ids=[c[0] for c in MIXED])
def test_old_and_new_values_have_to_get_along(present, wanted, refused):
    found = list(timing.mixed([pair(*each) for each in present], pair(*wanted)))
    assert bool(found) is refused
    assert all(problem.refused for problem in found)


def evidence(trip: float = 1.0, fsync: float = 2.0, rtt_samples: int = 20, fsync_samples: int = 5000, late: int = 0):
    return Evidence(
        rtt_p99={"a": trip, "b": trip / 2},
        rtt_samples=rtt_samples,
        fsync_p99=fsync,
        fsync_samples=fsync_samples,
        heartbeat_failures=late,
    )


CHOICES: list[tuple[str, list[Evidence], tuple[int, int] | None]] = [
    ("a quiet cluster", [evidence()] * 3, (100, 1000)),
    ("one slow disk of three", [evidence(), evidence(fsync=430.0), evidence()], (450, 4500)),
    ("one far member", [evidence(), evidence(trip=120.0)], (200, 2000)),
    ("exactly a multiple", [evidence(fsync=250.0)], (250, 2500)),
    ("a disk that no timeout helps", [evidence(fsync=5000.1)], None),
    ("too few round trips", [evidence(), evidence(rtt_samples=3)], None),
    ("too few writes", [evidence(fsync_samples=99)], None),
    ("nobody", [], None),
]


@pytest.mark.parametrize(("members", "values"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES])
def test_what_is_measured_chooses(members, values):
    assert timing.measured(members).values == (None if values is None else pair(*values))


def test_the_choice_says_why():
    assert timing.measured([evidence(fsync=12.5, late=7)]).why == (
        "round trip p99 1 ms, WAL fsync p99 12.5 ms (the largest of all members), 7 heartbeats were sent too late"
    )
    assert "3 samples of a round trip, 4 needed" in timing.measured([evidence(rtt_samples=3)]).why
    assert "fewer than 100 samples of its disk" in timing.measured([evidence(fsync_samples=1)]).why
    assert "mend the disk or the network" in timing.measured([evidence(fsync=9000)]).why


def test_a_member_has_to_have_run_for_a_while():
    young = replace(evidence(), running_s=120.0)
    choice = timing.measured([evidence(), young])
    assert (choice.values, choice.is_thin) == (None, True)
    assert "has run for 120 s, 3600 needed (etcd_timing_measured_after)" in choice.why
    assert timing.measured([evidence(), young], after=60).values == pair(100, 1000)


KEPT: list[tuple[str, float, tuple[int, int], bool]] = [
    ("what is chosen", 149.0, (150, 1500), True),
    ("just enough", 150.0, (150, 1500), True),
    ("no more enough", 150.1, (150, 1500), False),
    ("back below the step", 149.9, (200, 2000), True),
    ("twice of it", 149.9, (300, 3000), True),
    ("more than twice of it", 99.0, (250, 2500), False),
    ("an election timeout that is far longer", 99.0, (100, 5000), False),
    ("too few heartbeats", 99.0, (200, 1000), False),
]


@pytest.mark.parametrize(("fsync", "present", "kept"), [c[1:] for c in KEPT], ids=[c[0] for c in KEPT])
def test_values_that_suffice_are_kept_within_a_band(fsync, present, kept):
    assert timing.measured([evidence(fsync=fsync)]).keeps(pair(*present)) is kept
    assert not timing.measured([]).keeps(pair(*present))


def test_a_cluster_of_one_has_no_round_trip():
    alone = Evidence(fsync_p99=120.0, fsync_samples=1000)
    assert timing.measured([alone]).values is None
    assert timing.measured([alone], alone=True).values == pair(150, 1500)
    assert timing.measured([Evidence(fsync_samples=5)], alone=True).values is None


@given(st.lists(st.tuples(st.floats(0, 10000), st.floats(0, 10000)), min_size=1, max_size=5))
def test_whatever_was_measured_the_choice_keeps_to_the_rules(times):
    members = [evidence(trip=trip, fsync=fsync) for trip, fsync in times]
    choice = timing.measured(members)
    trip, fsync = max(t for t, _f in times), max(f for _t, f in times)
    if choice.values is None:
        assert max(1.5 * trip, fsync) > 4950
        return
    beat, election = int(choice.values[HEARTBEAT]), int(choice.values[ELECTION])
    assert not [problem for problem in timing.problems(beat, election, trip) if problem.refused]
    assert election >= 10 * beat
    assert beat % 50 == 0
    assert math.isclose(beat, max(100, 1.5 * trip, fsync), abs_tol=50.01)
