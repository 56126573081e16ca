"""A run that is killed at any step leaves every file old or new; the next run finishes the job, and restore undoes it.

It may be the first run on the node, or one with another policy than the first.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import apply, journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.files import staging_path
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._node import restore

from tests.unit.core.killed_child import AFTER, BEFORE, OTHERWISE, REASON

ROOT = Path(__file__).parents[3]
CALLS = 1 + len(AFTER)  # the journal, and each change
WRITES = (1, 3, 4)  # the calls that stage a file
STARTS = {"untouched": BEFORE, "hardened": OTHERWISE}


def make_node(root: Path, start: str) -> None:
    (root / "run").mkdir(parents=True)
    for path, text in BEFORE.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (root / path[1:]).write_text(text)
    if start == "hardened":
        assert run(root, policy="other") == 0


def run(root: Path, moment: str = "never", number: int = 0, policy: str = "this") -> int:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed_child.py"), root, policy, moment, str(number)],
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


def restored(root: Path) -> dict[str, str]:
    """Bring a copy of the node back, and return its files."""
    shutil.copytree(root, copy := root.with_name("restored"))
    host = LocalHost(str(copy))
    known = restore.observe(journal.decode(host.read_text(journal.PATH)), host, [REASON.trap])
    planned = restore.plan(known, [REASON.trap])
    assert planned.findings == ()
    apply.restore(planned.changes, restore.forgotten(known, planned, planned.changes), host)
    return texts(tree(copy))


def texts(files: dict[str, tuple[int, str]]) -> dict[str, str]:
    """Return what is in files: not in those of a run that was killed before it could rename them."""
    return {f"/{path}": text for path, (_mode, text) in files.items() if not path.endswith(".nodeward")}


@pytest.fixture(scope="module", params=STARTS)
def start(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def node(start: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node as the run finds it, to be copied."""
    root = tmp_path_factory.mktemp("found") / "node"
    make_node(root, start)
    return root


@pytest.fixture(scope="module")
def undisturbed(node: Path) -> dict[str, tuple[int, str]]:
    shutil.copytree(node, root := node.with_name("undisturbed"))
    assert run(root) == 0
    return tree(root)


def test_the_undisturbed_run_does_the_job(undisturbed):
    done = {path: text for path, text in texts(undisturbed).items() if path != journal.PATH}
    assert done == {path: text for path, text in AFTER.items() if text is not None} | {"/run/nodeward.lock": ""}


MOMENTS = [(moment, number) for number in range(1, CALLS + 1) for moment in ("before", "after")]


@pytest.mark.parametrize(("moment", "number"), MOMENTS + [("staged", number) for number in WRITES], ids=str)
def test_killed(tmp_path, node, start, undisturbed, moment, number):
    shutil.copytree(node, root := tmp_path / "node")

    assert run(root, moment, number) == -signal.SIGKILL

    done = number if moment == "after" else number - 1
    for position, path in enumerate(AFTER, start=2):
        file = root / path[1:]
        wanted = AFTER[path] if position <= done else STARTS[start][path]
        assert (file.read_text() if file.exists() else None) == wanted, path
    staged = ["", journal.PATH, *AFTER][number] if moment == "staged" else ""
    assert not staged or Path(staging_path(str(root / staged[1:]))).exists(), "the kill came where it was meant to"

    before = {path: text for path, text in BEFORE.items() if text is not None} | {"/run/nodeward.lock": ""}
    assert restored(root) == before

    assert run(root) == 0
    assert tree(root) == undisturbed
    kept = journal.decode((root / journal.PATH[1:]).read_text())
    assert {target.split()[-1]: entry.before for target, entry in kept.entries} == {
        path.replace("/proc/sys/kernel/", "kernel."): text for path, text in BEFORE.items()
    }
