"""etcd's metrics in the text form of Prometheus."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import metrics
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.evidence import Evidence
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.metrics import Histogram, Metrics, parse, render
from hypothesis import given, settings
from hypothesis import strategies as st

# Of etcd 3.4.23 with two peers, shortened.
TEXT = """\
# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 900
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 980
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 1000
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 1000
etcd_disk_wal_fsync_duration_seconds_sum 0.6
etcd_disk_wal_fsync_duration_seconds_count 1000
etcd_network_peer_round_trip_time_seconds_bucket{To="b3504381e8ba3cb",le="0.0001"} 0
etcd_network_peer_round_trip_time_seconds_bucket{To="b3504381e8ba3cb",le="0.0002"} 6
etcd_network_peer_round_trip_time_seconds_bucket{To="b3504381e8ba3cb",le="+Inf"} 6
etcd_network_peer_round_trip_time_seconds_bucket{To="c0ffee",le="0.0001"} 0
etcd_network_peer_round_trip_time_seconds_bucket{To="c0ffee",le="0.0002"} 0
etcd_network_peer_round_trip_time_seconds_bucket{To="c0ffee",le="+Inf"} 4
etcd_network_peer_round_trip_time_seconds_bucket{To="gone",le="+Inf"} 0
etcd_server_has_leader 1
etcd_server_heartbeat_send_failures_total 3
etcd_server_id{server_id="8e9e05c52164694d"} 1
etcd_server_is_leader 1
etcd_server_is_learner 0
etcd_server_leader_changes_seen_total 2
etcd_server_version{server_version="3.4.23"} 1
etcd_mvcc_db_total_size_in_bytes 1.048576e+06
etcd_mvcc_db_total_size_in_use_in_bytes 524288
process_start_time_seconds 1.7e+09 1700000000000
not a metric at all
broken{ 1
"""


def test_a_member_s_evidence():
    seen = Evidence.of(parse(TEXT), now=1.7e9 + 90)
    assert seen == Evidence(
        member_id="8e9e05c52164694d",
        version="3.4.23",
        running_s=90.0,
        rtt_p99={"b3504381e8ba3cb": 0.2, "c0ffee": 0.2},
        rtt_median={"b3504381e8ba3cb": 0.15, "c0ffee": 0.2},
        rtt_samples=4,
        fsync_p99=3.0,
        fsync_samples=1000,
        commit_p99=None,
        heartbeat_failures=3,
        leader_changes=2,
        is_leader=True,
        has_leader=True,
        db_size=1048576,
        db_in_use=524288,
    )
    assert Evidence.read(seen.shown()) == seen
    assert Evidence.read({**seen.shown(), "of_a_later_release": 1}) == seen


def test_no_metrics_are_no_evidence():
    assert Evidence.of(parse("")) == Evidence()


QUANTILES: list[tuple[str, tuple[tuple[float, float], ...], float | None]] = [
    ("nothing", (), None),
    ("no sample", ((0.1, 0), (float("inf"), 0)), None),
    ("in the middle of a bucket", ((0.1, 0), (0.2, 100), (float("inf"), 100)), 0.199),
    ("in the first", ((0.1, 100), (float("inf"), 100)), 0.099),
    ("beyond the last bound", ((0.1, 0), (float("inf"), 10)), 0.1),
    ("past empty buckets", ((0.1, 98), (0.2, 98), (0.4, 100), (float("inf"), 100)), 0.3),
]


@pytest.mark.parametrize(("buckets", "p99"), [c[1:] for c in QUANTILES], ids=[c[0] for c in QUANTILES])
def test_a_quantile(buckets, p99):
    assert Histogram(buckets).quantile(0.99) == (None if p99 is None else pytest.approx(p99))


labels = st.lists(
    st.tuples(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(st.characters(codec="ascii"), max_size=8)),
    max_size=3,
).map(lambda pairs: tuple(dict(pairs).items()))
samples = st.dictionaries(
    st.from_regex(r"[a-z_:][a-z0-9_:]{0,10}", fullmatch=True),
    st.dictionaries(labels, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3),
    max_size=4,
)


@settings(max_examples=30)
@given(samples)
def test_what_is_written_is_read(given_samples):
    # a line of its own for each sample: what a label holds must not end it
    plain = {
        name: {
            key: value for key, value in each.items() if not any("\r" in t or ord(min(t + "x")) < 32 for _k, t in key)
        }
        for name, each in given_samples.items()
    }
    seen = Metrics({name: each for name, each in plain.items() if each})
    assert parse(render(seen)) == seen


def test_a_value_is_the_sum_over_its_labels():
    seen = parse('a{x="1"} 2\na{x="2"} 3\n')
    assert seen.value("a") == 5
    assert seen.value("b") is None
    assert seen.labels("a") == [{"x": "1"}, {"x": "2"}]
    assert seen.histograms("a") == {}
    assert parse('h_bucket{le="x"} 1\n').histograms("h") == {}
    assert metrics.parse("a NaN\n").value("a") is None


FSYNC = 'etcd_disk_wal_fsync_duration_seconds_bucket{le="%s"} %s\n'


@pytest.mark.parametrize(
    "text",
    [
        "etcd_server_heartbeat_send_failures_total +Inf\n",
        "etcd_mvcc_db_total_size_in_bytes 1e999\n",
        'etcd_mvcc_db_total_size_in_bytes{a="1"} 1e308\netcd_mvcc_db_total_size_in_bytes{a="2"} 1e308\n',
        "process_start_time_seconds -Inf\n",
        FSYNC % ("0.001", "-5"),
        FSYNC % ("NaN", "500"),
        FSYNC % ("+Inf", "+Inf"),
    ],
)
def test_what_no_etcd_counts_is_passed_over(text):
    assert Evidence.of(parse(text), now=1.7e9) == Evidence()


@settings(max_examples=50)
@given(st.text(st.sampled_from('etcd_bucket{le="+Inf"} NaN1e9-.\n'), max_size=80))
def test_no_garbage_is_an_error(text):
    for name in ("etcd_mvcc_db_total_size_in_bytes", "etcd_disk_wal_fsync_duration_seconds_bucket"):
        Evidence.of(parse(f"{name}{text}\n{name} {text}"), now=1.7e9)
