"""A plan that was saved, and what a fresh one may differ from it in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core import saved_plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.journal import Journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Change,
    Reason,
    ReloadUnit,
    RestartUnit,
    SetLinkMtu,
    SetSysctl,
    WriteFile,
)
from ansible_collections.nodeward.calico.plugins.module_utils._core.version import VERSION

REASON = Reason("pid_limits", "so that there is one", disrupts="")
CONSENTED = Reason("pid_limits", "so that there is one", disrupts="kubelet_restart")
PID_MAX = SetSysctl("kernel.pid_max", "49152", "4194304", REASON)
DROP_IN = WriteFile("/etc/sysctl.d/a.conf", None, "kernel.pid_max = 4194304\n", REASON)
KUBELET = WriteFile("/var/lib/kubelet/config.yaml", "a: 1\n", "a: 1\npodPidsLimit: 4096\n", CONSENTED)
RESTART = RestartUnit("kubelet.service", "abc", CONSENTED)
PROGRAM = WriteFile("/usr/local/lib/a.py", None, "x" * 30_000, REASON)
CHANGES: tuple[Change, ...] = (PID_MAX, DROP_IN, PROGRAM, KUBELET, RESTART)
NOTHING = Journal()
TIME = "2026-11-27T09:00:00Z"


def content(changes: tuple[Change, ...] = CHANGES, **other: Any) -> dict[str, Any]:
    body = saved_plan.to_save("node1", {"pid_limits": {"pid_max": 4194304}}, changes, ())
    return saved_plan.seal({**body, **other}, TIME)


def saved(*changes: Change) -> saved_plan.SavedPlan:
    return saved_plan.read(json.dumps(content(changes)), "node1")


def refusal(saved: saved_plan.SavedPlan, *fresh: Change, done: Journal = NOTHING) -> str:
    with pytest.raises(NodewardError) as caught:
        saved_plan.require_same(saved, fresh, done)
    assert caught.value.where == "the saved plan of node1"
    assert "Save a new plan" in caught.value.remedy
    return caught.value.what


def test_what_is_saved_comes_back_from_text_and_from_what_json_makes_of_it():
    text = json.dumps(content(), indent=1)
    plan = saved_plan.read(text, "node1")
    assert plan == saved_plan.read(json.loads(text), "node1")
    assert (plan.node, plan.time, plan.policies) == ("node1", TIME, {"pid_limits": {"pid_max": 4194304}})
    assert [each["target"] for each in plan.changes] == [change.target for change in CHANGES]
    assert (plan.changes[0]["before"], plan.changes[0]["after"]) == ("49152", "4194304")
    assert len(text) < 6000, "a program is told by its sum"
    saved_plan.require_same(plan, CHANGES, Journal())


def test_bytes_that_are_no_text_come_back_too():
    odd = WriteFile("/etc/a", "\udcff\n", "b\n", REASON)
    saved_plan.require_same(saved(odd), [odd], Journal())
    assert "file /etc/a was" in refusal(saved(odd), WriteFile("/etc/a", "\udcfe\n", "b\n", REASON))


DAMAGED = {
    "cut off": json.dumps(content())[:-40],
    "no JSON": "a plan",
    "a list": "[]",
    "a number": 7,
    "nothing in it": "{}",
    "another value": {**content(), "time": "2026-11-27T10:00:00Z"},
    "a change less": {**content(), "changes": content()["changes"][1:]},
    "another policy": {**content(), "policies": {"pid_limits": {"pid_max": 4000000}}},
    "no sum": {name: value for name, value in content().items() if name != "sum"},
    "no node, and the sum is right": saved_plan.seal(
        {name: value for name, value in content().items() if name not in ("node", "sum")}, TIME
    ),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused(damaged):
    with pytest.raises(NodewardError, match=r"the saved plan of node1: it is damaged \(.+\)\. Save a new plan"):
        saved_plan.read(damaged, "node1")


def test_one_that_is_not_there_of_another_node_or_of_another_release_is_refused():
    with pytest.raises(NodewardError, match=r"there is none.*--limit"):
        saved_plan.read("", "node1")
    with pytest.raises(NodewardError, match="the saved plan of node2: it is the plan of node1"):
        saved_plan.read(content(), "node2")
    with pytest.raises(NodewardError, match=rf"it is of nodeward.calico 0\.0\.9, this is {VERSION}"):
        saved_plan.read(content(version="0.0.9"), "node1")
    with pytest.raises(NodewardError, match=r"it is of nodeward\.calico"):
        saved_plan.read(content(format=2), "node1")


def test_the_release_is_that_of_the_collection():
    assert yaml.safe_load((Path(__file__).parents[3] / "galaxy.yml").read_text())["version"] == VERSION


LATER = SetSysctl("kernel.pid_max", "60000", "4194304", REASON)
THREADS = SetSysctl("kernel.threads-max", "1000", "4194304", REASON)
DIFFERENT: dict[str, tuple[tuple[Change, ...], tuple[str, ...]]] = {
    "another value before": (
        (LATER, *CHANGES[1:]),
        ("sysctl kernel.pid_max was 49152 -> 4194304, and is 60000 -> 4194304 now",),
    ),
    "one more": ((*CHANGES, THREADS), ("sysctl kernel.threads-max (1000 -> 4194304) is new",)),
    "one that somebody else made": (CHANGES[1:], ("sysctl kernel.pid_max (49152 -> 4194304) need not be changed",)),
    "a long text": (
        (PID_MAX, DROP_IN, WriteFile(PROGRAM.path, None, "y" * 30_000, REASON), KUBELET, RESTART),
        ("file /usr/local/lib/a.py was absent -> 30000 characters, SHA-256 ", " now"),
    ),
    "a consent that it needs now": (
        (SetSysctl("kernel.pid_max", "49152", "4194304", CONSENTED), *CHANGES[1:]),
        ("sysctl kernel.pid_max was",),
    ),
    "a restart that is needless": (CHANGES[:-1], ("restart kubelet.service (to be done) need not",)),
    "another order": (CHANGES[::-1], ("the same changes would come in another order",)),
    "nothing to do at all": ((), ("sysctl kernel.pid_max (49152 -> 4194304) need not be changed",)),
}


@pytest.mark.parametrize(("fresh", "told"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_node_that_changed_is_refused_with_what_differs(fresh, told):
    said = refusal(saved(*CHANGES), *fresh)
    assert said.startswith(f"the node changed since it was saved at {TIME}: ")
    assert [each for each in told if each not in said] == []


def test_many_differences_are_counted():
    many = [SetSysctl(f"net.a{number}", "1", "2", REASON) for number in range(9)]
    assert refusal(saved(), *many).endswith("(1 -> 2) is new, and 4 more")


def test_what_a_restart_had_been_before_does_not_count():
    again = RestartUnit("kubelet.service", "def", CONSENTED)
    saved_plan.require_same(saved(KUBELET, RESTART), [KUBELET, again], Journal())


def test_what_was_made_since_need_not_come_again():
    plan, reload = saved(*CHANGES), ReloadUnit("a.service", REASON)
    first = Journal().record([PID_MAX, DROP_IN, PROGRAM])
    saved_plan.require_same(plan, [KUBELET, RESTART], first)  # what waited for consent
    saved_plan.require_same(plan, [DROP_IN, KUBELET, RESTART], first)  # and what was undone since
    saved_plan.require_same(plan, [], first.record([KUBELET, RESTART]))
    saved_plan.require_same(saved(DROP_IN, reload), [], Journal().record([DROP_IN, reload]))
    assert "kernel.pid_max (" in refusal(plan, DROP_IN, PROGRAM, KUBELET, RESTART, done=Journal().record([DROP_IN]))
    other = Journal().record([SetSysctl("kernel.pid_max", "49152", "100000", REASON)])
    assert "kernel.pid_max (" in refusal(plan, *CHANGES[1:], done=other)


def test_the_first_of_two_steps_at_one_place_is_made_when_either_was():
    down, up = SetLinkMtu("tunl0", "1500", "1400", REASON), SetLinkMtu("tunl0", "1400", "1480", CONSENTED)
    plan = saved(down, up)
    saved_plan.require_same(plan, [up], Journal().record([down]))
    saved_plan.require_same(plan, [], Journal().record([down, up]))
    assert "need not" in refusal(plan, done=Journal().record([down]))
