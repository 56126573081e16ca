"""What the kubelet's configuration does not get: what is refused, and what a person is told instead."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, kubelet_plan
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_file import OWN_NAME
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_plan import Wishes

from tests.unit.fake_host import FakeHost
from tests.unit.node.kubelet_nodes import (
    ALL,
    CONFIG,
    DEFAULTS,
    ENFORCED,
    FOLDER,
    HAS_ALL,
    KUBEADM,
    UNIT,
    node,
    planned,
    told,
    used,
)


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


NO_MAPPING = [
    case[1].files[CONFIG] for case in REFUSED if any(word in case[5] for word in ("read as YAML", "a tab", "a list"))
]


@pytest.mark.parametrize("text", NO_MAPPING)
def test_what_is_refused_is_no_mapping_to_a_yaml_library_either(text):
    assert not is_mapping(text)


def is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), dict)
    except (yaml.YAMLError, UnicodeError):
        return False


def test_but_a_kubelet_s_configuration_is_one():
    assert is_mapping(KUBEADM)


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
