# Private to the collection nodeward.calico: may change in any release.
"""What one member's metrics say about its disk, its peers and itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from . import metrics
from .metrics import Metrics


@dataclass(frozen=True)
class Evidence:
    """Times in milliseconds, quantiles over as long as the member has run; None where nothing was counted.

    ``rtt_p99`` and ``rtt_median`` are by the peer's id: etcd's prober smooths the time and notes it every 30 s.
    ``heartbeat_failures`` are heartbeats that a leader sent more than twice the interval too late.
    """

    member_id: str = ""
    version: str = ""
    running_s: float | None = None
    rtt_p99: Mapping[str, float] = field(default_factory=dict)
    rtt_median: Mapping[str, float] = field(default_factory=dict)
    rtt_samples: int = 0
    fsync_p99: float | None = None
    fsync_samples: int = 0
    commit_p99: float | None = None
    heartbeat_failures: int = 0
    leader_changes: int = 0
    is_leader: bool = False
    is_learner: bool = False
    has_leader: bool = False
    db_size: int = 0
    db_in_use: int = 0
    defrag_runs: bool = False

    @classmethod
    def of(cls, seen: Metrics, now: float | None = None) -> Evidence:
        """Read the metrics of one member; ``now`` is in seconds since 1970."""
        fsync = seen.histograms(metrics.FSYNC).get("", metrics.Histogram())
        commit = seen.histograms(metrics.COMMIT).get("", metrics.Histogram())
        peers = {peer: each for peer, each in seen.histograms(metrics.RTT, "To").items() if each.count}
        started = seen.value("process_start_time_seconds")
        return cls(
            member_id=_label(seen, "etcd_server_id", "server_id"),
            version=_label(seen, "etcd_server_version", "server_version"),
            running_s=None if started is None or now is None else round(max(now - started, 0.0), 1),
            rtt_p99={peer: _ms(each.quantile(0.99)) or 0.0 for peer, each in sorted(peers.items())},
            rtt_median={peer: _ms(each.quantile(0.5)) or 0.0 for peer, each in sorted(peers.items())},
            # the peer that was met least tells how much is known
            rtt_samples=int(min((each.count for each in peers.values()), default=0)),
            fsync_p99=_ms(fsync.quantile(0.99)),
            fsync_samples=int(fsync.count),
            commit_p99=_ms(commit.quantile(0.99)),
            heartbeat_failures=_count(seen, "etcd_server_heartbeat_send_failures_total"),
            leader_changes=_count(seen, "etcd_server_leader_changes_seen_total"),
            is_leader=bool(_count(seen, "etcd_server_is_leader")),
            is_learner=bool(_count(seen, "etcd_server_is_learner")),
            has_leader=bool(_count(seen, "etcd_server_has_leader")),
            db_size=_count(seen, "etcd_mvcc_db_total_size_in_bytes"),
            db_in_use=_count(seen, "etcd_mvcc_db_total_size_in_use_in_bytes"),
            defrag_runs=bool(_count(seen, "etcd_disk_defrag_inflight")),
        )

    def shown(self) -> dict[str, Any]:
        """Shape it for results."""
        return asdict(self)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Evidence:
        """Read what shown() wrote, on the controller; what is not known is passed over."""
        return cls(**{name: told[name] for name in cls.__dataclass_fields__ if name in told})


def _label(seen: Metrics, name: str, label: str) -> str:
    return next((labels[label] for labels in seen.labels(name) if label in labels), "")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _count(seen: Metrics, name: str) -> int:
    return int(seen.value(name) or 0)
