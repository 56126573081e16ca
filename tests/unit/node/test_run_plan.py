"""The plan of a whole node, saved and applied later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal, saved_plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.lock import LOCK
from ansible_collections.nodeward.calico.plugins.module_utils._node import run

from tests.unit.node.whole_node import PID_MAX, RootHost, host, params, tree

__all__ = ["host"]  # a fixture


def save(host: RootHost, **policy: Any) -> str:
    """Return the text of the plan's file."""
    result = run.harden({**params(**policy), "plan": {"node": "node1", "saved": None}}, host, check_mode=True)
    return json.dumps(saved_plan.seal(result["plan"], "2026-11-27T09:00:00Z"))


def apply(host: RootHost, text: str, check_mode: bool = False, **others: Any) -> dict[str, Any]:
    """Apply it, under variables that are others by now."""
    given = {**params(pid_max=100000), **others, "plan": {"node": "node1", "saved": text}}
    return run.harden(given, host, check_mode)


def test_a_saved_plan_is_applied_whatever_the_variables_are_by_now(tmp_path: Path, host: RootHost) -> None:
    before = tree(tmp_path)
    text = save(host, pid_max=4000000)
    assert tree(tmp_path) == before
    checked = apply(host, text, check_mode=True)
    assert tree(tmp_path) == before
    done = apply(host, text)
    assert done["changes"] == checked["changes"] != []
    assert (tmp_path / PID_MAX[1:]).read_text() == "4000000"
    assert "plan" not in done
    after = tree(tmp_path)
    assert apply(host, text)["changed"] is False
    assert tree(tmp_path) == after


def test_tags_of_the_later_run_take_nothing_out_of_it(host: RootHost) -> None:
    assert [change["target"] for change in apply(host, save(host), tags=["link_mtu"])["changes"]] != []


def test_a_node_that_changed_since_is_not_touched(tmp_path: Path, host: RootHost) -> None:
    text = save(host)
    (tmp_path / PID_MAX[1:]).write_text("60000\n")
    (tmp_path / LOCK[1:]).touch()
    before = tree(tmp_path)
    for check_mode in (True, False):
        with pytest.raises(NodewardError, match=r"kernel\.pid_max was 49152 -> 4194304, and is 60000 -> 4194304 now"):
            apply(host, text, check_mode)
    assert tree(tmp_path) == before


def test_one_that_somebody_else_mended_is_not_touched(tmp_path: Path, host: RootHost) -> None:
    text = save(host)
    (tmp_path / PID_MAX[1:]).write_text("4194304\n")
    (tmp_path / LOCK[1:]).touch()
    before = tree(tmp_path)
    with pytest.raises(NodewardError, match=r"kernel.pid_max \(49152 -> 4194304\) need not be changed any more"):
        apply(host, text)
    assert tree(tmp_path) == before


def test_a_damaged_plan_is_refused_before_anything_is_looked_at(tmp_path: Path, host: RootHost) -> None:
    with pytest.raises(NodewardError, match="the saved plan of node1: it is damaged"):
        apply(host, save(host)[:-3])
    with pytest.raises(NodewardError, match="the saved plan of node1: there is none"):
        apply(host, "")
    assert not (tmp_path / journal.PATH[1:]).exists()


def test_beside_a_journal_that_cannot_be_read_what_is_left_is_compared(tmp_path: Path, host: RootHost) -> None:
    text = save(host)
    (tmp_path / journal.PATH[1:]).parent.mkdir(parents=True)
    (tmp_path / journal.PATH[1:]).write_text("garbage")
    assert apply(host, text)["changed"] is True


def test_unless_it_is_asked_for_no_plan_is_returned(host: RootHost) -> None:
    as_ansible_fills_it = {**params(), "plan": {"node": None, "saved": None}}
    assert "plan" not in run.harden(as_ansible_fills_it, host, check_mode=True)
    assert run.restore(as_ansible_fills_it, host, check_mode=True)["changed"] is False


def test_a_saved_plan_without_a_name_is_refused(host: RootHost) -> None:
    with pytest.raises(NodewardError, match="it is the plan of node1"):
        run.harden({**params(), "plan": {"node": None, "saved": save(host)}}, host, check_mode=True)


def test_a_way_back_has_no_plan(host: RootHost) -> None:
    with pytest.raises(NodewardError, match="a way back has no saved plan"):
        run.restore({**params(), "plan": {"node": "node1", "saved": None}}, host, check_mode=True)
