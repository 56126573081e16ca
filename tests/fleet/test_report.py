"""The report on the control machine, whatever an inventory says of its nodes. Needs no lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAY = """
- name: Two nodes that were looked at
  hosts: nodes
  gather_facts: false
  roles:
    - role: nodeward.calico.report
      report_kind: {kind}
"""

LOOKED_AT = {"changed": False, "changes": [], "pending": [], "findings": [], "facts": {"pid_limits": {}}}

# What people write for their nodes, and what must not reach the control machine.
FOR_ALL = {
    "become": {"ansible_become": True, "ansible_become_user": "nobody", "ansible_become_exe": "/nowhere/sudo"},
    "connection": {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"},
    "python": {"ansible_python_interpreter": "/nowhere/python"},
    "shell": {"ansible_shell_executable": "/nowhere/sh"},
}


def report(
    tmp_path: Path, folder: Path | None, for_all: dict[str, object], kind: str = "harden", **env: str
) -> subprocess.CompletedProcess[str]:
    inventory = tmp_path / "hosts.json"
    nodes: dict[str, object] = {"hosts": {"n1": None, "n2": None}}
    inventory.write_text(
        json.dumps({"all": {"vars": {"node_result": LOOKED_AT, **for_all}, "children": {"nodes": nodes}}})
    )
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY.format(kind=kind))
    ansible = Path(sys.executable).parent / "ansible-playbook"
    return subprocess.run(
        [ansible, "-i", inventory, playbook, *(["-e", f"report_folder={folder}"] if folder else [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **env},
    )


def test_without_jmespath_an_audit_is_reported_without_rules(tmp_path: Path) -> None:
    stub = tmp_path / "without"
    stub.mkdir()
    done = report(tmp_path, tmp_path / "kept", {}, "audit", PYTHONPATH=str(stub))
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / "kept/audit.json").read_text())["cluster"]["findings"] == []

    (stub / "jmespath.py").write_text("raise ImportError('No module named jmespath')\n")
    for kind in ("harden", "audit"):
        done = report(tmp_path, tmp_path / "kept", {}, kind, PYTHONPATH=str(stub))
        assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "kept/audit.json").read_text())
    assert [finding["id"] for finding in told["cluster"]["findings"]] == ["rules.unasked"]
    assert told["severities"]["info"] == 1


@pytest.mark.parametrize("for_all", FOR_ALL.values(), ids=FOR_ALL)
def test_what_is_said_of_the_nodes_does_not_reach_the_control_machine(
    tmp_path: Path, for_all: dict[str, object]
) -> None:
    done = report(tmp_path, tmp_path / "kept", for_all)
    assert done.returncode == 0, done.stdout
    assert len(json.loads((tmp_path / "kept/harden.json").read_text())["nodes"]) == 2


@pytest.mark.parametrize("stale", [False, True], ids=["no PWD, as under env -i", "another's PWD, as under make -C"])
def test_by_default_it_is_kept_below_the_working_folder(tmp_path: Path, stale: bool) -> None:
    told = str(tmp_path / "stale") if stale else ""
    done = report(tmp_path, None, {}, PWD=told, HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "nodeward-report/harden.json").exists()
    assert f"Report: {tmp_path}/nodeward-report/harden-" in done.stdout


def test_a_report_that_cannot_be_kept_is_shown(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = report(tmp_path, tmp_path / "file/kept", {})
    assert done.returncode == 2, done.stdout
    assert "The report cannot be kept: " in done.stdout
    assert str(tmp_path / "file") in done.stdout
    assert "harden: 2 nodes (2 ok)" in done.stdout, done.stdout
    assert "Report: not kept" in done.stdout


FINDING = {
    "id": "pid_limits.in_use",
    "trap": "pid_limits",
    "severity": "medium",
    **dict.fromkeys(("where", "observed", "wanted", "why", "remedy"), "x{{ 1 + 1 }}"),
    "mended": False,
}


def test_every_form_is_kept_and_texts_of_nodes_are_no_templates(tmp_path: Path) -> None:
    done = report(tmp_path, tmp_path / "kept", {"node_result": {"!unsafe": 0, **LOOKED_AT, "findings": [FINDING]}})
    assert done.returncode == 0, done.stdout
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "kept").iterdir())
    assert kept == ["harden", "harden", "harden", "harden.html", "harden.json", "harden.xml"]
    assert "pid_limits.in_use" in (tmp_path / "kept/harden.xml").read_text()
