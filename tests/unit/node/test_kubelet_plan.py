"""What the kubelet's configuration gets, and what it does not."""

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
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, kubelet_plan
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet, Reservation
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_file import OWN_NAME
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_plan import Wishes

from tests.unit.fake_host import FakeHost

CONFIG = "/var/lib/kubelet/config.yaml"
FOLDER = "/etc/kubernetes/kubelet.conf.d"
UNIT = "/run/systemd/units/invocation:kubelet.service"
KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
# the cluster's own
clusterDNS:
- 10.96.0.10
kind: KubeletConfiguration
maxPods: 110
"""
FLOORS = {"systemReserved.pid": 1024, "kubeReserved.pid": 1024}
DEFAULTS = Wishes(None, FLOORS)
STARTED = 1700000000.0


def node(config: str | None = KUBEADM, *flags: str, folder: bool = False, **files: str) -> FakeHost:
    """A node with a kubelet, started with --config unless ``config`` is None."""
    arguments = ["kubelet", *([f"--config={CONFIG}"] if config is not None else []), *flags]
    arguments += [f"--config-dir={FOLDER}"] if folder else []
    return FakeHost(
        {
            "/proc/712/cmdline": "\0".join(arguments) + "\0",
            "/proc/712/cgroup": "0::/system.slice/kubelet.service\n",
            "/proc/712/stat": "712 (kubelet) " + " ".join(["0"] * 20),
            "/proc/stat": f"btime {STARTED:.0f}\n",
            **({CONFIG: config} if config else {}),
            **{f"{FOLDER}/{name}.conf": text for name, text in files.items()},
        },
        links={UNIT: "a1"},
        commands={
            "systemctl reset-failed kubelet.service": "",
            "systemctl restart kubelet.service": "",
            "systemctl show --property=ActiveState --value kubelet.service": "active\n",
        },
    )


def seen(host: FakeHost) -> Kubelet:
    return kubelet.observe(host, {712: "kubelet"})


def planned(host: FakeHost, wishes: Wishes = DEFAULTS, busiest: int = 0) -> Plan:
    return kubelet_plan.plan(seen(host), busiest, wishes, "pid_limits")


def told(plan: Plan) -> dict[str, str | None]:
    assert all(change.reason.disrupts == "kubelet_restart" for change in plan.changes)
    return {change.target.removeprefix(f"yaml {CONFIG}#"): change.after for change in plan.changes}


RESTART = {"restart kubelet.service": None}
ALL = {"podPidsLimit": "4096", "systemReserved.pid": '"1024"', "kubeReserved.pid": '"1024"', **RESTART}
HAS_ALL = KUBEADM + 'podPidsLimit: 500\nsystemReserved:\n  pid: "2000"\nkubeReserved:\n  pid: 2k\n'

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


ENFORCED = KUBEADM + "enforceNodeAllocatable: [pods, system-reserved]\nsystemReservedCgroup: /system.slice\n"


def used(host: FakeHost, threads: int) -> FakeHost:
    host.files["/sys/fs/cgroup/system.slice/pids.current"] = f"{threads}\n"
    return host


def linked(host: FakeHost) -> FakeHost:
    del host.files[CONFIG]
    host.links[CONFIG] = "/gone/config.yaml"
    return host


def without(host: FakeHost, path: str) -> FakeHost:
    host.files.pop(path, None)
    host.links.pop(path, None)
    return host


REFUSED: list[tuple[str, FakeHost, Wishes, int, str, str]] = [
    ("not YAML", node("[Unit]\nDescription=x\n"), DEFAULTS, 0, CONFIG, "cannot be read as YAML: line 1"),
    ("a tab", node(KUBEADM + "\tx: 1\n"), DEFAULTS, 0, CONFIG, "line 7: it holds a tab"),
    ("a list", node("- a: b\n"), DEFAULTS, 0, CONFIG, "it is a list"),
    ("one word", node("---\nrubbish\n"), DEFAULTS, 0, CONFIG, "cannot be read as YAML: line 2"),
    ("bytes that are no text", node(KUBEADM + "a: \udcff\n"), DEFAULTS, 0, CONFIG, "cannot be read as YAML: line 7"),
    ("no end of its brackets", node("{a: [1, 2\n"), DEFAULTS, 0, CONFIG, "cannot be read as YAML: line 1"),
    ("broken, and another one unsure", node("rubbish", folder=True, x="a: &b c\n"), DEFAULTS, 0, CONFIG, "line 1"),
    ("empty", node("# nothing\n"), DEFAULTS, 0, CONFIG, "holds nothing"),
    ("not YAML, beside a folder", node("{[", folder=True), DEFAULTS, 0, CONFIG, "cannot be read"),
    ("a drop-in that is not YAML", node(KUBEADM, folder=True, x="{["), DEFAULTS, 0, f"{FOLDER}/x.conf", "cannot be"),
    ("a link into nowhere", linked(node()), DEFAULTS, 0, CONFIG, "is a link to /gone/config.yaml, which is not there"),
    ("gone", without(node(), CONFIG), DEFAULTS, 0, CONFIG, "is not there"),
    ("a cap below twice the busiest pod", node(), replace(DEFAULTS, cap=1999), 1000, "kubelet podPidsLimit",
     "less than twice the 1000 threads"),
    ("a reservation that is a limit, more than half used", used(node(ENFORCED), 513), DEFAULTS, 0, "/system.slice",
     "513 threads run in it"),
    ("a reservation that is the limit of what cannot be seen", node(ENFORCED), DEFAULTS, 0, "/system.slice",
     "cannot be told"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "wishes", "busiest", "where", "what"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_is_refused(host, wishes, busiest, where, what):
    plan = planned(host, wishes, busiest)
    (refusal,) = plan.refusals
    assert (refusal.where, plan.changes) == (where, ())
    assert what in refusal.what


def test_a_broken_file_is_told_too_where_nothing_has_to_be_written():
    ours = 'podPidsLimit: 4096\nsystemReserved:\n  pid: "1024"\nkubeReserved:\n  pid: "1024"\n'
    host = node(folder=True, **{OWN_NAME.removesuffix(".conf"): ours})
    well, ill = planned(host), planned(linked(host))
    assert (well.changes, well.findings) == ((), ())
    assert (ill.changes, ill.refusals) == ((), ())
    [finding] = ill.findings
    assert (finding.id, finding.severity, finding.where) == ("pid_limits.kubelet_config", "high", CONFIG)
    assert "is a link to /gone/config.yaml" in finding.observed


def test_a_reservation_that_is_a_limit_half_used():
    assert told(planned(used(node(ENFORCED), 512))) == ALL


VALID: dict[str, str] = {
    "a list over two lines": KUBEADM + "tlsCipherSuites: [A,\n  B]\n",
    "an anchor": KUBEADM + "a: &x {b: c}\nd: *x\n",
    "a tag": KUBEADM + "a: !!str 5\n",
    "an end of the document": KUBEADM + "---\n",
    "flow style": "{kind: KubeletConfiguration, maxPods: 110}\n",
    "flow style, a bracket in quotes": '{kind: KubeletConfiguration, a: "["}\n',
    "text over two lines": KUBEADM + "a: b\n  c\n",
    "a tab in a text": KUBEADM + "a: 'b\n\tc'\n",
    "a byte order mark": "\ufeff" + KUBEADM,
    "a directive": "%YAML 1.1\n---\n" + KUBEADM,
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
@pytest.mark.parametrize("folder", [False, True])
def test_what_yaml_may_allow_is_told_and_nothing_of_the_kubelet_is_done(text, folder):
    assert isinstance(next(iter(yaml.safe_load_all(text))), dict)
    plan = planned(node(text, folder=folder))
    assert (plan.changes, plan.refusals) == ((), ())
    assert [finding.id for finding in plan.findings] == ["pid_limits.kubelet_config", "pid_limits.unlimited_pods"]
    assert plan.findings[0].where.startswith(f"{CONFIG} line ")


@pytest.mark.parametrize("text", [case[1].files[CONFIG] for case in REFUSED[:6]])
def test_what_is_refused_is_no_mapping_to_a_yaml_library_either(text):
    try:
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeError):
        return
    assert not isinstance(loaded, dict)


FLAG = "/etc/default/kubelet"
FOUND: list[tuple[str, FakeHost, Wishes, int, list[tuple[str, str]], dict[str, str | None]]] = [
    ("flags only", node(None), DEFAULTS, 0, [("kubelet_flags", "kubelet.service"),
                                             ("unlimited_pods", "kubelet podPidsLimit")], {}),
    ("a flag for the cap", node(KUBEADM, "--pod-max-pids=-1"), DEFAULTS, 0,
     [("kubelet_flags", "kubelet.service"), ("unlimited_pods", "kubelet podPidsLimit")],
     {k: v for k, v in ALL.items() if k != "podPidsLimit"}),
    ("a flag for a reservation", node(KUBEADM, "--system-reserved=cpu=1"), DEFAULTS, 0,
     [("kubelet_flags", "kubelet.service")], {k: v for k, v in ALL.items() if k != "systemReserved.pid"}),
    ("a flag that is enough", node(KUBEADM, "--system-reserved=pid=1024"), DEFAULTS, 0, [],
     {k: v for k, v in ALL.items() if k != "systemReserved.pid"}),
    ("JSON", node('{"maxPods": 5}'), DEFAULTS, 0, [("kubelet_config", CONFIG),
                                                   ("unlimited_pods", "kubelet podPidsLimit")], {}),
    ("flow style at the place", node(KUBEADM + "systemReserved: {cpu: 1}\n"), DEFAULTS, 0,
     [("kubelet_config", f"{CONFIG} line 7")], {k: v for k, v in ALL.items() if k != "systemReserved.pid"}),
    *((f"a cap written as {cap}", node(KUBEADM + f"podPidsLimit: {cap}\n"), DEFAULTS, 0, [("kubelet_config", CONFIG)],
       {k: v for k, v in ALL.items() if k != "podPidsLimit"})
      for cap in ("0x400", "+500", "1_000", "1e3", "1.0e3", "010", '"500"')),
    ("such a cap, and one given below the busiest pod", node(KUBEADM + "podPidsLimit: 0x400\n"),
     replace(DEFAULTS, cap=1999), 1000, [("kubelet_config", CONFIG)],
     {k: v for k, v in ALL.items() if k != "podPidsLimit"}),
    ("such a cap where none is wanted", node(KUBEADM + "podPidsLimit: 0x400\n"), replace(DEFAULTS, cap=-1), 0, [],
     {k: v for k, v in ALL.items() if k != "podPidsLimit"}),
    ("a reservation that is no quantity known here", node(KUBEADM + "systemReserved:\n  pid: +500\n"), DEFAULTS, 0,
     [("kubelet_config", CONFIG)], {k: v for k, v in ALL.items() if k != "systemReserved.pid"}),
    ("a quoted key", node(KUBEADM + "'podPidsLimit': 100\n"), DEFAULTS, 0, [],
     {k: v for k, v in ALL.items() if k != "podPidsLimit"}),
    ("no value at all", node(KUBEADM + "podPidsLimit: null\n"), DEFAULTS, 0, [], ALL),
    ("a later file that says it plainly",
     node(KUBEADM + "podPidsLimit: 0x400\n", folder=True, x="podPidsLimit: 500\n"),
     Wishes(None, {"systemReserved.pid": 0, "kubeReserved.pid": 0}), 0, [], {}),
    ("no service", without(node(), "/proc/712/cgroup"), DEFAULTS, 0,
     [("kubelet_unit", "kubelet"), ("unlimited_pods", "kubelet podPidsLimit")], {}),
    ("a service that systemd does not know", without(node(), UNIT), DEFAULTS, 0,
     [("kubelet_unit", "kubelet"), ("unlimited_pods", "kubelet podPidsLimit")], {}),
    ("a cap below twice the busiest pod", node(HAS_ALL), DEFAULTS, 251, [("pod_cap", "kubelet podPidsLimit")], {}),
    ("a cap of twice the busiest pod", node(HAS_ALL), DEFAULTS, 250, [], {}),
    ("another cap than was given", node(HAS_ALL), replace(DEFAULTS, cap=4096), 0,
     [("pod_cap_kept", "kubelet podPidsLimit")], {}),
    ("a cap where none was wanted", node(HAS_ALL), replace(DEFAULTS, cap=-1), 0,
     [("pod_cap_kept", "kubelet podPidsLimit")], {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "wishes", "busiest", "found", "wanted"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND]
)
def test_what_is_told(host, wishes, busiest, found, wanted):
    plan = planned(host, wishes, busiest)
    assert plan.refusals == ()
    assert [(finding.id.removeprefix("pid_limits."), finding.where) for finding in plan.findings] == found
    assert told(plan) == wanted


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


NOT_RUNNING: list[tuple[str, FakeHost, list[str]]] = [
    ("kubeadm's configuration", FakeHost({CONFIG: KUBEADM}), [CONFIG]),
    ("a unit", FakeHost({"/lib/systemd/system/kubelet.service": "[Service]\n"}),
     ["/lib/systemd/system/kubelet.service"]),
    ("both are told once", FakeHost({CONFIG: KUBEADM, "/etc/systemd/system/kubelet.service": "[Service]\n"}), [CONFIG]),
    ("a masked unit", FakeHost(links={"/etc/systemd/system/kubelet.service": "/dev/null"}), []),
    ("nothing", FakeHost(), []),
]  # fmt: skip


@pytest.mark.parametrize(("host", "where"), [case[1:] for case in NOT_RUNNING], ids=[case[0] for case in NOT_RUNNING])
def test_a_kubelet_that_does_not_run_is_told(host, where):
    plan = kubelet_plan.plan(kubelet.observe(host, {}), 0, DEFAULTS, "pid_limits")
    assert [(f.id, f.severity, f.where) for f in plan.findings] == [
        ("pid_limits.kubelet_not_running", "info", path) for path in where
    ]
    assert (plan.changes, plan.refusals) == ((), ())


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


def test_our_own_file_that_is_a_link_is_refused():
    host = node(folder=True)
    host.links[f"{FOLDER}/{OWN_NAME}"] = "/nowhere"
    plan = planned(host)
    assert plan.changes == ()
    [refusal] = plan.refusals
    assert (refusal.where, "masked or moved" in refusal.what) == (f"{FOLDER}/{OWN_NAME}", True)


@pytest.mark.parametrize("text", ['{"a":' * 100_000, "[" * 100_000], ids=["objects", "lists"])
def test_a_configuration_that_is_deeper_than_any_stack_is_no_traceback(text):
    plan = planned(node(text))
    assert plan.changes == ()
    assert plan.refusals or plan.findings
