"""Words of the playbooks that mean nothing are refused before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import to_bool

FLEET = Path(__file__).parents[2] / "playbooks/parts/fleet.yml"


def passes(name: str, **variables: Any) -> bool:
    """Tell whether a task of parts/fleet.yml lets these variables pass; it needs no filter of Ansible."""
    [play] = yaml.safe_load(FLEET.read_text())
    [task] = [task for task in play["tasks"] if task["name"] == name]
    holds = jinja2.Environment(autoescape=True).compile_expression(task["ansible.builtin.assert"]["that"])
    return bool(holds(**variables))


NEITHER = ["maybe", "", 3, [1, 2], [True], {"a": True}, None, "y", "tru"]
YES = [True, "True", "true", "yes", "YES", "on", 1, "1"]
NO = [False, "False", "no", "off", 0, "0"]


@pytest.mark.parametrize("given", NEITHER)
def test_what_is_neither_true_nor_false_asks_for_no_paths_and_is_refused(given):
    assert not passes("Refuse what is neither true nor false", audit_probe_paths=given)


@pytest.mark.parametrize(("given", "meant"), [*((word, True) for word in YES), *((word, False) for word in NO)])
def test_what_ansible_takes_for_true_or_false_passes(given, meant):
    assert passes("Refuse what is neither true nor false", audit_probe_paths=given)
    assert to_bool(given) is meant


def test_paths_need_not_be_asked_for():
    assert passes("Refuse what is neither true nor false")
