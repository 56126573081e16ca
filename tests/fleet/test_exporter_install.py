"""A node without node-exporter gets Debian's with consent, by its own apt, and loses it again. dpkg is the judge."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fleet.exporter import ARCHIVE, metrics, offer
from tests.fleet.fleet import Fleet
from tests.lab import Lab

NODE, NO_LISTS, BROKEN = "node1", "node2", "node3"
NAME = "prometheus-node-exporter"
ONLY = ("--tags", "process_metrics", "-e", "harden_pause=0")
CONSENT = ("-e", "harden_allow=exporter_install")

# Debian leaves the exporter's user, and so do we: an id that is given anew would own what is left of the old one. Its
# removal takes folders of systemd's that are empty.
USERS = tuple(f"/etc/{name}{end}" for name in ("passwd", "group", "shadow", "gshadow") for end in ("", "-"))
EMPTY = "/etc/systemd/system/network-online.target.wants"


def look(fleet: Fleet, node: str) -> set[str]:
    return {line for line in fleet.look(node) if not any(f"{path} " in f"{line} " for path in (*USERS, EMPTY))}


def state(fleet: Fleet, node: str) -> str:
    return fleet.lab.run(node, f"dpkg-query --show --showformat='${{Status}}' {NAME}", check=False).stdout


def listens(fleet: Fleet, node: str) -> bool:
    return fleet.lab.run(node, "ss -Htln sport = 9100").stdout != ""


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    lab.reset()
    for node in (NODE, BROKEN):
        offer(lab, node)
    yield Fleet(lab, tmp_path_factory.mktemp("reports"))
    lab.reset()


@pytest.fixture(scope="module")
def before(fleet: Fleet) -> set[str]:
    return look(fleet, NODE)


def test_it_waits_for_consent_and_is_foretold(fleet: Fleet, before: set[str]) -> None:
    assert not listens(fleet, NODE)
    waits = fleet.play("harden", *ONLY)
    assert waits.code == 0
    assert [(c["target"], c["disrupts"]) for c in waits.node(NODE)["pending"]] == [
        (f"package {NAME}", "exporter_install")
    ]
    assert [finding["id"] for finding in waits.node(NO_LISTS)["findings"]] == ["process_metrics.none"]
    foretold = fleet.play("harden", *ONLY, *CONSENT, "--check", "--diff", "--limit", NODE)
    assert foretold.code == 0
    assert f"+++ after: package {NAME}" in foretold.output
    assert (state(fleet, NODE), look(fleet, NODE) ^ before) == ("", set())


def test_an_archive_that_is_away_leaves_the_node_as_it_was(fleet: Fleet) -> None:
    fleet.lab.run(BROKEN, f"rm {ARCHIVE}/*.deb")
    before = look(fleet, BROKEN)
    run = fleet.play("harden", *ONLY, *CONSENT, "--limit", BROKEN)
    assert run.code == 2
    assert "File not found" in run.node(BROKEN)["error"]
    assert (state(fleet, BROKEN), look(fleet, BROKEN) ^ before) == ("", {"/var/lib/nodeward d 755 0 "}), (
        "an empty folder"
    )


def test_it_counts_processes_after_one_run_and_a_second_changes_nothing(fleet: Fleet) -> None:
    run = fleet.play("harden", *ONLY, *CONSENT, "--limit", f"{NODE},{NO_LISTS}")
    assert run.code == 0
    assert state(fleet, NODE) == "install ok installed"
    assert "\nnode_processes_pids " in metrics(fleet.lab, NODE)
    assert state(fleet, NO_LISTS) == ""
    kept = json.loads(fleet.lab.run(NODE, "cat /var/lib/nodeward/journal.json").stdout)
    assert kept["entries"][f"package {NAME}"]["before"] is None
    installed = fleet.lab.run(NODE, "grep ' install ' /var/log/dpkg.log | awk '{print $4}'").stdout.split()
    assert installed[-1:] == [f"{NAME}:amd64"]

    again = fleet.play("harden", *ONLY, *CONSENT, "--limit", f"{NODE},{NO_LISTS}")
    assert [again.recap(node)["changed"] for node in (NODE, NO_LISTS)] == [0, 0]
    assert again.node(NODE)["findings"] == []


def test_what_somebody_configured_since_stays_until_it_is_taken_away(fleet: Fleet) -> None:
    fleet.lab.run(NODE, "echo 'backup_age 1' > /var/lib/prometheus/node-exporter/backup.prom")
    run = fleet.play("restore", *ONLY, *CONSENT, "--limit", NODE)
    assert run.code == 0
    assert [finding["id"] for finding in run.node(NODE)["findings"]] == ["process_metrics.package_kept"]
    assert state(fleet, NODE) == "install ok installed"
    assert "node_processes_pids" not in metrics(fleet.lab, NODE)
    fleet.lab.run(NODE, "rm /var/lib/prometheus/node-exporter/backup.prom")


def test_restore_removes_what_was_installed_with_the_same_consent(fleet: Fleet, before: set[str]) -> None:
    waits = fleet.play("restore", *ONLY, "--limit", NODE)
    assert {change["disrupts"] for change in waits.node(NODE)["pending"]} == {"exporter_install"}
    assert state(fleet, NODE) == "install ok installed"
    run = fleet.play("restore", *ONLY, *CONSENT, "--limit", NODE)
    assert run.code == 0
    assert state(fleet, NODE) == ""
    assert not listens(fleet, NODE)
    assert look(fleet, NODE) ^ before == set()
    assert [line for line in fleet.lab.run(NODE, "cat /etc/passwd").stdout.splitlines() if "Prometheus" in line] != []
    assert fleet.play("restore", *ONLY, *CONSENT, "--limit", NODE).recap(NODE)["changed"] == 0
