# Private to the collection nodeward.calico: may change in any release.
"""Heartbeat and election timeout: what they must keep to, and what a cluster's own metrics would choose.

Sources: etcd's tuning guide ("Time parameters") and server/embed/config.go (Validate), 3.4 to 3.7; for the
controller-manager k8s.io/component-base config/v1alpha1/defaults.go (LeaseDuration 15 s, RenewDeadline 10 s).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from .evidence import Evidence
from .settings import ELECTION, HEARTBEAT, Value, Values

# etcd refuses to start outside of these (milliseconds; heartbeats in an election timeout).
LONGEST_ELECTION = 50000
FEWEST_HEARTBEATS = 5
# raft's own advice (etcd-io/raft raft.go: "ElectionTick = 10 * HeartbeatTick"), and the tuning guide's for the RTT.
GOOD_HEARTBEATS = 10
ROUND_TRIPS = 10
# A follower campaigns between one and two election timeouts after the last heartbeat, so beyond half of the
# renew deadline the end of a leader may end the controller-manager and the scheduler too.
RENEW_DEADLINE = 10000

# Bounds and grain of what `measured` chooses, in milliseconds: etcd's own default is the least.
LEAST = 100
GRAIN = 50
# How many samples each peer and disk must have: the prober notes a round trip every 30 s.
RTT_SAMPLES = 4
FSYNC_SAMPLES = 100
# How long every member has to have run: what a quiet minute after a start tells is not how it is.
LEAST_RUNNING = 3600  # seconds
# Values that are there already stay while they suffice and are at most this many times what would be chosen, so that
# a measurement at the edge of a step does not restart the members again and again.
BAND = 2

# While members are restarted one by one, old and new values meet: a follower needs this many heartbeats.
MIXED_HEARTBEATS = 2


@dataclass(frozen=True)
class Problem:
    """Something wrong with a pair of values: ``refused``, or one that only deserves a word (a severity)."""

    what: str
    refused: bool = False
    severity: str = "medium"
    id: str = "values"


@dataclass(frozen=True)
class Choice:
    """What the measurements choose, None where they do not suffice, and why: a sentence for people.

    ``is_thin``: there are too few of them yet. ``least`` is what would just do, not rounded to a step.
    """

    values: Values | None
    why: str
    is_thin: bool = False
    least: tuple[float, float] = (0.0, 0.0)

    def keeps(self, present: Values) -> bool:
        """Tell whether values that are there are as good as the choice."""
        if self.values is None:
            return False
        least = dict(zip((HEARTBEAT, ELECTION), self.least))
        fits = all(least[name] <= int(present[name]) <= BAND * int(self.values[name]) for name in least)
        return fits and int(present[ELECTION]) >= GOOD_HEARTBEATS * int(present[HEARTBEAT])


def problems(heartbeat: int, election: int, round_trip: float | None = None) -> Iterator[Problem]:
    """Find what speaks against a heartbeat interval and an election timeout; all in milliseconds.

    ``round_trip`` is the usual one, a median: a member that stood still for a minute spoils its p99 for hours, and must
    not keep the remedy away.
    """
    if heartbeat <= 0 or election <= 0:
        yield Problem("heartbeat interval and election timeout must be above 0", refused=True)
        return
    if election < FEWEST_HEARTBEATS * heartbeat:
        yield Problem(
            f"the election timeout ({election} ms) must be at least {FEWEST_HEARTBEATS} heartbeat intervals "
            f"({heartbeat} ms), or etcd does not start",
            refused=True,
        )
    elif election < GOOD_HEARTBEATS * heartbeat:
        yield Problem(
            f"the election timeout ({election} ms) is below {GOOD_HEARTBEATS} heartbeat intervals ({heartbeat} ms), "
            "so few lost heartbeats make an election",
            severity="low",
        )
    if election > LONGEST_ELECTION:
        yield Problem(
            f"the election timeout ({election} ms) is above {LONGEST_ELECTION}, etcd does not start", refused=True
        )
    if round_trip is not None and election < ROUND_TRIPS * round_trip:
        yield Problem(
            f"the election timeout ({election} ms) must be at least {ROUND_TRIPS} round trips between the members "
            f"({round_trip:g} ms, the median since they started): {_rounded(ROUND_TRIPS * round_trip)} or more",
            refused=True,
        )
    yield from _renewal(election)


def _renewal(election: int) -> Iterator[Problem]:
    """Say what the controller-manager's lease makes of an election timeout."""
    longest = 2 * election
    if longest >= RENEW_DEADLINE:
        yield Problem(
            f"after the hard end of a leader the cluster is without one for {election / 1000:g} to "
            f"{longest / 1000:g} s, and controller-manager and scheduler give up theirs after "
            f"{RENEW_DEADLINE // 1000} s (--leader-elect-renew-deadline)",
            severity="info" if longest == RENEW_DEADLINE else "medium",
            id="renew_deadline",
        )


def mixed(present: Collection[Values], wanted: Values) -> Iterator[Problem]:
    """Refuse a step so large that members with old values and with new ones would not keep a leader together."""
    everything = [*present, wanted]
    heartbeat = max(_number(values, HEARTBEAT) for values in everything)
    election = min(_number(values, ELECTION) for values in everything)
    if election < MIXED_HEARTBEATS * heartbeat:
        yield Problem(
            f"while the members are restarted one by one, a heartbeat every {heartbeat} ms would meet an election "
            f"timeout of {election} ms; go by values in between, two runs instead of one",
            refused=True,
        )


def _number(values: Values, name: str) -> int:
    return int(values[name])


def measured(members: Collection[Evidence], alone: bool = False, after: int = LEAST_RUNNING) -> Choice:
    """Choose by what the members' own metrics have counted since they started; pure.

    All in milliseconds, R the largest p99 of the round trip between two members, F the largest p99 of a WAL fsync:

        heartbeat = max(100, 1.5 x R, F), rounded up to a multiple of 50
        election  = max(10 x heartbeat, 10 x R), rounded up to a multiple of 50

    The tuning guide asks for a heartbeat of 0.5 to 1.5 round trips and an election timeout of 10; a leader sends
    no heartbeat while its disk makes it wait (FAQ: "disk latency is part of leader liveness"), hence F. Nothing is
    chosen (values None) with fewer than 4 samples of a peer (it notes one every 30 s) or 100 of a disk, for a member
    that has not run for ``after`` seconds, and where the result would be above 50000 ms: then no timeout helps, but a
    faster disk or a nearer member. ``alone`` is for a cluster of one member, which has no round trip.
    """
    thin = _why_thin(members, alone, after)
    if thin:
        return Choice(None, f"not enough was counted yet: {thin}", is_thin=True)
    trip = largest_round_trip(members) or 0.0
    fsync = max(each.fsync_p99 or 0.0 for each in members)
    heartbeat = _rounded(max(LEAST, 1.5 * trip, fsync))
    election = _rounded(max(GOOD_HEARTBEATS * heartbeat, ROUND_TRIPS * trip))
    why = f"round trip p99 {trip:g} ms, WAL fsync p99 {fsync:g} ms (the largest of all members){_harm(members)}"
    if election > LONGEST_ELECTION:
        return Choice(None, f"{why}: no election timeout is long enough for that; mend the disk or the network")
    needed = max(LEAST, 1.5 * trip, fsync)
    least = (needed, max(GOOD_HEARTBEATS * needed, ROUND_TRIPS * trip))
    return Choice({HEARTBEAT: heartbeat, ELECTION: election}, why, least=least)


def largest_round_trip(members: Iterable[Evidence]) -> float | None:
    """Return the largest p99 of the round trip between two members, in milliseconds; None without a sample."""
    return max((trip for each in members for trip in each.rtt_p99.values()), default=None)


def usual_round_trip(members: Iterable[Evidence]) -> float | None:
    """Return the largest median of the round trip between two members, in milliseconds; None with few samples."""
    return max(
        (trip for each in members if each.rtt_samples >= RTT_SAMPLES for trip in each.rtt_median.values()), default=None
    )


def stalls(election: int, members: Collection[Evidence]) -> Iterator[Problem]:
    """Say that a member or its network stood still: its longest round trips are near the election timeout."""
    usual, longest = usual_round_trip(members), largest_round_trip(members)
    if usual is not None and longest is not None and ROUND_TRIPS * usual <= election < ROUND_TRIPS * longest:
        yield Problem(
            f"a member or the network between them has stood still at times: round trips of up to {longest:g} ms (p99 "
            f"since they started), usually {usual:g} ms",
            severity="low",
            id="stalls",
        )


def _why_thin(members: Collection[Evidence], alone: bool, after: int) -> str:
    """Say what is missing, '' where nothing is."""
    trips = min((each.rtt_samples for each in members), default=0)
    youngest = min((each.running_s for each in members if each.running_s is not None), default=float(after))
    if trips < RTT_SAMPLES and not alone:
        return f"{trips} samples of a round trip, {RTT_SAMPLES} needed (one comes every 30 s)"
    if not members or any(each.fsync_samples < FSYNC_SAMPLES for each in members):
        return f"a member has fewer than {FSYNC_SAMPLES} samples of its disk"
    if youngest < after:
        return f"a member has run for {youngest:.0f} s, {after} needed (etcd_timing_measured_after)"
    return ""


def _harm(members: Collection[Evidence]) -> str:
    late = sum(each.heartbeat_failures for each in members)
    return f", {late} heartbeats were sent too late" if late else ""


def _rounded(value: float) -> int:
    return math.ceil(value / GRAIN) * GRAIN


def pair(heartbeat: Value, election: Value) -> dict[str, Value]:
    """Return the two values by etcd's names."""
    return {HEARTBEAT: heartbeat, ELECTION: election}
