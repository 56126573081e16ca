"""The timer of the trap etcd_defrag: only where one is asked for, and gone where it is not."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Reason,
    RemoveFile,
    StartUnit,
    WriteFile,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_defrag, timers
from ansible_collections.nodeward.calico.plugins.module_utils._node.etcd_defrag import Facts, Policy

from tests.unit.etcd.a_node import PID
from tests.unit.etcd.fake_cluster import FakeCluster
from tests.unit.fake_host import FakeHost

WEEKLY = Policy(timer="Sun *-*-* 03:00")


def installed(policy: Policy = WEEKLY) -> dict[str, str]:
    changes = etcd_defrag.plan(Facts(has_member=True), policy).changes
    return {change.path: change.after for change in changes if isinstance(change, WriteFile)}


def with_timer(timer: str = "active", service: str = "inactive") -> FakeCluster:
    """A node with a member and our files, whose units are in these states."""
    cluster = FakeCluster()
    cluster.files |= installed()
    for unit, state in ((etcd_defrag.TIMER, timer), (etcd_defrag.SERVICE, service)):
        cluster.commands[f"systemctl show --property=ActiveState --value {unit}"] = f"{state}\n"
    return cluster


def test_unless_it_is_asked_for_there_is_none():
    assert etcd_defrag.plan(etcd_defrag.observe(FakeCluster()), Policy()).changes == ()


def test_where_no_member_runs_there_is_none():
    facts = etcd_defrag.observe(FakeHost({}))
    assert facts == Facts()
    assert etcd_defrag.plan(facts, WEEKLY).changes == ()


def test_where_it_is_asked_for_it_comes_once():
    plan = etcd_defrag.plan(etcd_defrag.observe(FakeCluster()), WEEKLY)
    assert [change.path for change in plan.changes if isinstance(change, WriteFile)] == [*etcd_defrag.PATHS]
    assert plan.changes[-1] == StartUnit(etcd_defrag.TIMER, plan.changes[-1].reason, calendar="Sun *-*-* 03:00")
    cluster = with_timer()
    assert etcd_defrag.plan(etcd_defrag.observe(cluster), WEEKLY) == Plan()


@pytest.mark.parametrize(
    ("policy", "path", "text"),
    [
        (WEEKLY, f"{timers.UNITS}/{etcd_defrag.TIMER}", "\nOnCalendar=Sun *-*-* 03:00\n"),
        (Policy(timer="weekly", least_bytes=7), etcd_defrag.CONFIG, '"least_bytes": 7'),
        (Policy(timer="weekly", any_version=True), etcd_defrag.CONFIG, '"any_version": true'),
    ],
)
def test_what_is_asked_for_is_what_its_files_say(policy, path, text):
    files = installed(policy)
    assert text in files[path]
    settings = {"least_bytes", "most_in_use", "any_version", "allow_outage"}
    assert set(json.loads(files[etcd_defrag.CONFIG])) == settings
    # another wish is one file more to write, and the timer is started anew
    plan = etcd_defrag.plan(Facts(has_member=True, texts=files), Policy(timer="daily", most_in_use=0.1))
    assert [type(change) for change in plan.changes] == [WriteFile, WriteFile, StartUnit]


def test_a_timer_that_is_stopped_is_started_again():
    plan = etcd_defrag.plan(etcd_defrag.observe(with_timer(timer="inactive")), WEEKLY)
    assert [change.target for change in plan.changes] == [f"start {etcd_defrag.TIMER}"]


def test_a_member_that_is_down_keeps_its_timer_and_that_is_told():
    cluster = with_timer()
    del cluster.files[f"/proc/{PID}/comm"]
    plan = etcd_defrag.plan(etcd_defrag.observe(cluster), WEEKLY)
    assert plan.changes == ()
    assert [finding.id for finding in plan.findings] == ["etcd_defrag.no_member"]


def test_where_something_else_defragments_it_there_is_no_timer_and_that_is_told():
    host = with_timer()
    host.folders.add("/etc/kubernetes/static-pod-resources/etcd-certs")
    made = etcd_defrag.plan(etcd_defrag.observe(host), WEEKLY)
    assert "defragments_itself" in made.findings[-1].id
    assert {change.target for change in made.changes} == {
        change.target for change in etcd_defrag.plan(etcd_defrag.observe(with_timer()), Policy()).changes
    }, "one that was installed goes"
    assert [each.id for each in etcd_defrag.plan(etcd_defrag.observe(host), Policy()).findings] == []


@pytest.mark.parametrize(("voters", "is_told"), [(1, True), (2, True), (3, False)])
def test_a_timer_that_needs_a_consent_is_told(voters, is_told):
    host = with_timer()
    host.voters = host.voters[:voters]
    facts = etcd_defrag.observe(host)
    told = [finding.id for finding in etcd_defrag.plan(facts, WEEKLY).findings]
    assert told == ["etcd_defrag.needs_consent"] * is_told
    assert etcd_defrag.plan(facts, Policy(timer=WEEKLY.timer, allow_outage=True)).findings == ()
    assert etcd_defrag.plan(facts, Policy()).findings == ()


def test_a_turn_that_failed_is_told():
    [finding] = etcd_defrag.plan(etcd_defrag.observe(with_timer(service="failed")), WEEKLY).findings
    assert (finding.id, finding.severity) == ("etcd_defrag.turn_failed", "medium")


def test_a_configuration_of_etcd_that_cannot_be_read_is_no_matter_of_ours():
    cluster = FakeCluster()
    cluster.files |= {f"/proc/{PID}/cmdline": "etcd\0--config-file=/etc/etcd.yml\0", "/etc/etcd.yml": "x: &a {b\n"}
    assert etcd_defrag.plan(etcd_defrag.observe(cluster), Policy()) == Plan()


def test_a_time_that_systemd_does_not_take_is_refused_before_anything_is_written():
    host = FakeHost({}, commands={"systemd-analyze calendar weekly": "well"})
    StartUnit(etcd_defrag.TIMER, Reason("etcd_defrag", ""), calendar="weekly").check(host)
    with pytest.raises(NodewardError):
        StartUnit(etcd_defrag.TIMER, Reason("etcd_defrag", ""), calendar="nonsense").check(host)


def test_a_time_that_never_comes_is_refused_before_anything_is_written():
    told = "  Original form: 2020-01-01\n    Next elapse: never\n"
    host = FakeHost({}, commands={"systemd-analyze calendar 2020-01-01": told})
    with pytest.raises(NodewardError, match="never comes"):
        StartUnit(etcd_defrag.TIMER, Reason("etcd_defrag", ""), calendar="2020-01-01").check(host)


def test_one_that_never_was_loaded_counts_as_stopped():
    """The way back of a run that failed before systemd had read the file."""
    show = f"systemctl show --property=ActiveState --value {etcd_defrag.TIMER}"
    host = FakeHost({}, commands={"systemctl daemon-reload": "", show: "inactive\n"})
    unit = StartUnit(etcd_defrag.TIMER, Reason("etcd_defrag", ""))
    unit.act(host)
    unit.verify(host)


def test_where_it_is_not_asked_for_any_more_all_of_it_goes():
    files = installed()
    plan = etcd_defrag.plan(Facts(has_member=True, texts=files), Policy())
    assert [change.path for change in plan.changes if isinstance(change, RemoveFile)] == [*reversed(etcd_defrag.PATHS)]
    assert plan.changes[-1].target == f"start {etcd_defrag.TIMER}", "which stops it where its file is gone"


REFUSED = [
    ("two lines", Policy(timer="weekly\nExecStart=/bin/x"), "no time that a timer"),
    ("a specifier", Policy(timer="%n"), "no time that a timer"),
    ("a tab alone is no time", Policy(timer="\t"), "no time that a timer"),
    ("a space alone is no time", Policy(timer=" "), "no time that a timer"),
    ("bytes below 0", Policy(least_bytes=-1), "least_bytes"),
    ("more than all", Policy(most_in_use=1.5), "most_in_use"),
    ("no number", Policy(most_in_use=float("nan")), "most_in_use"),
]


@pytest.mark.parametrize(("policy", "what"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_makes_no_sense_is_refused(policy, what):
    plan = etcd_defrag.plan(Facts(has_member=True), policy)
    [refusal] = plan.refusals
    assert what in str(refusal)
    assert plan.changes == ()
