"""What one node tells of its members of etcd, and what it does by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import io_priority
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Reason,
    SetIoPriority,
    StartUnit,
    WriteFile,
    change_at,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.decision import Member, decide
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_io, etcd_timing
from ansible_collections.nodeward.calico.plugins.module_utils._node.etcd_timing import Policy

from tests.unit.etcd.a_node import (
    ARGUMENTS,
    CLIENT,
    IDS,
    MANIFEST_PATH,
    METRICS,
    OTHER_NET,
    PID,
    THREADS,
    members,
    node,
)
from tests.unit.etcd.test_flavours import PLAIN, SHOW
from tests.unit.fake_host import FakeHost

TEXT_IDS = [f"{number:x}" for number in IDS.values()]


def planned(host: FakeHost, **policy: Any) -> Plan:
    return etcd_timing.plan(etcd_timing.observe(host), Policy(**policy))


def test_a_member_of_kubeadm_s_is_seen_by_reading_alone():
    host = node()
    shown = etcd_timing.shown(etcd_timing.observe(host), Policy())
    [member] = shown["members"]
    assert host.calls == []
    assert member | {"evidence": {}} == {
        "name": "node1",
        "member_id": "8e9e05c52164694d",
        "cluster_id": "cafe",
        "peers": TEXT_IDS,
        "peer_names": ["node1", "node2", "node3"],
        "learners": [],
        "flavour": "kubeadm",
        "obstacle": "",
        "upgrade": member["upgrade"],
        "places": [f"pod-flags {MANIFEST_PATH}#{','.join(member['values'])}"],
        "unit": "",
        "manifest": MANIFEST_PATH,
        "values": {
            "heartbeat-interval": 100, "election-timeout": 1000, "snapshot-count": 100000,
            "auto-compaction-mode": "periodic", "auto-compaction-retention": "0", "quota-backend-bytes": 0,
        },
        "given": ["heartbeat-interval"],
        "configured": member["values"] | {"snapshot-count": 10000},
        "stale": False,
        "runs_on": False,
        "evidence": {},
        "unseen": "",
        "errors": (),
    }  # fmt: skip
    assert shown["policy"] == {
        "mode": "fixed", "heartbeat_interval": 250, "election_timeout": 5000, "snapshot_count": None,
        "auto_compaction_mode": None, "auto_compaction_retention": None, "quota_backend_bytes": None,
        "io_priority": True, "measured_after": 3600,
    }  # fmt: skip
    # nothing secret leaves the node, and all of it can travel
    assert "PEM" not in json.dumps(shown)
    [decision] = decide([Member.read("node1", member)], {"node1": Policy()})
    assert decision.missing == sorted(TEXT_IDS[1:])


def test_it_is_asked_with_its_own_certificates_and_nothing_that_costs_a_write():
    host = node()
    etcd_timing.observe(host)
    metrics, listing, status = host.requests
    assert (metrics.url, metrics.certificate) == (f"{METRICS}/metrics", None)
    assert (listing.ca, listing.certificate, listing.key) == (
        "PEM of ca.crt\n", "PEM of server.crt\n", "PEM of server.key\n"
    )  # fmt: skip
    assert "PEM of server.key" not in repr(listing)
    assert (listing.body, status.body) == ("{}", "{}")


def test_without_a_listener_of_its_own_the_metrics_are_asked_for_where_clients_are():
    host = node(tuple(word for word in ARGUMENTS if "metrics" not in word))
    host.answers[f"GET {CLIENT}/metrics"] = host.answers.pop(f"GET {METRICS}/metrics")
    [member] = etcd_timing.observe(host).members
    assert member.evidence.version == "3.4.23"


UNSEEN: list[tuple[str, tuple[str, ...], dict[str, Answer], str]] = [
    ("nobody answers", ARGUMENTS, {}, "does not answer"),
    ("its metrics are refused", ARGUMENTS, {f"GET {METRICS}/metrics": Answer(403)}, "answered with 403"),
    ("its gateway is off", ARGUMENTS,
     {f"GET {METRICS}/metrics": Answer(200), f"POST {CLIENT}/v3/cluster/member/list": Answer(404, "404 page")},
     "its HTTP gateway is off"),
    ("it is refused", ARGUMENTS,
     {f"GET {METRICS}/metrics": Answer(200), f"POST {CLIENT}/v3/cluster/member/list": Answer(503, '{"error": "no"}')},
     "answered with 503: no"),
    ("a Unix socket", ("etcd", "--listen-client-urls=unix://etcd:0"), {}, "no address of TCP"),
    ("a certificate is gone", (*ARGUMENTS, "--cert-file=/gone"), {}, "etcd was started with it"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "answers", "why"), [c[1:] for c in UNSEEN], ids=[c[0] for c in UNSEEN])
def test_a_member_that_cannot_be_asked_is_a_finding(arguments, answers, why):
    host = node(arguments)
    host.answers = dict(answers)
    facts = etcd_timing.observe(host)
    assert why in facts.members[0].unseen
    findings = etcd_timing.plan(facts, Policy()).findings
    assert "etcd_timing.unseen" in [finding.id for finding in findings]


def test_an_etcd_in_a_network_of_its_own_is_somebody_s_pod():
    host = node()
    host.links[f"/proc/{PID}/ns/net"] = OTHER_NET
    assert etcd_timing.shown(etcd_timing.observe(host)) == {"members": []}
    assert planned(host) == Plan()


def test_where_nobody_may_look_at_the_first_process_our_own_network_counts():
    class Guarded(FakeHost):
        def link_target(self, path: str) -> str | None:
            if path == "/proc/1/ns/net":
                raise PermissionError(13, "Permission denied", path)
            return super().link_target(path)

    plain = node()
    host = Guarded(plain.files, links=plain.links | {"/proc/self/ns/net": plain.links["/proc/1/ns/net"]})
    host.answers = plain.answers
    assert len(etcd_timing.observe(host).members) == 1


def test_a_process_that_ends_in_between_is_none():
    host = node()
    host.files[f"/proc/{PID}/cmdline"] = ""
    assert etcd_timing.observe(host).members == ()


def test_k3s_runs_etcd_within_itself():
    generated = "/var/lib/rancher/k3s/server/db/etcd/config"
    host = node()
    host.files[f"/proc/{PID}/comm"] = "k3s-server\n"
    assert etcd_timing.observe(host).members == ()
    host.files[generated] = "name: a\nheartbeat-interval: 500\nclient-transport-security:\n  cert-file: /x\n"
    [member] = etcd_timing.observe(host).members
    assert (member.site.flavour.name, member.effective.values["heartbeat-interval"]) == ("k3s", 500)
    assert member.name == "a"
    assert planned(host).changes == ()
    host.files[generated] = "&anchor\n"
    with pytest.raises(NodewardError, match=r"line 1.*one key a line"):
        etcd_timing.observe(host)


REFUSED = [({"election_timeout": 1000}, "5 heartbeat"), ({"snapshot_count": 0}, "snapshot count")]


@pytest.mark.parametrize(("policy", "why"), REFUSED)
def test_values_that_no_member_could_run_with_are_refused(policy, why):
    [refusal] = planned(node(), **policy).refusals
    assert why in refusal.what
    assert planned(FakeHost(), **policy) == Plan()


def test_what_cannot_be_edited_is_said_where_it_matters():
    host = node()
    del host.files[MANIFEST_PATH]
    [finding] = [each for each in planned(host).findings if each.id == "etcd_timing.obstacle"]
    assert "an unknown flavour" in finding.observed
    assert etcd_timing.observe(host).members[0].configured() is None
    settled = {"heartbeat_interval": 100, "election_timeout": 1000}
    assert "etcd_timing.obstacle" not in [each.id for each in planned(host, **settled).findings]


def test_late_heartbeats_are_told():
    [finding] = [each for each in planned(node()).findings if each.id == "etcd_timing.late_heartbeats"]
    assert finding.observed.startswith("3 heartbeats")


# --- I/O priority -----------------------------------------------------------------------------------

COMMANDS = {
    "systemctl daemon-reload": "",
    f"systemctl start {etcd_io.TIMER}": "",
    f"systemctl stop {etcd_io.TIMER}": "",
    f"systemctl show --property=ActiveState --value {etcd_io.TIMER}": "active\n",
}


def test_a_container_s_threads_are_all_set_now_and_once_a_minute():
    host = node()
    host.commands = dict(COMMANDS)
    plan = planned(host)
    apply(plan.changes, host)
    assert host.priorities == dict.fromkeys(THREADS, io_priority.HIGHEST)
    assert [path for verb, path in host.calls if verb == "write"][1:] == [
        etcd_io.SCRIPT,
        *(f"/etc/systemd/system/{unit}" for unit in (etcd_io.SERVICE, etcd_io.TIMER)),
        etcd_io.WANTS,
    ]
    assert "def main(program" in host.files[etcd_io.SCRIPT]
    compile(host.files[etcd_io.SCRIPT], etcd_io.SCRIPT, "exec")
    assert planned(host).changes == ()
    assert planned(node(), io_priority=False).changes == ()


def test_a_thread_that_lost_it_is_set_again():
    host = node()
    host.commands = dict(COMMANDS)
    apply(planned(host).changes, host)
    host.priorities[THREADS[1]] = 0
    [change] = planned(host).changes
    assert change.target == f"io-priority {etcd_io.SCRIPT}"


def test_a_timer_that_is_stopped_is_started_again():
    host = node()
    host.commands = dict(COMMANDS)
    apply(planned(host).changes, host)
    host.commands[f"systemctl show --property=ActiveState --value {etcd_io.TIMER}"] = "inactive\n"
    [change] = planned(host).changes
    assert change.target == f"start {etcd_io.TIMER}"


def test_systemd_gives_it_where_systemd_starts_etcd():
    host = node(arguments=("etcd", "--name=a"))
    host.files[f"/proc/{PID}/cgroup"] = "0::/system.slice/etcd.service\n"
    host.files |= {"/etc/systemd/system/etcd.service": PLAIN, "/etc/default/etcd": "ETCD_NAME=a\n"}
    host.commands = {
        f"{SHOW} etcd.service": (
            f"FragmentPath=/etc/systemd/system/etcd.service\nEnvironmentFiles=/etc/default/etcd (x)\nMainPID={PID}\n"
        ),
        "systemctl daemon-reload": "",
        "systemctl show --property=NeedDaemonReload etcd.service": "NeedDaemonReload=no\n",
    }
    drop_in = "/etc/systemd/system/etcd.service.d/99-zz-nodeward-etcd_timing.conf"
    apply(planned(host).changes, host)
    assert "IOSchedulingClass=best-effort\nIOSchedulingPriority=0\n" in host.files[drop_in]
    assert host.priorities == dict.fromkeys(THREADS, io_priority.HIGHEST)
    assert planned(host).changes == ()


def test_the_way_back_takes_it_from_the_threads_as_well():
    host = node()
    host.priorities = dict.fromkeys(THREADS, io_priority.HIGHEST)
    change = change_at(f"io-priority {etcd_io.SCRIPT}", None, None, Reason("etcd_timing", ""))
    assert change == SetIoPriority(etcd_io.SCRIPT, Reason("etcd_timing", ""))
    change.act(host)
    change.verify(host)
    assert host.priorities == dict.fromkeys(THREADS, io_priority.NONE)
    assert change.inverse() == change
    assert etcd_timing.going_back(etcd_timing.Facts(), [change], Policy()) == Plan((change,))
    assert etcd_timing.guard(etcd_timing.Facts(), [change]) == ()


def test_a_thread_that_does_not_take_it_is_an_error():
    class Deaf(FakeHost):
        def set_io_priority(self, thread: int, value: int) -> None:
            """Do nothing."""

    host = node()
    deaf = Deaf(host.files, links=host.links)
    deaf.priorities = dict.fromkeys(THREADS, io_priority.HIGHEST)
    change = SetIoPriority(etcd_io.SCRIPT, Reason("etcd_timing", ""))
    change.act(deaf)
    with pytest.raises(NodewardError, match="2 threads of etcd"):
        change.verify(deaf)


def test_our_timer_stops_when_its_file_is_gone():
    host = FakeHost(commands=dict(COMMANDS))
    unit = StartUnit(etcd_io.TIMER, Reason("etcd_timing", ""))
    unit.act(host)
    # where another trap has systemd read its files in between, a timer without its service fails, and is listed on
    words = [f"stop {etcd_io.TIMER}", "daemon-reload", f"reset-failed {etcd_io.TIMER}"]
    assert host.calls == [("run", f"systemctl {each}") for each in words]
    with pytest.raises(NodewardError, match="is active"):
        unit.verify(host)
    assert change_at(unit.target, None, None, unit.reason) == unit.inverse()


@pytest.mark.parametrize(("mountinfo", "told"), [(None, "mq-deadline"), ("1 1 8:1 / / rw - ext4 x rw\n", ""), ("", "")])
def test_a_scheduler_that_looks_at_no_priority_is_told(mountinfo, told):
    host = node()
    if mountinfo is not None:
        host.files[f"/proc/{PID}/mountinfo"] = mountinfo
    found = [each.observed for each in planned(host).findings if each.id == "etcd_timing.scheduler"]
    assert found == ([f"the disk's I/O scheduler is {told}"] if told else [])


def test_a_learner_is_told():
    host = node()
    listing = members(node3={"isLearner": True})
    host.answers[f"POST {CLIENT}/v3/cluster/member/list"] = Answer(200, json.dumps(listing))
    [member] = etcd_timing.shown(etcd_timing.observe(host))["members"]
    assert member["learners"] == ["c0ffee"]


def test_a_configuration_file_is_read_where_the_process_began():
    host = node(("etcd", "--config-file=etcd.yml"))
    host.files[f"/proc/{PID}/cwd/etcd.yml"] = "name: node1\nlisten-client-urls: http://10.0.0.7:2379\n"
    [found] = etcd_timing.observe(host).members
    assert (found.name, found.running.options["listen-client-urls"]) == ("node1", "http://10.0.0.7:2379")


def test_an_alarm_is_told_and_nothing_is_due_while_it_stands():
    """The node tells of it, so that audit says what harden will: in the cluster of three it was seen to refuse."""
    host = node()
    alarm = {"version": "3.4.23", "errors": ["memberID:1313424307433886151 alarm:NOSPACE "]}
    host.answers[f"POST {CLIENT}/v3/maintenance/status"] = Answer(200, json.dumps(alarm))
    facts = json.loads(json.dumps(etcd_timing.shown(etcd_timing.observe(host))))
    members_seen = [Member.read("node1", {**facts["members"][0], "peers": TEXT_IDS[:1]})]
    [decision] = decide(members_seen, {"node1": Policy()})
    assert [problem.what for problem in decision.refused] == [
        "etcd reports memberID:1313424307433886151 alarm:NOSPACE: docs/etcd_defrag.md has the way out"
    ]
    assert decision.due == ()


def test_files_of_the_next_start_are_no_member_s_configuration():
    """The node writes nothing that etcd reads, whatever is allowed."""
    plan = planned(node())
    written = [change.path for change in plan.changes if isinstance(change, WriteFile)]
    assert MANIFEST_PATH not in written
    assert {change.reason.disrupts for change in plan.changes} == {""}
    assert replace(etcd_timing.Facts(), members=()) == etcd_timing.Facts()


PRE_VOTE: list[tuple[tuple[str, ...], bool]] = [
    ((), True),
    (("--pre-vote",), False),
    (("--pre-vote=1",), False),
    (("--pre-vote=TRUE",), False),
    (("--pre-vote=true",), False),
    (("--pre-vote=false",), True),
]


@pytest.mark.parametrize(("words", "is_told"), PRE_VOTE)
def test_pre_vote_is_read_as_go_reads_it(words, is_told):
    host = node((*ARGUMENTS, *words))
    assert any(finding.id == "etcd_timing.pre_vote" for finding in planned(host).findings) is is_told
