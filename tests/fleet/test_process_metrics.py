"""The collector of processes of a real node-exporter: Debian's, and one as the role prometheus.prometheus installs it.

The tests run in their order: node1 has Debian's, node2 the other one, node3 none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node.cni_token import KUBECONFIG
from ansible_collections.nodeward.calico.plugins.module_utils._node.cni_token_metrics import SERVICE, TIMER

from tests.api.kubeconfig import of_cni
from tests.fleet.exporter import install, metrics, threads
from tests.fleet.fleet import Fleet, Run
from tests.lab import Lab, bird
from tests.prometheus import rules, server
from tests.unit.node.test_cni_token import jwt

DEBIAN, ROLE, NONE = "node1", "node2", "node3"
UNITS = {DEBIAN: "prometheus-node-exporter.service", ROLE: "node_exporter.service"}
ONLY = ("--tags", "process_metrics")
DROP_IN = f"/etc/systemd/system/{UNITS[ROLE]}.d/99-zz-nodeward-process_metrics.conf"

# Threads of a process in a pod's cgroup that does nothing but hold them: many more than half of those of this machine,
# below twice of which no limit goes back.
LEAKED = 2000
LEAK = f"""
import threading, time
threading.stack_size(65536)
for _ in range({LEAKED}):
    threading.Thread(target=time.sleep, args=(1e6,)).start()
"""

HOUR = 3600

# As prometheus.prometheus 0.27 writes it, shortened: one flag a line, in quotes.
UNIT = r"""
[Service]
Type=simple
User=prometheus
ExecStart=/usr/local/bin/node_exporter \
    '--collector.textfile' \
    '--collector.textfile.directory=/var/lib/node_exporter' \
    '--web.listen-address=0.0.0.0:9100' \
    '--web.telemetry-path=/metrics'

Restart=always
RestartSec=1
"""


def day_long(age: float) -> str:
    """Return a token that was made so many seconds ago, for a day."""
    made = int(time.time() - age)
    return jwt(iat=made, exp=made + 24 * HOUR)


def invocation(fleet: Fleet, node: str) -> str:
    return fleet.lab.run(node, f"systemctl show --property=InvocationID --value {UNITS[node]}").stdout


def stops(fleet: Fleet, node: str) -> int:
    said = fleet.lab.run(node, f"journalctl --unit={UNITS[node]} --grep='^Stopped ' --output=cat | wc -l").stdout
    return int(said)


@pytest.fixture(scope="module")
def before() -> dict[str, list[str]]:
    """What was on the nodes before the first run, as Fleet.look has it."""
    return {}


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory, before: dict[str, list[str]]) -> Iterator[Fleet]:
    lab.reset()
    fleet = Fleet(lab, tmp_path_factory.mktemp("reports"))
    for node in (DEBIAN, ROLE):
        install(lab, node)
    lab.run(
        ROLE,
        f"systemctl disable --now {UNITS[DEBIAN]}; cp /usr/bin/prometheus-node-exporter /usr/local/bin/node_exporter; "
        f"mkdir /var/lib/node_exporter; cat > /etc/systemd/system/{UNITS[ROLE]} <<'END'\n{UNIT}\nEND\n"
        f"systemctl daemon-reload; systemctl start {UNITS[ROLE]}",
    )
    lab.run(DEBIAN, f"mkdir -p /etc/cni/net.d; cat > {KUBECONFIG} <<'END'\n{of_cni('https://a', day_long(HOUR))}\nEND")
    for node in (DEBIAN, ROLE):
        assert "node_processes" not in metrics(fleet.lab, node)
        before[node] = fleet.look(node)
    yield fleet
    lab.reset()


def found(run: Run, node: str) -> list[str]:
    return [finding["id"] for finding in run.node(node)["findings"]]


def test_a_scrape_that_takes_too_long_is_put_back(fleet: Fleet, before: dict[str, list[str]]) -> None:
    """Very many metrics, and an exporter that runs for 100 ms and then stands still for 1.4 s: too slow anywhere."""
    much = "/var/lib/prometheus/node-exporter/much.prom"
    fleet.lab.run(DEBIAN, f"seq 60000 | sed 's/.*/z_& 1/' > {much}")
    # only one that has the collector already: one that does not answer before is not touched at all
    which = 'pkill -{} -f "node-exporter .*[-]-collector.processes"'
    stutter = f"while :; do {which.format('STOP')}; sleep 1.4; {which.format('CONT')}; sleep 0.1; done"
    fleet.lab.run(DEBIAN, f"systemd-run --quiet --unit=lab-stutter sh -c '{stutter}'")
    run = fleet.play("harden", *ONLY, "--limit", DEBIAN, "-e", "process_metrics_scrape_timeout=2")
    fleet.lab.run(DEBIAN, f"systemctl stop lab-stutter; pkill -CONT prometheus-node; rm {much}")
    assert run.code == 0
    assert found(run, DEBIAN) == ["process_metrics.put_back"]
    kept = "/var/lib/nodeward/process_metrics.put_back"
    assert "node_processes" not in metrics(fleet.lab, DEBIAN)
    assert [line for line in fleet.look(DEBIAN) if "/var/lib/nodeward" not in line] == before[DEBIAN]
    again = fleet.play("harden", *ONLY, "--limit", DEBIAN)
    assert (again.recap(DEBIAN)["changed"], found(again, DEBIAN)) == (0, ["process_metrics.put_back"])
    fleet.lab.run(DEBIAN, f"rm {kept}")


def test_it_is_turned_on_with_one_restart_each(fleet: Fleet) -> None:
    starts = {node: invocation(fleet, node) for node in UNITS}
    stopped = {node: stops(fleet, node) for node in UNITS}
    audit = fleet.play("audit", *ONLY)
    assert found(audit, NONE) == ["process_metrics.none"]
    assert {node: invocation(fleet, node) for node in UNITS} == starts

    run = fleet.play("harden", *ONLY)
    assert run.code == 0
    assert [run.recap(node)["changed"] for node in (DEBIAN, ROLE, NONE)] == [1, 1, 0]
    assert fleet.lab.run(DEBIAN, "grep -v '^#' /etc/default/prometheus-node-exporter").stdout.split("\n")[0] == (
        'ARGS="--collector.processes"'
    )
    restarted = {node: invocation(fleet, node) for node in UNITS}
    for node in UNITS:
        assert restarted[node] != starts[node]
        assert stops(fleet, node) == stopped[node] + 1
        counted = int(fleet.lab.run(node, "ls -d /proc/[0-9]*/task/* | wc -l").stdout)
        assert abs(threads(fleet.lab, node) - counted) < max(30, counted / 2)

    again = fleet.play("harden", *ONLY)
    assert [again.recap(node)["changed"] for node in (DEBIAN, ROLE, NONE)] == [0, 0, 0]
    assert {node: invocation(fleet, node) for node in UNITS} == restarted


def test_every_metric_that_a_rule_or_the_dashboard_reads_of_a_node_is_exported(fleet: Fleet) -> None:
    named = rules.metrics(*rules.expressions().values(), *rules.queries().values())
    of_nodes = {name for name in named if name.startswith(("node_", "nodeward_"))}
    assert len(of_nodes) > 8
    assert fleet.play("harden", "--tags", "bird_watchdog,cni_token", "--limit", DEBIAN).code == 0

    def missing() -> set[str]:
        return of_nodes - set(re.findall(r"^([a-z_0-9]+)[{ ]", metrics(fleet.lab, DEBIAN), re.MULTILINE))

    bird.until(lambda: not missing(), "the metrics of the watchdog and of the token")


def test_a_leak_calls_in_a_real_prometheus_until_the_limit_is_raised(fleet: Fleet, tmp_path: Path) -> None:
    """What incident B lacked; the alert waits for five minutes, so that its condition is what counts here."""
    lab, limit = fleet.lab, "/proc/sys/kernel/pid_max"
    had = lab.run(DEBIAN, f"cat {limit}").stdout
    lab.run(DEBIAN, f"systemd-run --quiet --unit=leak --slice=kubepods-besteffort-podleak.slice python3 -c '{LEAK}'")
    bird.until(lambda: threads(fleet.lab, DEBIAN) > LEAKED, "the leak")
    lab.run(DEBIAN, f"echo {int(threads(fleet.lab, DEBIAN) / 0.85)} > {limit}")
    pending = 'ALERTS{alertname="NodewardPidLimitNear"}'
    try:
        with server.scraping(f"{lab.address(DEBIAN)}:9100", tmp_path) as prometheus:
            bird.until(lambda: prometheus.query(pending), "the alert")
            assert 0.8 < prometheus.value("nodeward:pid_limit_share") < 0.95
            assert fleet.play("harden", "--tags", "pid_limits", "--limit", DEBIAN).code == 0
            bird.until(lambda: prometheus.query("nodeward:pid_limit_share < 0.5"), "the raised limit")
            bird.until(lambda: not prometheus.query(pending), "the end of the alert")
            assert threads(fleet.lab, DEBIAN) > LEAKED, "the leak goes on"
    finally:
        lab.run(DEBIAN, "systemctl stop leak")
        fleet.play("restore", "--tags", "pid_limits", "--limit", DEBIAN)
        lab.run(DEBIAN, f"echo {had.strip()} > {limit}")


def test_a_token_that_nobody_renews_calls_until_it_is_renewed(fleet: Fleet, tmp_path: Path) -> None:
    """What incident A4 lacked; the alert waits for 15 minutes, so that its condition is what counts here."""
    lab, pending = fleet.lab, 'ALERTS{alertname="NodewardCniTokenExpires"}'

    def write(age: float) -> None:
        lab.run(DEBIAN, f"cat > {KUBECONFIG} <<'END'\n{of_cni('https://127.0.0.1:6443', day_long(age))}\nEND")
        lab.run(DEBIAN, f"systemctl start {SERVICE}")  # and not only when the timer's five minutes are over

    assert lab.run(DEBIAN, f"systemctl is-active {TIMER}").stdout == "active\n"
    lab.run(DEBIAN, f"cp {KUBECONFIG} /run/kubeconfig")
    with server.scraping(f"{lab.address(DEBIAN)}:9100", tmp_path) as prometheus:
        write(age=21 * HOUR)
        bird.until(lambda: prometheus.query(pending), "the alert")
        write(age=HOUR)
        left = "nodeward_cni_token_expires_timestamp_seconds - time()"
        bird.until(lambda: prometheus.query(f"{left} > {22 * HOUR}"), "the new token")
        bird.until(lambda: not prometheus.query(pending), "the end of the alert")
        assert 22.5 * HOUR < prometheus.value(left) <= 23 * HOUR
    lab.run(DEBIAN, f"cp /run/kubeconfig {KUBECONFIG}")  # which calico-node writes, and no run of ours


def test_what_the_role_writes_anew_keeps_the_collector(fleet: Fleet) -> None:
    fleet.lab.run(ROLE, f"sed -i 's/0.0.0.0:9100/127.0.0.1:9100/' /etc/systemd/system/{UNITS[ROLE]}")
    assert fleet.play("harden", *ONLY, "--limit", ROLE).recap(ROLE)["changed"] == 1
    assert "node_processes_threads" in metrics(fleet.lab, ROLE)
    assert fleet.lab.run(ROLE, "ss -Htln sport = 9100").stdout.split()[3] == "127.0.0.1:9100"
    fleet.lab.run(ROLE, f"sed -i 's/127.0.0.1:9100/0.0.0.0:9100/' /etc/systemd/system/{UNITS[ROLE]}")


def test_restore_brings_it_back(fleet: Fleet, before: dict[str, list[str]]) -> None:
    assert fleet.lab.run(DEBIAN, "ls /var/lib/prometheus/node-exporter/nodeward_cni_token.prom").returncode == 0
    run = fleet.play("restore", "--tags", "process_metrics,bird_watchdog,cni_token", "--limit", f"{DEBIAN},{ROLE}")
    assert run.code == 0
    for node, unit in UNITS.items():
        assert "node_processes" not in metrics(fleet.lab, node)
        assert fleet.look(node) == before[node]
        assert fleet.lab.run(node, f"systemctl is-active {unit}").stdout == "active\n"
