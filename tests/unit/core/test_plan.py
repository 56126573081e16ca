"""A plan: what is done now, what waits, and the same told as findings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import SEVERITIES, Finding, Plan, Refusal
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Reason,
    RemoveFile,
    SetSysctl,
    WriteFile,
)

QUIET = SetSysctl("kernel.pid_max", "1", "2", Reason("pid_limits", "every thread counts", severity="high"))
RESTART = WriteFile("/etc/k", None, "a\n", Reason("pid_limits", "a", disrupts="kubelet_restart"))
UPLINK = RemoveFile("/etc/u", " b\n", Reason("link_mtu", "b", disrupts="uplink_change"))
NOTE = Finding("pid_limits.note", "low", "here", "seen", "wished", "why", "do this")
REFUSAL = Refusal("pid_limits", "5 is too small", "kernel.pid_max", "Set a number from 301")

SPLITS: list[tuple[str, tuple[str, ...], tuple[object, ...], tuple[object, ...]]] = [
    ("no consent", (), (QUIET,), (RESTART, UPLINK)),
    ("one word", ("uplink_change",), (QUIET, UPLINK), (RESTART,)),
    ("every word", ("uplink_change", "kubelet_restart"), (QUIET, RESTART, UPLINK), ()),
    ("a word that nothing needs", ("etcd_restart",), (QUIET,), (RESTART, UPLINK)),
    ("the empty word allows nothing", ("",), (QUIET,), (RESTART, UPLINK)),
]


@pytest.mark.parametrize(("allow", "now", "pending"), [case[1:] for case in SPLITS], ids=[case[0] for case in SPLITS])
def test_split(allow, now, pending):
    assert Plan(changes=(QUIET, RESTART, UPLINK)).split(allow) == (now, pending)


def test_plans_add_up_in_order():
    total = Plan((QUIET,), (NOTE,)) + Plan((UPLINK,), (), (REFUSAL,))
    assert total == Plan((QUIET, UPLINK), (NOTE,), (REFUSAL,))


def test_the_audit_tells_everything_the_worst_first():
    notes = tuple(replace(NOTE, severity=severity) for severity in SEVERITIES)
    told = Plan((RESTART, QUIET), notes, (REFUSAL,)).audit()
    assert [(f.severity, f.id) for f in told] == [
        ("high", "pid_limits.refused"),
        ("high", "pid_limits.sysctl:kernel.pid_max"),
        ("high", "pid_limits.note"),
        ("medium", "pid_limits.file:/etc/k"),
        ("medium", "pid_limits.note"),
        ("low", "pid_limits.note"),
        ("info", "pid_limits.note"),
    ]


def test_an_empty_plan_has_nothing_to_tell():
    assert Plan().audit() == []


def test_a_change_as_a_finding():
    (finding,) = Plan((QUIET,)).audit()
    assert finding.describe() == {
        "trap": "pid_limits",
        "id": "pid_limits.sysctl:kernel.pid_max",
        "severity": "high",
        "where": "sysctl kernel.pid_max",
        "observed": "1",
        "wanted": "2",
        "why": "every thread counts",
        "remedy": "ansible-playbook nodeward.calico.harden --tags pid_limits",
        "mended": True,
    }


def test_absence_is_told_as_such():
    (written, removed) = Plan((RESTART, UPLINK)).audit()
    assert (written.observed, written.wanted) == ("absent", "a")
    assert (removed.observed, removed.wanted) == ("b", "absent")


def test_a_refusal_as_a_finding_and_as_a_sentence():
    (finding,) = Plan(refusals=(REFUSAL,)).audit()
    assert (finding.trap, finding.where, finding.observed) == ("pid_limits", "kernel.pid_max", "5 is too small")
    assert finding.remedy == "Set a number from 301"
    assert not finding.mended
    assert str(REFUSAL) == "pid_limits: kernel.pid_max: 5 is too small. Set a number from 301."


def test_an_error_is_what_where_and_what_to_do():
    error = NodewardError(what="it broke", where="/etc/f", remedy="Mend it")
    assert str(error) == "/etc/f: it broke. Mend it."
