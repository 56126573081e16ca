"""What the kubelet's configuration gets, and how it goes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Reason,
    RemoveFile,
    RestartUnit,
    SetKey,
    WriteFile,
    change_at,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet_plan
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet, Reservation
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_file import OWN_NAME
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_plan import Wishes

from tests.unit.fake_host import FakeHost
from tests.unit.node.kubelet_nodes import (
    ALL,
    CONFIG,
    DEFAULTS,
    ENFORCED,
    FLOORS,
    FOLDER,
    HAS_ALL,
    KUBEADM,
    RESTART,
    STARTED,
    UNIT,
    node,
    planned,
    seen,
    told,
    used,
)

CASES: list[tuple[str, FakeHost, Wishes, int, dict[str, str | None]]] = [
    ("as kubeadm leaves it", node(), DEFAULTS, 0, ALL),
    ("a busy pod", node(), DEFAULTS, 1024, ALL),
    ("a busier pod", node(), DEFAULTS, 1025, {**ALL, "podPidsLimit": "4100"}),
    ("a cap that was given", node(), replace(DEFAULTS, cap=2000), 1000, {**ALL, "podPidsLimit": "2000"}),
    ("no cap wanted", node(), replace(DEFAULTS, cap=-1), 0, {k: v for k, v in ALL.items() if k != "podPidsLimit"}),
    ("no floors wanted", node(), Wishes(None, {"systemReserved.pid": 0, "kubeReserved.pid": 0}), 0,
     {"podPidsLimit": "4096", **RESTART}),
    ("all there", node(HAS_ALL), DEFAULTS, 0, {}),
    ("no limit, in words", node(HAS_ALL.replace("500", "-1")), DEFAULTS, 0, {"podPidsLimit": "4096", **RESTART}),
    ("a floor not reached", node(HAS_ALL.replace("2000", "512")), DEFAULTS, 0,
     {"systemReserved.pid": '"1024"', **RESTART}),
    ("nothing wanted of a file nobody can read", node("\t{"),
     Wishes(-1, {"systemReserved.pid": 0, "kubeReserved.pid": 0}), 0, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "wishes", "busiest", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_it_gets(host, wishes, busiest, wanted):
    plan = planned(host, wishes, busiest)
    assert (plan.refusals, plan.findings) == ((), ())
    assert told(plan) == wanted


def test_the_file_as_it_is_written_and_put_back():
    host = node()
    changes = planned(host).changes
    with pytest.raises(NodewardError, match="was not restarted"):  # the fake one starts under its old id
        apply(changes, host)
    assert host.files[CONFIG] == KUBEADM
    assert host.calls.count(("run", "systemctl restart kubelet.service")) == 2
    for change in changes[:-1]:
        change.act(host)
    assert host.files[CONFIG] == (
        KUBEADM + 'podPidsLimit: 4096\nsystemReserved:\n  pid: "1024"\nkubeReserved:\n  pid: "1024"\n'
    )
    host.times[CONFIG] = STARTED - 60
    assert planned(host).changes == ()


def test_a_drop_in_of_its_own_where_the_kubelet_reads_a_folder():
    host = node(KUBEADM, folder=True, **{"10-theirs": "systemReserved: {cpu: 1, pid: '3000'}\n"})
    write, restart = planned(host).changes
    assert isinstance(write, WriteFile)
    assert isinstance(restart, RestartUnit)
    assert write.path == f"{FOLDER}/{OWN_NAME}"
    assert write.after.splitlines()[0].startswith("# Managed by")
    assert yaml.safe_load(write.after) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "podPidsLimit": 4096,
        "kubeReserved": {"pid": "1024"},
    }
    write.act(host)
    assert planned(host).changes == ()
    more = planned(host, replace(DEFAULTS, floors={**FLOORS, "kubeReserved.pid": 2000})).changes[0]
    assert yaml.safe_load(str(more.after))["podPidsLimit"] == 4096
    assert yaml.safe_load(str(more.after))["kubeReserved"] == {"pid": "2000"}


@pytest.mark.parametrize("folder", [False, True])
def test_a_run_that_was_killed_before_the_restart(folder):
    host = node(KUBEADM, folder=folder)
    first = planned(host).changes
    for change in first[:-1]:
        change.act(host)
    written = f"{FOLDER}/{OWN_NAME}" if folder else CONFIG
    host.now = 1000.0
    host.times[written] = STARTED + 1
    assert planned(host).changes == ()
    host.times[written] = STARTED + 100
    (restart,) = planned(host).changes
    assert restart.target == "restart kubelet.service"
    assert f"{written} was written after the kubelet was started" in restart.reason.why


# Seconds after STARTED, by which the process counts: when the file was written, what systemd noted of the start, now.
CLOCKS = [
    ("written after the start", 100, 0, 1000, True),
    ("started after it, by a clock that was an hour ahead then", 3600, 3601, 4000, False),
    ("written by a clock that was an hour ahead, and started anew since", 3600, 0, 1000, False),
    ("the same an hour later, when nothing tells it from one that was written then", 3600, 0, 4000, True),
    ("started by a clock that was an hour ahead, and written since", 100, 3600, 1000, True),
    ("written by what the unit runs before the kubelet", -1, -60, 1000, False),
]


@pytest.mark.parametrize(
    ("written", "noted", "now", "is_due"), [case[1:] for case in CLOCKS], ids=[c[0] for c in CLOCKS]
)
def test_a_clock_that_was_set_does_not_make_a_file_newer(written, noted, now, is_due):
    host = node()
    for change in planned(host).changes[:-1]:
        change.act(host)
    host.now, host.times = now, {CONFIG: STARTED + written, UNIT: STARTED + noted}
    assert [change.target for change in planned(host).changes] == ["restart kubelet.service"] * is_due


def test_a_file_without_our_keys_may_be_as_new_as_it_likes():
    host = node()
    host.now, host.times[CONFIG] = 1000.0, STARTED + 100
    assert planned(host, Wishes(-1, {"systemReserved.pid": 0, "kubeReserved.pid": 0})).changes == ()


def test_a_later_file_wins_and_is_named():
    later = {"99-zzz": "podPidsLimit: -1\n", "99-zzzz": 'systemReserved: {pid: "100"}\npodPidsLimit: -1\n'}
    host = node(KUBEADM, folder=True, **later)
    plan = planned(host)
    assert [(f.id, f.where, f.observed) for f in plan.findings] == [
        ("pid_limits.overridden", f"{FOLDER}/99-zzz.conf", "podPidsLimit: -1"),
        ("pid_limits.overridden", f"{FOLDER}/99-zzzz.conf", "podPidsLimit: -1"),
        ("pid_limits.overridden", f"{FOLDER}/99-zzzz.conf", "systemReserved.pid: 100"),
        ("pid_limits.unlimited_pods", "kubelet podPidsLimit", "no limit"),
    ]
    write, _restart = plan.changes
    assert yaml.safe_load(str(write.after))["kubeReserved"] == {"pid": "1024"}
    assert "podPidsLimit" not in str(write.after)
    write.act(host)
    again = planned(host)
    assert (again.changes, again.findings) == ((), plan.findings)


def test_what_stands_in_our_file_already_is_not_written_again():
    host = node(KUBEADM, folder=True)
    planned(host).changes[0].act(host)
    facts = replace(seen(host), pod_pids_limit=-1)
    assert kubelet_plan.plan(facts, 0, DEFAULTS, "pid_limits").changes == ()


def test_no_kubelet_nothing_to_do():
    assert kubelet_plan.plan(Kubelet(), 0, DEFAULTS, "pid_limits") == Plan()


REASON = Reason("pid_limits", "back")
OWN = f"{FOLDER}/{OWN_NAME}"
BACK: list[tuple[str, Any, bool]] = [
    ("no cap again", SetKey("yaml", CONFIG, "podPidsLimit", "4096", None, REASON), True),
    ("unlimited again", SetKey("yaml", CONFIG, "podPidsLimit", "4096", "-1", REASON), True),
    ("a lower cap, enough", SetKey("yaml", CONFIG, "podPidsLimit", "4096", "2000", REASON), True),
    ("a lower cap", SetKey("yaml", CONFIG, "podPidsLimit", "4096", "1999", REASON), False),
    ("a lower reservation", SetKey("yaml", CONFIG, "systemReserved.pid", '"1024"', '"599"', REASON), False),
    ("a lower reservation that is no limit", SetKey("yaml", CONFIG, "kubeReserved.pid", '"1024"', '"1"', REASON), True),
    ("a drop-in", WriteFile(OWN, "x", "podPidsLimit: 100\n", REASON), False),
    ("another file", WriteFile("/etc/x", "x", "podPidsLimit: 100\n", REASON), True),
    ("the restart", RestartUnit("kubelet.service", "a1", REASON), True),
]


@pytest.mark.parametrize(("change", "allowed"), [case[1:] for case in BACK], ids=[case[0] for case in BACK])
def test_nothing_goes_back_below_twice_the_live_use(change, allowed):
    facts = Kubelet(True, reserved={"systemReserved.pid": Reservation(1024, "/system.slice", 300)})
    assert (list(kubelet_plan.guard(facts, 1000, [change], "pid_limits")) == []) == allowed


LOW = ENFORCED + 'systemReserved:\n  pid: "200"\n'
LESS = 'systemReserved: {pid: "299"}\n'
MORE = 'systemReserved: {pid: "300"}\n'
OURS = 'systemReserved:\n  pid: "1024"\n'
FOLDER_FLAG = "--system-reserved=pid=200"
REMOVED: list[tuple[str, FakeHost, bool]] = [
    ("the main file has too little", node(LOW, folder=True), False),
    ("the main file has none", node(ENFORCED, folder=True), True),
    ("an earlier file has enough", node(LOW, folder=True, **{"10": MORE}), True),
    ("an earlier file has too little", node(ENFORCED, folder=True, **{"10": LESS}), False),
    ("the last of the earlier files wins", node(LOW, folder=True, **{"10": MORE, "20": LESS}), False),
    ("a later file wins now as well", node(LOW, folder=True, zz=LESS), True),
    ("a flag wins", node(LOW, FOLDER_FLAG, folder=True), True),
]


@pytest.mark.parametrize(("host", "allowed"), [case[1:] for case in REMOVED], ids=[case[0] for case in REMOVED])
def test_our_drop_in_goes_only_where_enough_is_left(host, allowed):
    used(host, 150).files[OWN] = OURS
    for change in (RemoveFile(OWN, OURS, REASON), WriteFile(OWN, OURS, "kind: KubeletConfiguration\n", REASON)):
        refusals = list(kubelet_plan.guard(seen(host), 0, [change], "pid_limits"))
        assert [r.where for r in refusals] == ([] if allowed else [f"file {OWN} systemReserved.pid"])


def test_the_restart_of_a_unit():
    host = node()
    restart = RestartUnit("kubelet.service", "a1", REASON)
    restart.check(host)
    assert host.calls == []
    restart.act(host)
    host.links[UNIT] = "a2"
    restart.verify(host)
    assert restart.inverse() == restart
    assert change_at(restart.target, "a1", None, REASON) == restart
    with pytest.raises(NodewardError, match="expected 'a1', found 'a2'"):
        restart.check(host)
    with pytest.raises(NodewardError, match="is not running"):
        RestartUnit("kubelet.service", None, REASON).check(host)
    host.commands["systemctl show --property=ActiveState --value kubelet.service"] = "activating\n"
    with pytest.raises(NodewardError, match="is activating after its restart"):
        restart.verify(host)


EVICTION = [
    ("in the file", 'evictionHard:\n  memory.available: "5%"  # ours\n', False),
    ("in the file, in flow style", "evictionHard: {memory.available: 5%, pid.available: 10%}\n", False),
    ("nowhere", "", False),
    ("in the file, with a folder", 'evictionHard:\n  memory.available: "5%"\n', True),
]


@pytest.mark.parametrize(("text", "folder"), [case[1:] for case in EVICTION], ids=[case[0] for case in EVICTION])
def test_eviction_hard_is_never_written_in_part(text, folder):
    """Thresholds that are left out of evictionHard become zero, so it stays what it is, word for word."""
    host = node(KUBEADM + text, folder=folder)
    plan = planned(host)
    assert {type(change) for change in plan.changes} == {WriteFile if folder else SetKey, RestartUnit}
    for change in plan.changes:
        change.act(host)
    written = host.files[CONFIG]
    assert written.startswith(KUBEADM + text)
    assert written[len(KUBEADM + text) :].count("eviction") == 0
    assert "eviction" not in host.files.get(f"{FOLDER}/{OWN_NAME}", "")
