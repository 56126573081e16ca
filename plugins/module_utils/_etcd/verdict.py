# Private to the collection nodeward.calico: may change in any release.
"""Whether the defragmentation of one member pays, and what speaks against it. Pure.

Source of the thresholds: the alerts of etcd's mixin.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._core.formats import UnsureError
from .._core.formats.yaml_lines import scalars
from . import version
from .seen import Seen
from .thresholds import LEAST_BYTES, MOST_IN_USE

# Bytes a second that a copy manages on a slow disk; etcd's own metric says "about 1 second per 100 MB".
SPEED = 100 * 1024**2 / 2
# kubeadm's liveness probe of etcd: every 10 s, 8 failures (util/staticpod/utils.go). For a pod that tells of no other.
BUDGET = 80.0
# Where the others are no quorum, nobody writes meanwhile: after so many seconds without a sign of life the controller
# manager takes every node for lost (node-monitor-grace-period).
OUTAGE_BUDGET = 40.0
# Seconds that a copy is given beyond what is predicted, before the answer is no longer waited for.
EXTRA = 30.0


@dataclass(frozen=True)
class Policy:
    """When it pays: at least so many bytes to win, of a database that is in use by no more than this share."""

    least_bytes: int = LEAST_BYTES
    most_in_use: float = MOST_IN_USE
    allow: bool = False
    any_version: bool = False
    allow_outage: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether a member is worth it, and what it would take: ``wins`` in bytes, ``seconds`` predicted.

    ``refused`` says why it is not done, or would not be if it were worth it.
    """

    pays: bool
    wins: int
    seconds: float
    why: str
    refused: str = ""


def judge(
    size: int,
    in_use: int,
    running: version.Version,
    policy: Policy,
    budget: float | None = BUDGET,
    is_spare: bool = True,
) -> Verdict:
    """Decide by the sizes of one member's database, in bytes; pure.

    ``budget`` are the seconds without an answer after which the kubelet kills the member, None where it does not.
    ``is_spare``: the others are a quorum without it.
    """
    # what is copied is what is in use
    wins, seconds = max(size - in_use, 0), predicted(min(in_use, size))
    share = in_use / size if size else 1.0
    told = f"{size} bytes, {share:.0%} in use"
    refused = _refused(seconds, running, policy.any_version, budget) or ("" if is_spare else _outage(seconds))
    if wins < policy.least_bytes:
        return Verdict(False, wins, seconds, f"{told}: {wins} bytes to win, below {policy.least_bytes}", refused)
    if share > policy.most_in_use:
        return Verdict(False, wins, seconds, f"{told}: more than {policy.most_in_use:.0%}", refused)
    return Verdict(True, wins, seconds, told, refused)


def predicted(in_use: int) -> float:
    """Return how long a copy of so many bytes may take, in seconds."""
    return round(in_use / SPEED, 1)


def patience(in_use: int) -> float:
    """Return how long its answer is waited for, in seconds."""
    return 2 * predicted(in_use) + EXTRA


def budget(found: Seen) -> float | None:
    """Return after how many seconds without an answer the kubelet kills a member, None where it does not look."""
    place = next((place for place in found.site.places if place.format == "pod-flags"), None)
    if place is None:
        return BUDGET if found.running.is_pod else None
    try:
        probe = {path[3:]: value for path, value in scalars(place.text).items() if path[:2] == ("spec", "containers")}
    except UnsureError:
        return BUDGET
    given = {path[-1]: value for path, value in probe.items() if path[:1] == ("livenessProbe",)}
    if not given:
        return None
    # the kubelet's own defaults (core/v1 Probe): every 10 s, 3 failures
    period, failures = (given.get(name, str(usual)) for name, usual in (("periodSeconds", 10), ("failureThreshold", 3)))
    return float(int(period) * int(failures)) if period.isdecimal() and failures.isdecimal() else BUDGET


def _refused(seconds: float, running: version.Version, any_version: bool, budget: float | None) -> str:
    if not any_version and not version.defrag_is_safe(running):
        number = ".".join(map(str, running))
        return (
            f"etcd {number} can corrupt a database that is defragmented while it takes a snapshot from the leader "
            "(etcd-io/etcd#20271, mended in 3.4.38, 3.5.23 and 3.6.5)"
        )
    if budget is not None and seconds > budget / 2:
        return (
            f"it may take {seconds:.0f} s, more than half of what the kubelet gives etcd before it kills it "
            f"({budget:.0f} s); raise the liveness probe's failureThreshold, or delete what fills it first"
        )
    return ""


def _outage(seconds: float) -> str:
    if seconds <= OUTAGE_BUDGET:
        return ""
    return (
        f"the cluster may take no write for {seconds:.0f} s, as it cannot miss this member, and after "
        f"{OUTAGE_BUDGET:.0f} s all nodes count as lost; delete what fills it first, or add members"
    )
