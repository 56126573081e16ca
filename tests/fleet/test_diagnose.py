"""diagnose.yml on a node that is ill, and on the same node once that is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet
from tests.lab import Lab

NODE = ("-e", "diagnose_node=node1")


@pytest.fixture
def here(lab: Lab, tmp_path: Path) -> Fleet:
    lab.reset("node1")
    return Fleet(lab, tmp_path)


def test_a_node_whose_process_ids_run_out(lab: Lab, here: Fleet) -> None:
    fresh = here.play("diagnose", *NODE)
    assert fresh.code == 0
    assert "Likeliest: MTU: link tunl0: 1480, wanted" in fresh.output

    # the lab's threads-max limits nothing: the node goes on working, and its numbers are those of incident B
    used = len(lab.run("node1", "ls -d /proc/[0-9]*/task/[0-9]* 2>/dev/null", check=False).stdout.split())
    lab.run("node1", f"echo {used + 1} > /proc/sys/kernel/threads-max")
    before = here.look("node1")
    ill = here.play("diagnose", *NODE)
    assert ill.code == 0
    assert "process ids       explains it" in ill.output
    assert "Likeliest: process ids: " in ill.output
    assert "of kernel.threads-max" in ill.output
    assert "Then: ansible-playbook nodeward.calico.harden --tags pid_limits --limit node1" in ill.output
    assert ill.recap("node1")["changed"] == 0
    assert here.look("node1") == before, "it reads only"

    # what it says to do, and the MTU that it had named first
    assert here.play("harden", "--tags", "pid_limits,link_mtu", "--limit", "node1").code == 0
    mended = here.play("diagnose", *NODE)
    assert "No cause was found" in mended.output


@pytest.mark.parametrize(
    ("words", "why"), [((), "No node is named"), (("-e", "diagnose_node=nobody"), "diagnose_node=nobody is no host")]
)
def test_a_node_that_there_is_not_is_refused(here: Fleet, words: tuple[str, ...], why: str) -> None:
    run = here.play("diagnose", *words)
    assert run.code == 2
    assert why in run.output
