"""A task that other hosts run says by itself how: what is said of nodes would reach it, and --become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")])
OWN = {"ansible_connection", "ansible_python_interpreter", "ansible_become"}


def tasks(items: Any) -> Iterator[dict[str, Any]]:
    for item in items if isinstance(items, list) else []:
        yield item
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks(item.get(part))


DELEGATED = [
    pytest.param(task, id=f"{path.relative_to(ROOT)}: {task['name']}")
    for path in FILES
    for task in tasks(yaml.safe_load(path.read_text()))
    if "delegate_to" in task
]


@pytest.mark.parametrize("task", DELEGATED)
def test_a_delegated_task_is_no_task_of_the_node(task):
    assert set(task.get("vars") or {}) >= OWN


def test_there_are_such_tasks():
    assert len(DELEGATED) > 5
