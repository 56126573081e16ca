"""restore.yml: every value back to what it was before the first run, and nothing else touched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fleet.fleet import NODES, Fleet
from tests.fleet.killing import kill_when_printed

JOURNAL = "/var/lib/nodeward/journal.json"
# the way back of a tunnel that was lowered
ALLOWED = ("-e", "harden_allow=uplink_change", "-e", "harden_pause=0")


def look(fleet: Fleet) -> dict[str, list[str]]:
    return {node: fleet.look(node) for node in NODES}


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """The lines that only one of two looks has: a comparison of the whole would print thousands."""
    return [f"{node}: {line}" for node in NODES for line in sorted(set(one[node]) ^ set(other[node]))]


def journals(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """The entries of each node, without what a place was given before it was given something else."""
    told = {node: json.loads(fleet.lab.run(node, f"cat {JOURNAL}").stdout)["entries"] for node in NODES}
    return {
        node: {target: {**entry, "earlier": None} for target, entry in entries.items()}
        for node, entries in told.items()
    }


def targets(node: dict[str, Any]) -> list[str]:
    return sorted(change["target"] for change in node["changes"])


def test_everything_is_as_it_was_before_the_first_run(fleet: Fleet) -> None:
    first = look(fleet)
    assert fleet.play("harden", "-e", "pid_limits_pid_max=1000000").code == 0
    assert fleet.play("harden").code == 0
    hardened, known = look(fleet), journals(fleet)
    assert all(hardened[node] != first[node] for node in NODES), "there is nothing to restore"

    checked = fleet.play("restore", *ALLOWED, "--check", "--diff")
    assert checked.code == 0
    assert differences(look(fleet), hardened) == [], "check mode wrote to a node"

    done = fleet.play("restore", *ALLOWED)
    assert done.code == 0
    for node in NODES:
        assert targets(done.node(node)) == targets(checked.node(node)) != []
    assert differences(look(fleet), first) == []

    again = fleet.play("restore", *ALLOWED)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    assert differences(look(fleet), first) == []

    assert fleet.play("harden").code == 0
    # node3 has pyroute2 from the start now, so that its journal has the same entries in another order
    unlike = [line for line in differences(look(fleet), hardened) if not line.endswith(f"  {JOURNAL}")]
    assert (unlike, journals(fleet)) == ([], known)


def test_what_someone_else_changed_since_is_left_and_named(fleet: Fleet) -> None:
    assert fleet.play("harden").code == 0
    fleet.lab.run("node2", "sysctl -w kernel.pid_max=3000000")
    done = fleet.play("restore", *ALLOWED)
    assert done.code == 0
    assert [fleet.limits(node)[0] for node in NODES] == [49152, 3000000, 49152]
    [left] = [f for f in done.node("node2")["findings"] if f["id"] == "pid_limits.changed_since"]
    assert (left["where"], left["observed"], left["wanted"]) == ("sysctl kernel.pid_max", "3000000", "49152")
    assert "pid_limits.changed_since" in done.output


def test_a_corrupt_journal_is_kept_aside_and_nothing_is_lost(fleet: Fleet) -> None:
    assert fleet.play("harden", "-e", "pid_limits_pid_max=1000000").code == 0
    fleet.lab.run("node1", f"head -c 60 {JOURNAL} > /root/cut && cp /root/cut {JOURNAL} && rm /root/cut")
    before = look(fleet)

    refused = fleet.play("restore", *ALLOWED, "--limit", "node1")
    assert refused.code == 2
    assert "the journal of earlier changes cannot be read" in refused.node("node1")["error"]
    assert "Put back a good copy" in refused.node("node1")["error"]
    assert differences(look(fleet), before) == []

    done = fleet.play("harden", "--limit", "node1")
    assert done.code == 0
    assert [f["where"] for f in done.node("node1")["findings"] if f["id"] == "journal.unreadable"] == [JOURNAL]
    kept = fleet.lab.run("node1", "cat /var/lib/nodeward/journal-unreadable-*.json").stdout
    assert kept.startswith('{\n "format": 1')
    assert len(kept) == 60

    back = fleet.play("restore", *ALLOWED, "--limit", "node1")
    assert back.code == 0
    assert [f["severity"] for f in back.node("node1")["findings"] if f["id"] == "journal.kept_aside"] == ["medium"]
    assert fleet.limits("node1")[0] == 1000000, "what the cut journal said is not known any more"
    assert fleet.lab.run("node1", "cat /var/lib/nodeward/journal-unreadable-*.json").stdout == kept


@pytest.mark.parametrize("printed", ["Observe, plan, and apply", "TASK [nodeward.calico.report"])
def test_a_killed_restore_is_finished_by_the_next(fleet: Fleet, printed: str) -> None:
    first = look(fleet)
    assert fleet.play("harden").code == 0
    kill_when_printed(fleet.command("nodeward.calico.restore", "--forks=1", *ALLOWED), printed)
    assert fleet.play("restore", *ALLOWED).code == 0
    assert differences(look(fleet), first) == []


def test_consent_that_means_nothing_is_refused_before_anything_is_done(fleet: Fleet) -> None:
    before = look(fleet)
    run = fleet.play("harden", "-e", "harden_allow=kubelet_restat")
    assert run.code != 0
    assert "Did you mean kubelet_restart?" in run.output
    assert differences(look(fleet), before) == []
