"""Something is wrong with node2: one clear error for it, nothing changed on it, the others done as asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet, Run

BAD = "node2"
OTHERS = ("node1", "node3")
DROP_IN = "/etc/sysctl.d/99-zz-nodeward-pid_limits.conf"


@dataclass(frozen=True)
class Case:
    """What is done to node2 (a shell command, or variables of it), and what its error has to say."""

    says: tuple[str, ...]
    prepare: str = ":"
    variables: str = ""


CASES = {
    "a floor beyond the kernel's bound": Case(
        variables="{pid_limits_pid_max: 4194305}",
        says=("4194305", "kernel.pid_max", "4194304", "Set pid_limits_pid_max"),
    ),
    "a floor below the kernel's bound": Case(
        variables="{pid_limits_pid_max: 5}",
        says=("kernel.pid_max", "301", "Set pid_limits_pid_max"),
    ),
    "a floor that is no number": Case(
        variables="{pid_limits_threads_max: plenty}",
        says=("plenty", "pid_limits_threads_max", "auto"),
    ),
    "a policy key that does not exist": Case(
        variables="{pid_limits_pidmax: 4194304}",
        says=("pid_limits_pidmax", "did you mean pid_limits_pid_max"),
    ),
    "a read-only /etc": Case(
        prepare="mount --bind /etc /etc && mount -o remount,bind,ro /etc",
        says=(DROP_IN, "read-only", "Make it writable"),
    ),
    "a full disk below /etc": Case(
        prepare="mount -t tmpfs -o size=256k tmpfs /etc/sysctl.d && head -c 240k /dev/zero > /etc/sysctl.d/filler",
        says=(DROP_IN, "full", "some room"),
    ),
    "a full disk below the journal": Case(
        prepare=(
            "mkdir -p /var/lib/nodeward && mount -t tmpfs -o size=256k tmpfs /var/lib/nodeward"
            " && head -c 240k /dev/zero > /var/lib/nodeward/filler"
        ),
        says=("/var/lib/nodeward/journal.json", "full", "some room"),
    ),
    "a garbled sysctl.d file": Case(
        prepare=r"printf 'vm.swappiness = 1\nkernel.pid_max 65536\n\377\376\n' > /etc/sysctl.d/70-garbled.conf",
        says=("/etc/sysctl.d/70-garbled.conf", "line 2", "kernel.pid_max 65536", "Mend or remove"),
    ),
    "a journal of a later release": Case(
        prepare='mkdir -p /var/lib/nodeward && echo \'{"format": 2, "entries": {}}\' > /var/lib/nodeward/journal.json',
        says=("/var/lib/nodeward/journal.json", "format is 2", "Use the release that wrote it"),
    ),
    "our drop-in masked by somebody": Case(
        prepare=f"ln -s /dev/null {DROP_IN}",
        says=(DROP_IN, "/dev/null", "Remove the link"),
    ),
    "our drop-in read-only": Case(
        prepare=(f"touch {DROP_IN} && mount --bind {DROP_IN} {DROP_IN} && mount -o remount,bind,ro {DROP_IN}"),
        says=(DROP_IN, "read-only", "Make it writable"),
    ),
    "a FIFO for a sysctl.d file": Case(
        prepare="mkfifo /etc/sysctl.d/70-fifo.conf",
        says=("/etc/sysctl.d/70-fifo.conf", "no regular file", "Mend it"),
    ),
    "a node without Python": Case(
        prepare="mkdir /opt/away && mv /usr/bin/python3* /opt/away/",
        says=("no usable Python", "Install python3"),
    ),
    "a login that is not root": Case(
        prepare="useradd -m -s /bin/sh ops && cp -r /root/.ssh /home/ops/ && chown -R ops /home/ops/.ssh",
        variables="{ansible_user: ops}",
        says=("root", "--become"),
    ),
}


def run_harden(fleet: Fleet, tmp_path: Path, case: Case, *words: str) -> Run:
    more = tmp_path / "more.yml"
    more.write_text(f"all: {{hosts: {{{BAD}: {case.variables or '{}'}}}}}\n")
    return fleet.play("harden", "-i", str(more), *words)


def the_error(run: Run) -> str:
    """Return what the report says about node2; it must be in the output, too."""
    error = str(run.node(BAD)["error"])
    assert error.startswith(f"{BAD}: ")
    assert " ".join(error.split())[:60] in " ".join(run.output.split())
    return error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_clear_error_and_the_others_are_done(fleet: Fleet, tmp_path: Path, case: Case) -> None:
    fleet.lab.run(BAD, case.prepare)
    before = fleet.look(BAD)

    checked = run_harden(fleet, tmp_path, case, "--check")
    run = run_harden(fleet, tmp_path, case)

    assert run.code == 2
    error = the_error(run)
    assert [word for word in case.says if word not in error] == [], error
    assert the_error(checked) == error, "check mode did not foresee it"
    assert fleet.look(BAD) == before, "something was changed on the node"
    assert run.recap(BAD)["failed"] == 1
    for node in OTHERS:
        assert run.node(node)["state"] == "changed"
        assert run.recap(node)["failed"] == 0
        assert fleet.limits(node)[0] == 4194304


def test_an_unreachable_node_is_a_row_and_fails_the_run(fleet: Fleet) -> None:
    fleet.lab.stop(BAD)
    run = fleet.play("harden")
    assert run.code == 2
    assert "not reached" in the_error(run)
    assert "Check address, ssh and power" in the_error(run)
    assert run.node(BAD)["state"] == "unreachable"
    assert {fleet.limits(node)[0] for node in OTHERS} == {4194304}

    audit = fleet.play("audit")
    assert audit.code == 2
    assert audit.node(BAD)["state"] == "unreachable"
    # what the rules find is the machine's own (fs.inotify.* cannot be set in a lab), and not the collection's to mend
    found = [f["id"] for f in audit.node("node1")["findings"] if f["severity"] != "info"]
    assert [name for name in found if not name.startswith("rules.")] == []


def test_errors_that_ansible_cfg_calls_fatal_still_give_a_report(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.lab.stop("node1")
    monkeypatch.setenv("ANSIBLE_ANY_ERRORS_FATAL", "true")
    run = fleet.play("harden")
    assert run.code == 2
    assert [node["state"] for node in run.report["nodes"]] == ["unreachable", "changed", "changed"]


def test_where_the_kernel_is_not_ours_the_trap_is_skipped_with_a_finding(fleet: Fleet) -> None:
    for name in ("pid_max", "threads-max"):
        path = f"/proc/sys/kernel/{name}"
        fleet.lab.run(BAD, f"mount --bind {path} {path} && mount -o remount,bind,ro {path}")
    before = fleet.look(BAD)
    run = fleet.play("harden", "--tags", "pid_limits")
    assert run.code == 0
    assert run.node(BAD)["state"] == "ok"
    found = [f["where"] for f in run.node(BAD)["findings"] if f["id"] == "pid_limits.read_only"]
    assert sorted(found) == ["kernel.pid_max", "kernel.threads-max"]
    assert fleet.look(BAD) == before
    assert {fleet.limits(node)[0] for node in OTHERS} == {4194304}


def test_a_file_that_wins_over_ours_is_named(fleet: Fleet) -> None:
    fleet.lab.run(BAD, "echo kernel.pid_max=65536 > /etc/sysctl.d/zz-theirs.conf")
    run = fleet.play("harden")
    assert run.code == 0
    [finding] = [f for f in run.node(BAD)["findings"] if f["id"] == "pid_limits.overridden"]
    assert finding["where"] == "/etc/sysctl.d/zz-theirs.conf line 1"
    # and it is true: this is what the next boot will make of it
    fleet.lab.run(BAD, "systemctl restart systemd-sysctl.service")
    assert fleet.limits(BAD)[0] == 65536


def test_a_key_that_the_module_does_not_have(fleet: Fleet) -> None:
    playbook = fleet.folder / "own.yml"
    playbook.write_text(
        """
- name: Their own play
  hosts: kube_node
  tasks:
    - name: Harden
      nodeward.calico.node:
        pid_limits: "{{ {'pidmax': 5} if inventory_hostname == 'node2' else {} }}"
"""
    )
    before = fleet.look(BAD)
    run = fleet.play(str(playbook))
    assert run.code == 2
    assert "pid_limits.pidmax" in run.output
    assert fleet.look(BAD) == before
    assert fleet.limits("node1")[0] == 4194304
