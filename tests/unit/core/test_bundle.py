"""The program that a bundle is: it runs by itself, on the standard library alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ansible_collections.nodeward.calico.plugins.module_utils._core import bundle
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import defrag_service


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program.py"
    program.write_text(bundle.program(defrag_service))
    # -I -S: nothing of this checkout, and no installed package, can be what it stands on
    return subprocess.run(
        [sys.executable, "-I", "-S", str(program), *arguments], cwd="/", capture_output=True, text=True, check=False
    )


def test_it_runs_by_itself_and_says_what_is_wrong(tmp_path):
    settings = tmp_path / "settings.json"
    done = run(tmp_path, str(settings))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such file" in done.stderr
    settings.write_text(json.dumps({"least_bytes": -1, "most_in_use": 0.5, "any_version": False}))
    done = run(tmp_path, str(settings))
    assert done.returncode == 1
    assert done.stderr == (
        "the variables etcd_defrag_*: least_bytes must not be below 0, and most_in_use must be above 0 and at most 1. "
        "Mend them, then run again.\n"
    )


def test_a_fault_in_it_is_told_with_its_line(tmp_path):
    done = run(tmp_path)
    assert 'File "nodeward._etcd.defrag_service", line' in done.stderr


def test_the_same_sources_make_the_same_program():
    assert bundle.program(defrag_service) == bundle.program(defrag_service)
    assert "ansible.module_utils" not in bundle.program(defrag_service)
