"""A plan that is saved, read, and applied later exactly as it was, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.fleet.fleet import LACKS_PYROUTE2, NODES, Fleet
from tests.fleet.test_consent import CONSENT, kubelets, runs_with, started
from tests.lab import Lab

__all__ = ["kubelets"]  # a fixture

OTHER_FLOOR = ("-e", "pid_limits_pid_max=100000")  # a variable that changed since


def plans(folder: Path) -> dict[str, dict[str, object]]:
    return {path.name.removesuffix(".plan.json"): json.loads(path.read_text()) for path in folder.glob("*.plan.json")}


def test_a_plan_is_applied_as_it_was_saved_and_refused_where_the_node_changed(kubelets: Fleet, tmp_path: Path) -> None:
    fleet, folder = kubelets, tmp_path / "plans"
    here = os.path.relpath(folder)
    save, use = ("-e", f"harden_save_plan={here}"), ("-e", f"harden_apply_plan={here}")
    before = {node: fleet.look(node) for node in NODES}
    starts = {node: started(fleet, node) for node in NODES}
    saved = fleet.play("harden", "--check", *save)
    assert saved.code == 0
    assert f"3 of 3 plans saved in {here}" in saved.output
    assert {node: fleet.look(node) for node in NODES} == before
    assert set(plans(folder)) == set(NODES)
    assert plans(folder)["node1"]["node"] == "node1"
    assert [node for node in NODES if plans(folder)[node]["missing"]] == [LACKS_PYROUTE2]

    # another hour: a hand on node2, node1's file under node3's name, and another variable
    fleet.lab.run("node2", "sysctl --quiet --write kernel.pid_max=60000")
    kept = (folder / "node3.plan.json").read_text()
    (folder / "node3.plan.json").write_text((folder / "node1.plan.json").read_text())
    before = {node: fleet.look(node) for node in NODES}
    checked = fleet.play("harden", "--check", *use, *OTHER_FLOOR)
    assert {node: fleet.look(node) for node in NODES} == before
    done = fleet.play("harden", *use, *OTHER_FLOOR)
    for run in (checked, done):
        assert run.code == 2
        assert "sysctl kernel.pid_max was 49152 -> 4194304, and is 60000 -> 4194304 now" in run.node("node2")["error"]
        assert "the saved plan of node3: it is the plan of node1" in run.node("node3")["error"]
        assert run.node("node1")["error"] == ""
    assert done.node("node1")["changes"] == checked.node("node1")["changes"] == saved.node("node1")["changes"]
    assert {node: fleet.look(node) for node in NODES[1:]} == {node: before[node] for node in NODES[1:]}
    assert fleet.limits("node1")[0] == 4194304
    assert {node: started(fleet, node) for node in NODES} == starts

    # what was pending, once it is allowed; node2 as it was again, and node3 with a file that is cut off, then its own
    fleet.lab.run("node2", "sysctl --quiet --write kernel.pid_max=49152")
    (folder / "node3.plan.json").write_text(kept[:200])
    assert "damaged" in fleet.play("harden", *use, "--limit", "node3").node("node3")["error"]
    (folder / "node3.plan.json").write_text(kept)
    consent = CONSENT[2:]
    assert fleet.play("harden", *use, *consent).code == 0
    for node in NODES:
        assert fleet.limits(node)[0] == 4194304
        assert started(fleet, node) != starts[node]
        assert runs_with(fleet, node)["podPidsLimit"] == 4096
    assert fleet.lab.run(LACKS_PYROUTE2, "test -e /run/nodeward/pyroute2.zip", check=False).returncode == 1
    again = fleet.play("harden", *use, *consent)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]


def test_what_cannot_be_meant_is_refused(lab: Lab, tmp_path: Path) -> None:
    save, use = ("-e", f"harden_save_plan={tmp_path}"), ("-e", f"harden_apply_plan={tmp_path}")
    for words, why in (
        (save, "Add --check"),
        ((*use, "--tags", "pid_limits"), "Leave --tags and --skip-tags out"),
        ((*use, *save, "--check"), "cannot be one run"),
        (("-e", "harden_apply_plan=/nowhere"), "is no folder of the control machine"),
    ):
        run = Fleet(lab, tmp_path).play("harden", *words)
        assert (run.code, why in run.output, list(tmp_path.glob("*.plan.json"))) == (2, True, [])
    assert "are for harden.yml alone" in Fleet(lab, tmp_path).play("restore", *use).output
