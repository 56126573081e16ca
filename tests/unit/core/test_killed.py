"""A run that is killed at any step leaves every file old or new, and the next run finishes the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.files import staging_path

from tests.unit.core.killed_child import AFTER, BEFORE

ROOT = Path(__file__).parents[3]
CALLS = 1 + len(AFTER)  # the journal, and each change
WRITES = (1, 3, 4)  # the calls that stage a file


def make_node(root: Path) -> None:
    (root / "run").mkdir(parents=True)
    for path, text in BEFORE.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (root / path[1:]).write_text(text)


def run(root: Path, moment: str = "never", number: int = 0) -> int:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed_child.py"), root, moment, str(number)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ansible/collections")},
    )
    assert done.stderr == ""
    return done.returncode


def tree(root: Path) -> dict[str, tuple[int, str]]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): (path.stat().st_mode, path.read_text()) for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    root = tmp_path_factory.mktemp("undisturbed") / "node"
    make_node(root)
    assert run(root) == 0
    return tree(root)


def test_the_undisturbed_run_does_the_job(undisturbed):
    texts = {f"/{path}": text for path, (_mode, text) in undisturbed.items() if "nodeward/" not in path}
    assert texts == {path: text for path, text in AFTER.items() if text is not None} | {"/run/nodeward.lock": ""}


MOMENTS = [(moment, number) for number in range(1, CALLS + 1) for moment in ("before", "after")]


@pytest.mark.parametrize(("moment", "number"), MOMENTS + [("staged", number) for number in WRITES], ids=str)
def test_killed(tmp_path, undisturbed, moment, number):
    root = tmp_path / "node"
    make_node(root)

    assert run(root, moment, number) == -signal.SIGKILL

    done = number if moment == "after" else number - 1
    for position, path in enumerate(AFTER, start=2):
        file = root / path[1:]
        wanted = AFTER[path] if position <= done else BEFORE[path]
        assert (file.read_text() if file.exists() else None) == wanted, path
    staged = ["", journal.PATH, *AFTER][number] if moment == "staged" else ""
    assert not staged or Path(staging_path(str(root / staged[1:]))).exists(), "the kill came where it was meant to"

    assert run(root) == 0
    assert tree(root) == undisturbed
    kept = journal.decode((root / journal.PATH[1:]).read_text())
    assert {target.split()[-1]: entry.before for target, entry in kept.entries} == {
        path.replace("/proc/sys/kernel/", "kernel."): text for path, text in BEFORE.items()
    }
