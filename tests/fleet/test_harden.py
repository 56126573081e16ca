"""harden.yml and audit.yml on a fleet on which nothing is wrong but incident B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node.traps import TRAPS

from tests.fleet.fleet import LACKS_PYROUTE2, NODES, Fleet, Run

DROP_IN = "/etc/sysctl.d/99-zz-nodeward-pid_limits.conf"


def foreseeable(run: Run, node: str) -> list[dict[str, Any]]:
    """Return the changes, but not those of links where only a run brings what they are read with."""
    return [each for each in run.node(node)["changes"] if node != LACKS_PYROUTE2 or each["trap"] != "link_mtu"]


def test_check_mode_reports_exactly_what_the_run_then_does(fleet: Fleet) -> None:
    before = {node: fleet.look(node) for node in NODES}
    assert {fleet.limits(node)[0] for node in NODES} == {49152}, "the lab no longer replays incident B"

    checked = fleet.play("harden", "--check", "--diff")
    assert checked.code == 0
    assert {node: fleet.look(node) for node in NODES} == before, "check mode wrote to a node"

    done = fleet.play("harden")
    assert done.code == 0
    for node in NODES:
        assert done.node(node)["changes"], "nothing was changed, so nothing is compared"
        assert foreseeable(done, node) == checked.node(node)["changes"]
        assert fleet.limits(node)[0] == 4194304
        drop_in = fleet.lab.run(node, f"cat {DROP_IN}").stdout
        assert "kernel.pid_max = 4194304\n" in drop_in
        for change in done.node(node)["changes"]:
            if change["target"].startswith("sysctl "):
                name = change["target"].partition(" ")[2]
                assert fleet.lab.run(node, f"sysctl -n {name}").stdout.strip() == change["after"]


def test_second_run_changes_nothing_in_one_round_trip_per_node(fleet: Fleet) -> None:
    assert fleet.play("harden").code == 0
    after_first = {node: fleet.look(node) for node in NODES}

    # -vvv names every command that goes over ssh; the first one to a node also finds out about its shell
    second = fleet.play("harden", "-vvv")
    assert second.code == 0
    for node in NODES:
        assert second.recap(node)["changed"] == 0
        assert second.node(node)["state"] == "ok"
        address = fleet.lab.address(node)
        assert second.output.count(f"<{address}> SSH: EXEC") == 1
    assert {node: fleet.look(node) for node in NODES} == after_first


def test_values_hold_after_a_reboot(fleet: Fleet) -> None:
    assert fleet.play("harden").code == 0
    raised = fleet.limits("node1")
    fleet.lab.stop("node1")
    fleet.lab.start("node1")
    assert fleet.limits("node1") == raised


def test_audit_only_reads_and_agrees_with_harden(fleet: Fleet) -> None:
    before = {node: fleet.look(node) for node in NODES}
    audit = fleet.play("audit")
    assert audit.code == 0
    assert {node: fleet.look(node) for node in NODES} == before

    harden = fleet.play("harden")
    for node in NODES:
        assert audit.node(node)["changes"] == foreseeable(harden, node)
        mended = {finding["where"] for finding in audit.node(node)["findings"] if finding["mended"]}
        assert mended >= {change["target"] for change in foreseeable(harden, node)}
    assert not [f for f in fleet.play("audit").node("node1")["findings"] if f["mended"]]


def test_tags_that_leave_no_trap_are_no_success(fleet: Fleet) -> None:
    before = {node: fleet.look(node) for node in NODES}
    for words in (("--skip-tags", ",".join(TRAPS)), ("--tags", "pid_limit")):
        run = fleet.play("harden", *words)
        assert run.code == 2
        assert [node["state"] for node in run.report["nodes"]] == ["failed"] * 3
        assert f"Name one of {', '.join(TRAPS)} with --tags" in run.node("node1")["error"]
    assert {node: fleet.look(node) for node in NODES} == before


def test_limit_and_tags(fleet: Fleet) -> None:
    before = {node: fleet.look(node) for node in NODES}
    limited = fleet.play("harden", "--limit", "node2", "--tags", "pid_limits")
    assert limited.code == 0
    assert [node["name"] for node in limited.report["nodes"]] == ["node2"]
    assert limited.report["run"]["limit"] == "node2"
    assert fleet.limits("node2")[0] == 4194304
    for node in ("node1", "node3"):
        assert fleet.look(node) == before[node]


def test_a_single_role_in_somebody_elses_playbook(fleet: Fleet) -> None:
    playbook = fleet.folder / "site.yml"
    playbook.write_text(
        """
- name: Their own play
  hosts: kube_node
  strategy: free
  serial: 2
  roles:
    - role: nodeward.calico.pid_limits
      pid_limits_pid_max: 1000000
"""
    )
    assert fleet.play(str(playbook)).code == 0
    assert {fleet.limits(node)[0] for node in NODES} == {1000000}
    again = fleet.play(str(playbook))
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    # a floor: what is higher stays, and the next boot does not lower it either
    lower = fleet.play(str(playbook), "-e", "pid_limits_pid_max=500000")
    assert lower.code == 0
    assert {fleet.limits(node)[0] for node in NODES} == {1000000}


def test_the_report_of_a_single_role_in_batches(fleet: Fleet) -> None:
    playbook = fleet.folder / "site.yml"
    playbook.write_text(
        """
- name: Their own play
  hosts: kube_node
  serial: 2
  roles:
    - role: nodeward.calico.pid_limits
    - role: nodeward.calico.report
      report_kind: harden
"""
    )
    run = fleet.play(str(playbook))
    assert run.code == 0
    assert "3 nodes (1 not run, 2 changed); traps: pid_limits" in run.output
    assert "3 nodes (3 changed); traps: pid_limits" in run.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nodeward_hosts=GROUP"),
        (["--limit", "web1"], "nodeward_hosts=GROUP"),
        (["-e", "nodeward_hosts=webserver"], "nodeward_hosts=webserver"),
    ],
)
def test_an_inventory_without_nodes_is_no_success(fleet: Fleet, tmp_path: Path, words: list[str], told: str) -> None:
    inventory = tmp_path / "other.yml"
    inventory.write_text("webservers: {hosts: {web1: {ansible_host: 127.0.0.1}}}\n")
    for playbook in ("nodeward.calico.harden", "nodeward.calico.audit"):
        command = fleet.command(playbook, *words)
        command[command.index("-i") + 1] = str(inventory)
        run = fleet.run(command)
        assert run.code == 2
        assert told in run.output
