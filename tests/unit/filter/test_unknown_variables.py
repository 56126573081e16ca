"""Misspelt variables of traps."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.filter.unknown_variables import FilterModule, unknown_variables
from ansible_collections.nodeward.calico.plugins.module_utils._kube.traps import ACCESS, CLUSTER_TRAPS
from ansible_collections.nodeward.calico.plugins.module_utils._node.traps import TRAPS
from hypothesis import given
from hypothesis import strategies as st

KNOWN = [f"{name}_{option}" for name, trap in TRAPS.items() for option in (*trap.OPTIONS, "state")]
KNOWN += [f"{name}_allow_{word}" for name, trap in TRAPS.items() for word in trap.ALLOWS]
KNOWN += [f"{name}_{option}" for name, trap in CLUSTER_TRAPS.items() for option in (*trap.options, *ACCESS, "state")]

CASES = [
    ("a floor of a probe misspelt", ["calico_probes_timout"], "did you mean calico_probes_timeout?"),
    ("a letter missing", ["pid_limits_pid_mx"],
     "pid_limits_pid_mx is unknown: did you mean pid_limits_pid_max?"),
    ("a dash missing", ["pid_limits_threadsmax"], "did you mean pid_limits_threads_max?"),
    ("nothing like it", ["pid_limits_"], "pid_limits_ is unknown: "),
    ("the trap's own name misspelt", ["pid_limit_pid_max"], "did you mean pid_limits_pid_max?"),
    ("the fleet's variable misspelt", ["nodeward_host"], "did you mean nodeward_hosts?"),
    ("a consent misspelt", ["harden_alow"], "did you mean harden_allow?"),
    ("letters of a playbook's changed places", ["harden_puase"], "did you mean harden_pause?"),
    ("a playbook's with an s", ["harden_api_hosts"], "did you mean harden_api_host?"),
    ("the report's folder misspelt", ["report_foldr"], "did you mean report_folder?"),
    ("an s missing of the paths", ["audit_probe_path"], "did you mean audit_probe_paths?"),
    ("a letter missing of the paths", ["audit_prob_paths"], "did you mean audit_probe_paths?"),
    ("the severity misspelt", ["audit_failon"], "did you mean audit_fail_on?"),
    ("the rules misspelt", ["audit_rule"], "did you mean audit_rules?"),
    ("what there is", ["pid_limits_zzzzzzzzzzzzzzzzzzzzzzz"], "With pid_limits_ begin only pid_limits_pid_max, "),
]  # fmt: skip


@pytest.mark.parametrize(("names", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_unknown(names, told):
    (sentence,) = unknown_variables(names)
    assert told in sentence


def test_what_the_roles_leave_does_not_stop_the_next_play_that_uses_them():
    roles = Path(__file__).parents[3] / "roles"
    tasks = [task for path in roles.glob("*/tasks/*.yml") for task in yaml.safe_load(path.read_text())]
    left = {task["register"] for task in tasks if "register" in task}
    left |= {name for task in tasks for name in task.get("ansible.builtin.set_fact", {})}
    assert {"cni_token_seen", "calico_mtu_seen", "calico_probes_result"} <= left
    assert unknown_variables(left) == []


def test_known_and_foreign_names_are_left_alone():
    foreign = [
        "pid_limits",
        "pid_limit_max",
        "_pid_limits_x",
        "my_pid_limits_x",
        "calico_mtu",
        "PID_LIMITS_X",
        "node_result",
        "harden_linux_ssh_port",
        "harden_linux_sysctl_settings_user",
        "harden_linux_absent_packages",
        "nodeward_group",
        "",
    ]
    ours = ["pid_limits_result", "nodeward_hosts", "report_folder", "audit_probe_paths"]
    assert unknown_variables([*KNOWN, *ours, *foreign]) == []


def test_each_is_named_once_in_order():
    sentences = unknown_variables(["pid_limits_b", "pid_limits_a", "pid_limits_exact"])
    assert [sentence.split()[0] for sentence in sentences] == ["pid_limits_a", "pid_limits_b"]


@given(st.lists(st.text() | st.text().map(lambda text: f"pid_limits_{text}")))
def test_no_name_raises(names):
    assert len(unknown_variables(names)) <= len(names)


def test_ansible_finds_the_filter():
    assert FilterModule().filters() == {"unknown_variables": unknown_variables}
