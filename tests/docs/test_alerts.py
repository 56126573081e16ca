"""The alert rules fire when they should and only then; the dashboard's queries are valid: by Debian's promtool.

promtool comes from Debian's package, unpacked below .cache at the first use.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.prometheus import programs, rules

ROOT = Path(__file__).parents[2]
NODE = 'instance="node1"'
GIB = 2**30


def promtool(*words: str) -> None:
    done = subprocess.run(
        [programs.promtool(), *words], capture_output=True, text=True, check=False, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Case:
    """What is measured, each as promtool writes series ('0+1x60' every minute), and which alerts fire after an hour."""

    name: str
    series: dict[str, str]
    fires: tuple[str, ...] = ()
    at: str = "1h"


def threads(values: str, most: int = 100_000, pid_max: int = 4_194_304) -> dict[str, str]:
    """Return the series of one node's threads and of its two limits."""
    return {
        f"node_processes_threads{{{NODE}}}": values,
        f"node_processes_max_threads{{{NODE}}}": f"{most}x600",
        f"node_processes_max_processes{{{NODE}}}": f"{pid_max}x600",
    }


def mtu(**links: int) -> dict[str, str]:
    return {
        f'node_network_mtu_bytes{{device="{name.replace("__", ".")}",{NODE}}}': f"{value}x600"
        for name, value in links.items()
    }


def histogram(name: str, labels: str, fast: int, slow: int) -> dict[str, str]:
    """Return the buckets of ``fast`` events a minute below 0.1 s and ``slow`` ones between that and 0.8 s."""
    counts = {"0.1": fast, "0.8": fast + slow, "+Inf": fast + slow}
    return {f'{name}_bucket{{le="{le}",{labels}}}': f"0+{count}x600" for le, count in counts.items()}


def database(total: float, in_use: float) -> dict[str, str]:
    return {
        f"etcd_mvcc_db_total_size_in_bytes{{{NODE}}}": f"{total:.0f}x600",
        f"etcd_mvcc_db_total_size_in_use_in_bytes{{{NODE}}}": f"{in_use:.0f}x600",
    }


def pod(used: int, most: int, container: str = "") -> dict[str, str]:
    labels = f'container="{container}",pod="cart",namespace="shop"'
    return {f"container_threads{{{labels}}}": f"{used}x600", f"container_threads_max{{{labels}}}": f"{most}x600"}


def watchdog(written: str, exporter: str = "0x600", folder: str = "/x", pod: str = "") -> dict[str, str]:
    """Return what node-exporter tells of when the watchdog's metrics were written, and of itself."""
    labels = f'job="node",pod="{pod}",{NODE}'
    return {
        f'node_textfile_mtime_seconds{{file="{folder}/nodeward_bird_watchdog.prom",{labels}}}': written,
        f"node_textfile_scrape_error{{{labels}}}": exporter,
    }


def token(issued: float, expires: float) -> dict[str, str]:
    """Return the series of a CNI token; hours before and after the beginning, an hour of which passes."""
    moments = {"issued": issued, "expires": expires}
    return {
        f"nodeward_cni_token_{name}_timestamp_seconds{{{NODE}}}": f"{hours * 3600:.0f}x600"
        for name, hours in moments.items()
    }


WATCHDOG = f'daemon="bird",{NODE}'
CALICO = 'container="calico-node",pod="calico-node-x",namespace="kube-system"'
RTT, FSYNC = "etcd_network_peer_round_trip_time_seconds", "etcd_disk_wal_fsync_duration_seconds"
CASES = [
    Case("threads near threads-max", threads("81000x600"), ("NodewardPidLimitNear",)),
    Case("threads near pid_max", threads("28000x600", pid_max=32768), ("NodewardPidLimitNear",)),
    Case("threads at 80 %", threads("80000x600")),
    Case("many threads for four minutes", threads("10000x56 81000x3")),
    Case("a node without the collector", {f"node_load1{{{NODE}}}": "1x600"}),
    Case("a leak that takes all in four hours", threads("20000+300x600"), ("NodewardPidLimitGrowth",), "2h"),
    Case("a leak that takes a day", threads("35000+30x600"), (), "2h"),
    Case("a quick start of a nearly empty node", threads("1000+400x600"), (), "70m"),
    Case("a pod near its limit", pod(3500, 4096), ("NodewardPodPidLimitNear",)),
    Case("a pod below it", pod(3000, 4096)),
    Case("a pod without a limit", pod(30000, 0)),
    Case("a container is no pod", pod(3500, 4096, "cart")),
    Case("IPIP too large", mtu(eth0=1500, tunl0=1481), ("NodewardTunnelMtuTooLarge",)),
    Case("IPIP that fits", mtu(eth0=1500, tunl0=1480, cali1=9000, lo=65536)),
    Case("VXLAN too large", mtu(bond0=1450, eth0=1450, vxlan__calico=1450), ("NodewardTunnelMtuTooLarge",)),
    Case("VXLAN that fits", mtu(bond0=9000, eth0=1500, vxlan__calico=8950)),
    Case("WireGuard too large", mtu(eth0=1500, wireguard__cali=1441), ("NodewardTunnelMtuTooLarge",)),
    # promtool begins in 1970, so that this is seconds after its beginning
    Case("a kill half an hour ago", {f"nodeward_bird_watchdog_last_kill_timestamp_seconds{{{WATCHDOG}}}": "1800x600"},
         ("NodewardBirdKilled",)),
    Case("a kill two hours ago", {f"nodeward_bird_watchdog_last_kill_timestamp_seconds{{{WATCHDOG}}}": "1800x600"},
         (), "151m"),
    Case("never a kill", {f"nodeward_bird_watchdog_last_kill_timestamp_seconds{{{WATCHDOG}}}": "0x600"}, (), "2h"),
    Case("held back", {f'nodeward_bird_watchdog_state{{state="held_back",{WATCHDOG}}}': "1x600"},
         ("NodewardBirdNotMended",)),
    Case("not restarted", {f'nodeward_bird_watchdog_state{{state="not_restarted",{WATCHDOG}}}': "1x600"},
         ("NodewardBirdNotMended",)),
    Case("calm", {f'nodeward_bird_watchdog_state{{state="calm",{WATCHDOG}}}': "1x600",
                  f'nodeward_bird_watchdog_state{{state="held_back",{WATCHDOG}}}': "0x600"}),
    Case("a watchdog that stopped writing",
         {f'node_textfile_mtime_seconds{{file="/x/nodeward_bird_watchdog.prom",{NODE}}}': "600x600"},
         ("NodewardWatchdogSilent",)),
    Case("a watchdog that writes",
         {f'node_textfile_mtime_seconds{{file="/x/nodeward_bird_watchdog.prom",{NODE}}}': "0+60x600"}),
    Case("a watchdog that ended half an hour ago", watchdog("0+60x30 stale"), ("NodewardWatchdogSilent",)),
    Case("a watchdog that was just stopped", watchdog("0+60x57 stale")),
    Case("a watchdog that ended, or was taken off by restore, an hour ago", watchdog("0+60x30 stale"), (), "92m"),
    Case("a watchdog of a node that has left since", watchdog("0+60x30 stale", exporter="0x30 stale")),
    Case("a watchdog that has another folder, seen by a new pod of node-exporter",
         watchdog("0+60x30 stale", pod="a") | watchdog("_x30 1860+60x600", folder="/y", pod="b")),
    Case("slow peers", histogram(RTT, f'To="a",{NODE}', 10, 1), ("NodewardEtcdPeerLatency",), "90m"),
    Case("quick peers", histogram(RTT, f'To="a",{NODE}', 10, 0), (), "90m"),
    Case("a slow disk", histogram(FSYNC, NODE, 100, 10), ("NodewardEtcdSlowDisk",)),
    Case("a disk that is seldom slow", histogram(FSYNC, NODE, 1000, 1)),
    Case("elections", {f"etcd_server_leader_changes_seen_total{{{NODE}}}": "0x40 1+1x600"},
         ("NodewardEtcdLeaderChanges",)),
    Case("one election", {f"etcd_server_leader_changes_seen_total{{{NODE}}}": "0x50 1x600"}),
    Case("a fragmented database", database(GIB, GIB / 4), ("NodewardEtcdFragmented",)),
    Case("a database in use", database(GIB, GIB / 1.5)),
    Case("a small database", database(GIB / 16, GIB / 64)),
    Case("calico-node is not ready", {f"kube_pod_container_status_ready{{{CALICO}}}": "0x600"},
         ("NodewardCalicoNodeNotReady",)),
    Case("calico-node is ready", {f"kube_pod_container_status_ready{{{CALICO}}}": "1x600"}),
    Case("another container is not ready",
         {f"kube_pod_container_status_ready{{{CALICO.replace('calico-node', 'web')}}}": "0x600"}),
    Case("a token that nobody renews", token(issued=-20, expires=4), ("NodewardCniTokenExpires",)),
    Case("a token that was renewed as late as it may be", token(issued=-12, expires=12)),
    Case("a token of a year with six days left", token(issued=-359 * 24, expires=6 * 24), ("NodewardCniTokenExpires",)),
    Case("a token of a year with eight days left", token(issued=-357 * 24, expires=8 * 24)),
    Case("a token that has no end", {f"nodeward_cni_token_issued_timestamp_seconds{{{NODE}}}": "0x600"}),
    Case("no token", {f"nodeward_cni_token_usable{{{NODE}}}": "0x600"}, ("NodewardCniTokenUnusable",)),
    Case("a token", {f"nodeward_cni_token_usable{{{NODE}}}": "1x600"}),
    Case("calico-node is restarted again and again",
         {f"kube_pod_container_status_restarts_total{{{CALICO}}}": "0x20 1x10 2x10 3x10 4x600"},
         ("NodewardCalicoNodeRestarts",)),
    Case("calico-node was restarted twice",
         {f"kube_pod_container_status_restarts_total{{{CALICO}}}": "0x20 1x20 2x600"}),
]  # fmt: skip


def test_the_rules_are_valid() -> None:
    promtool("check", "rules", str(rules.RULES))


def test_every_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """One run of promtool for all cases: what fires is compared as a whole, so that no other alert may."""
    tests = [
        {
            "name": case.name,
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": case.at,
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in case.fires],
                }
            ],
        }
        for case in CASES
    ]
    path = tmp_path / "cases.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules.RULES)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(path))


def test_every_alert_has_a_case_and_says_what_to_do() -> None:
    alerts = {rule["alert"]: rule for group in rules.groups() for rule in group["rules"] if "alert" in rule}
    assert {alert for case in CASES for alert in case.fires} == set(alerts)
    page = (ROOT / "docs/alerts.md").read_text()
    for name, rule in alerts.items():
        assert {"summary", "description", "remedy"} == set(rule["annotations"]), name
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert f"`{name}`" in page, name


def test_the_object_for_the_operator_has_the_same_rules() -> None:
    assert rules.TWIN.read_text() == rules.twin(), "run `python -m tests.prometheus`"
    body = yaml.safe_load(rules.TWIN.read_text())
    assert (body["kind"], body["spec"]["groups"]) == ("PrometheusRule", rules.groups())


def test_the_queries_of_the_dashboard_are_valid_and_read_what_the_rules_read(tmp_path: Path) -> None:
    queries = rules.queries()
    assert len(queries) >= len(json.loads(rules.DASHBOARD.read_text())["panels"])
    named = [
        {"record": f"dashboard:{number}", "expr": re.sub(r"\$instance", ".*", query).replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries.values())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": named}]}))
    promtool("check", "rules", str(path))
    beyond = rules.metrics(*queries.values()) - rules.metrics(*rules.expressions().values())
    # those are for looking; the fleet's test sees them exported as well
    assert beyond == {
        "node_processes_pids",
        "nodeward_bird_watchdog_cpu_share",
        "nodeward_bird_watchdog_kills_total",
        "nodeward_bird_watchdog_suppressed_kills_total",
    }


@pytest.mark.parametrize("text", ["up{", "sum by ( up)"])
def test_what_is_no_query_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": [{"record": "a:b", "expr": text}]}]}))
    with pytest.raises(AssertionError):
        promtool("check", "rules", str(path))
