# Private to the collection nodeward.calico: may change in any release.
"""etcd's own metrics, in the text form of Prometheus: what the trap etcd_timing decides by.

Histograms of etcd count since it started, so a quantile of them is one over all of that time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

RTT = "etcd_network_peer_round_trip_time_seconds"
FSYNC = "etcd_disk_wal_fsync_duration_seconds"
COMMIT = "etcd_disk_backend_commit_duration_seconds"
DEFRAG = "etcd_disk_backend_defrag_duration_seconds"

_SAMPLE = re.compile(
    r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?[0-9]+)?", re.ASCII
)
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Histogram:
    """Cumulative counts by upper bound in seconds, the last one infinite."""

    buckets: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> float:
        return self.buckets[-1][1] if self.buckets else 0.0

    def quantile(self, share: float) -> float | None:
        """Return the quantile as Prometheus' histogram_quantile does; None without a sample.

        In the last, infinite bucket it is that bucket's lower bound: more cannot be told.
        """
        if not self.count:
            return None
        rank, lower, below = share * self.count, 0.0, 0.0
        for bound, count in self.buckets:
            if count >= rank and count > below:
                return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = (lower if math.isinf(bound) else bound), count
        return lower


@dataclass(frozen=True)
class Metrics:
    """Every sample by name and labels."""

    samples: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """Return a metric without labels, or the sum over its labels; None where it is not there."""
        found = self.samples.get(name)
        total = sum(found.values()) if found else None
        return total if total is not None and math.isfinite(total) else None

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of each sample of a metric that is not zero."""
        return [dict(labels) for labels, value in self.samples.get(name, {}).items() if value]

    def histograms(self, name: str, by: str = "") -> dict[str, Histogram]:
        """Return the histograms of a name, by one of their labels ('' where there is only one)."""
        found: dict[str, dict[float, float]] = {}
        for labels, value in self.samples.get(f"{name}_bucket", {}).items():
            known = dict(labels)
            bound = _number(known.get("le", ""))
            if bound is not None and not math.isnan(bound) and value >= 0:
                found.setdefault(known.get(by, ""), {})[bound] = value
        return {key: Histogram(tuple(sorted(buckets.items()))) for key, buckets in found.items()}


def parse(text: str) -> Metrics:
    """Read an exposition; lines that are none are passed over."""
    samples: dict[str, dict[Labels, float]] = {}
    for name, labels, value in _samples(text.splitlines()):
        samples.setdefault(name, {})[labels] = value
    return Metrics(samples)


def render(metrics: Metrics) -> str:
    """Write what parse() reads; for tests and captured facts."""
    lines = []
    for name, samples in metrics.samples.items():
        for labels, value in samples.items():
            told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            lines.append(f"{name}{'{' + told + '}' if told else ''} {value!r}")
    return "".join(f"{line}\n" for line in lines)


def _samples(lines: Iterable[str]) -> Iterator[tuple[str, Labels, float]]:
    for line in lines:
        found = None if line.startswith("#") else _SAMPLE.fullmatch(line.strip())
        value = _number(found["value"]) if found else None
        if found and value is not None and math.isfinite(value):
            pairs = _LABEL.findall(found["labels"] or "")
            yield found["name"], tuple((key, _unescaped(text)) for key, text in pairs), value


def _number(text: str) -> float | None:
    try:
        return float(text.replace("Inf", "inf"))
    except ValueError:
        return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
