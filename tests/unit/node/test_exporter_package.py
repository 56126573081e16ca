"""A node without node-exporter gets its distribution's with consent, told of the collector, and loses it again."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply, check, restore
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.packages import Apt
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import describe, diff
from ansible_collections.nodeward.calico.plugins.module_utils._node import process_metrics
from ansible_collections.nodeward.calico.plugins.module_utils._node import restore as way_back
from ansible_collections.nodeward.calico.plugins.module_utils._node.process_metrics import PUT_BACK, Policy

from tests.unit.node.fake_exporters import DEFAULTS, FOLDER, UNIT
from tests.unit.node.fake_packages import LIST, NAME, OTHERS, PackageHost

CONSENT = "exporter_install"
TARGET = f"package {NAME}"
SWITCH = f"env-switch {DEFAULTS}#ARGS:collector.processes"


def plan(host: PackageHost) -> Plan:
    return process_metrics.plan(process_metrics.observe(host), Policy())


def attempt(host: PackageHost) -> Plan:
    return process_metrics.attempt(plan(host).changes, host, Policy())


def back(host: PackageHost) -> tuple[way_back.Facts, Plan]:
    known = way_back.observe(journal.decode(host.files.get(journal.PATH)), host, [process_metrics.TRAP])
    wanted = way_back.plan(known, [process_metrics.TRAP])
    going = process_metrics.going_back(process_metrics.observe(host), wanted.changes, Policy())
    return known, Plan(findings=wanted.findings) + going


def go_back(host: PackageHost, allow: tuple[str, ...] = (CONSENT,)) -> Plan:
    known, going = back(host)
    now, _pending = going.split(allow)
    restore(now, way_back.forgotten(known, going, now), host)
    return going


def test_it_is_installed_told_of_the_collector_in_the_same_run_and_removed():
    host = PackageHost()
    files, folders = dict(host.files), set(host.folders)
    [change] = plan(host).changes
    assert (change.target, change.reason.disrupts, change.reason.severity) == (TARGET, CONSENT, "info")
    assert (describe(change)["before"], describe(change)["after"]) == (None, "installed")
    assert (diff(change)["before"], diff(change)["after"]) == ("", "installed\n")

    done = attempt(host)
    assert ([each.target for each in done.changes], done.findings) == ([TARGET, SWITCH, f"restart {UNIT}"], ())
    assert "--collector.processes" in host.words
    assert plan(host) == Plan()

    going = go_back(host)
    assert [each.target for each in going.changes] == [SWITCH, TARGET]
    assert {each.reason.disrupts for each in going.changes} == {CONSENT}
    assert (host.files, host.folders, host.restarts) == (files, folders, 1)
    assert go_back(host).changes == ()


def test_without_consent_nothing_of_it_goes_back_and_the_journal_keeps_all():
    host = PackageHost()
    attempt(host)
    files = dict(host.files)
    go_back(host, allow=())
    assert (host.files, host.restarts) == (files, 1)


NONE: list[tuple[str, dict[str, Any], dict[str, str | None], str]] = [
    ("another distribution", {"release": 'ID="rocky"\nID_LIKE="rhel fedora"\nPRETTY_NAME="Rocky Linux 9"\n'}, {},
     "it is Rocky Linux 9, for which harden has no package to install"),
    ("nobody knows which", {"release": ""}, {}, "it is of an unknown distribution"),
    ("no package lists", {}, {LIST: None}, "run apt-get update there"),
    ("a policy that starts nothing", {}, {Apt.STATUS: f"Package: {NAME}\nStatus: install ok installed\n\n{OTHERS}"},
     f"see systemctl status {NAME}"),
    ("removed by somebody", {}, {Apt.STATUS: f"{OTHERS}Package: {NAME}\nStatus: deinstall ok config-files\n"},
     "dpkg -l"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "files", "hint"), [case[1:] for case in NONE], ids=[case[0] for case in NONE])
def test_where_none_can_be_installed_a_finding_says_why(node, files, hint):
    host = PackageHost(**node)
    host.files |= {path: text for path, text in files.items() if text is not None}
    for path in [path for path, text in files.items() if text is None]:
        del host.files[path]
    told = plan(host)
    assert told.changes == ()
    [finding] = told.findings
    assert (finding.id, finding.severity, hint in finding.remedy) == ("process_metrics.none", "info", True)


def test_a_distribution_made_from_debian_is_one():
    assert [each.target for each in plan(PackageHost(release='ID=ubuntu\nID_LIKE="debian"\n')).changes] == [TARGET]


@pytest.mark.parametrize(
    ("node", "told"),
    [({"fails": "--simulate"}, "no such host"), ({"others": "adduser libc6"}, "change adduser, libc6")],
)
def test_what_apt_would_not_do_or_not_do_alone_is_refused_before_anything(node, told):
    host = PackageHost(**node)
    files = dict(host.files)
    for act in (check, apply):
        with pytest.raises(NodewardError, match=told):
            act(plan(host).changes, host)
    assert host.files == files
    assert not [path for _verb, path in host.calls if "--simulate" not in path]


def test_an_archive_that_cannot_be_reached_is_an_error_that_leaves_nothing():
    host = PackageHost(fails="DPkg::Lock::Timeout=60")
    files = dict(host.files)
    with pytest.raises(NodewardError, match=r"no such host.*put back"):
        attempt(host)
    assert host.files == files


def test_one_that_does_worse_with_the_collector_stays_without():
    host = PackageHost()
    host.slow = 9.0
    done = attempt(host)
    assert [each.target for each in done.changes] == [TARGET, f"file {PUT_BACK}"]
    assert [each.id for each in done.findings] == ["process_metrics.put_back"]
    assert "--collector.processes" not in host.words


def test_one_that_is_not_started_is_told_of():
    host = PackageHost(starts=False)
    done = attempt(host)
    assert ([each.target for each in done.changes], [each.id for each in done.findings]) == (
        [TARGET], ["process_metrics.none"],
    )  # fmt: skip


THEIRS = [
    ("its arguments", DEFAULTS, 'ARGS="--collector.processes --collector.systemd"\n'),
    ("a drop-in of its unit", f"/etc/systemd/system/{UNIT}.d/mine.conf", "[Service]\nNice=5\n"),
    ("metrics of their own", f"{FOLDER}/backup.prom", "backup_age 1\n"),
]


@pytest.mark.parametrize(("path", "text"), [case[1:] for case in THEIRS], ids=[case[0] for case in THEIRS])
def test_a_package_that_somebody_configured_stays_and_the_rest_goes_back(path, text):
    host = PackageHost()
    attempt(host)
    host.files[path] = text
    going = go_back(host)
    assert [each.target for each in going.changes] == [SWITCH, f"restart {UNIT}"]
    [finding] = going.findings
    assert (finding.id, path in finding.observed) == ("process_metrics.package_kept", True)
    assert "--collector.processes" not in host.words
    assert TARGET in dict(journal.decode(host.files[journal.PATH]).entries), "a later restore may remove it"


def test_our_own_metrics_do_not_keep_it():
    host = PackageHost()
    attempt(host)
    host.files[f"{FOLDER}/nodeward_bird_watchdog.prom"] = "x 1\n"
    go_back(host)
    assert NAME not in host.files[Apt.STATUS]


def test_one_that_somebody_removed_is_forgotten():
    host = PackageHost()
    attempt(host)
    host._purge()
    assert go_back(host) == Plan()
    assert journal.PATH not in host.files
