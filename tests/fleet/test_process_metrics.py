"""The collector of processes of a real node-exporter: Debian's, and one as the role prometheus.prometheus installs it.

The tests run in their order: node1 has Debian's, node2 the other one, node3 none.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.fleet.fleet import Fleet, Run
from tests.lab import Lab, bird
from tests.prometheus import programs

DEBIAN, ROLE, NONE = "node1", "node2", "node3"
UNITS = {DEBIAN: "prometheus-node-exporter.service", ROLE: "node_exporter.service"}
ONLY = ("--tags", "process_metrics")
URL = "http://127.0.0.1:9100/metrics"
GET = f"python3 -c 'import urllib.request; print(urllib.request.urlopen(\"{URL}\").read().decode())'"
DROP_IN = f"/etc/systemd/system/{UNITS[ROLE]}.d/99-zz-nodeward-process_metrics.conf"

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


def install(lab: Lab, node: str) -> None:
    """Install Debian's package, as a person would, and wait for its metrics."""
    with programs.exporter().open("rb") as package:
        subprocess.run([*lab.ssh_command(node), "cat > /tmp/exporter.deb"], stdin=package, check=True, timeout=60)
    lab.run(node, "dpkg --install /tmp/exporter.deb; rm /tmp/exporter.deb")


def metrics(fleet: Fleet, node: str) -> str:
    bird.until(lambda: fleet.lab.run(node, GET, check=False).returncode == 0, f"the metrics of {node}")
    return fleet.lab.run(node, GET).stdout


def invocation(fleet: Fleet, node: str) -> str:
    return fleet.lab.run(node, f"systemctl show --property=InvocationID --value {UNITS[node]}").stdout


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
    for node in (DEBIAN, ROLE):
        assert "node_processes" not in metrics(fleet, node)
        before[node] = fleet.look(node)
    yield fleet
    lab.reset()


def found(run: Run, node: str) -> list[str]:
    return [finding["id"] for finding in run.node(node)["findings"]]


def test_a_scrape_that_takes_too_long_is_put_back(fleet: Fleet, before: dict[str, list[str]]) -> None:
    """A file with very many metrics takes the exporter more than half a second, with the collector or without."""
    much = "/var/lib/prometheus/node-exporter/much.prom"
    fleet.lab.run(DEBIAN, f"seq 45000 | sed 's/.*/z_& 1/' > {much}")
    run = fleet.play("harden", *ONLY, "--limit", DEBIAN, "-e", "process_metrics_scrape_timeout=1")
    fleet.lab.run(DEBIAN, f"rm {much}")
    assert run.code == 0
    assert found(run, DEBIAN) == ["process_metrics.put_back"]
    kept = "/var/lib/nodeward/process_metrics.put_back"
    assert "node_processes" not in metrics(fleet, DEBIAN)
    assert [line for line in fleet.look(DEBIAN) if "/var/lib/nodeward" not in line] == before[DEBIAN]
    again = fleet.play("harden", *ONLY, "--limit", DEBIAN)
    assert (again.recap(DEBIAN)["changed"], found(again, DEBIAN)) == (0, ["process_metrics.put_back"])
    fleet.lab.run(DEBIAN, f"rm {kept}")


def test_it_is_turned_on_with_one_restart_each(fleet: Fleet) -> None:
    starts = {node: invocation(fleet, node) for node in UNITS}
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
    for node, unit in UNITS.items():
        assert restarted[node] != starts[node]
        count = fleet.lab.run(node, f"journalctl --unit={unit} --grep='^Stopped ' --output=cat | wc -l").stdout
        assert int(count) == (3 if node == DEBIAN else 1), "two more of it by the test before"
        threads = re.search(r"^node_processes_threads (\S+)$", metrics(fleet, node), re.MULTILINE)
        counted = int(fleet.lab.run(node, "ls -d /proc/[0-9]*/task/* | wc -l").stdout)
        assert threads
        assert abs(float(threads[1]) - counted) < max(30, counted / 2)

    again = fleet.play("harden", *ONLY)
    assert [again.recap(node)["changed"] for node in (DEBIAN, ROLE, NONE)] == [0, 0, 0]
    assert {node: invocation(fleet, node) for node in UNITS} == restarted


def test_what_the_role_writes_anew_keeps_the_collector(fleet: Fleet) -> None:
    fleet.lab.run(ROLE, f"sed -i 's/0.0.0.0:9100/127.0.0.1:9100/' /etc/systemd/system/{UNITS[ROLE]}")
    assert fleet.play("harden", *ONLY, "--limit", ROLE).recap(ROLE)["changed"] == 1
    assert "node_processes_threads" in metrics(fleet, ROLE)
    assert fleet.lab.run(ROLE, "ss -Htln sport = 9100").stdout.split()[3] == "127.0.0.1:9100"
    fleet.lab.run(ROLE, f"sed -i 's/127.0.0.1:9100/0.0.0.0:9100/' /etc/systemd/system/{UNITS[ROLE]}")


def test_restore_brings_it_back(fleet: Fleet, before: dict[str, list[str]]) -> None:
    run = fleet.play("restore", *ONLY, "--limit", f"{DEBIAN},{ROLE}")
    assert run.code == 0
    for node, unit in UNITS.items():
        assert "node_processes" not in metrics(fleet, node)
        assert fleet.look(node) == before[node]
        assert fleet.lab.run(node, f"systemctl is-active {unit}").stdout == "active\n"
