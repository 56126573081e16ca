"""What disrupts: only with consent, node after node, and no further than the first failure."""

from __future__ import annotations

import json
import time

import pytest

from tests.fleet.fleet import NODES, Fleet

CONFIG = "/var/lib/kubelet/config.yaml"
CONSENT = ("--tags", "pid_limits", "-e", "harden_allow=kubelet_restart", "-e", "harden_pause=1")

# The kubelet will not start with a cap in its configuration.
REFUSES_A_CAP = """
mkdir -p /etc/systemd/system/kubelet.service.d
printf '[Service]\\nExecStartPre=/bin/sh -c "! grep -q podPidsLimit /var/lib/kubelet/config.yaml"\\n' \
    > /etc/systemd/system/kubelet.service.d/50-picky.conf
systemctl daemon-reload
"""


@pytest.fixture
def kubelets(fleet: Fleet) -> Fleet:
    """Give every node a kubelet that runs."""
    for node in NODES:
        fleet.lab.run(node, "systemctl start kubelet")
    return fleet


def started(fleet: Fleet, node: str) -> str:
    """Return the id of the kubelet's present start."""
    return fleet.lab.run(node, "systemctl show -P InvocationID kubelet").stdout.strip()


def runs_with(fleet: Fleet, node: str) -> dict[str, object]:
    taken: dict[str, object] = json.loads(fleet.lab.run(node, "cat /run/lab/kubelet.json").stdout)
    return taken


def config(fleet: Fleet, node: str) -> str:
    return fleet.lab.run(node, f"cat {CONFIG}").stdout


def test_without_consent_nothing_is_written_and_the_report_names_the_word(kubelets: Fleet) -> None:
    before = {node: (started(kubelets, node), config(kubelets, node)) for node in NODES}
    for words in ((), ("-e", '{"harden_allow": ["uplink_change"]}')):
        run = kubelets.play("harden", *words)
        assert run.code == 0
        assert {node: (started(kubelets, node), config(kubelets, node)) for node in NODES} == before
        for node in NODES:
            assert {change["disrupts"] for change in run.node(node)["pending"]} == {"kubelet_restart"}
        assert "-e harden_allow=kubelet_restart" in run.output


def test_with_consent_node_after_node_the_control_plane_last(kubelets: Fleet) -> None:
    first = {node: config(kubelets, node) for node in NODES}
    before = {node: started(kubelets, node) for node in NODES}

    checked = kubelets.play("harden", "--check", *CONSENT)
    assert checked.code == 0
    assert {node: started(kubelets, node) for node in NODES} == before
    assert {node: config(kubelets, node) for node in NODES} == first

    done = kubelets.play("harden", *CONSENT)
    assert done.code == 0
    since = "systemctl show -P ActiveEnterTimestampMonotonic kubelet"
    times = {node: int(kubelets.lab.run(node, since).stdout) for node in NODES}
    assert times["node2"] < times["node3"] < times["node1"], "node1 is the control plane"
    assert times["node3"] - times["node2"] > 1_000_000, "there was no pause after the first node"
    for node in NODES:
        assert started(kubelets, node) != before[node]
        assert runs_with(kubelets, node)["podPidsLimit"] == 4096
        assert done.node(node)["pending"] == []
        assert checked.node(node)["changes"] == done.node(node)["changes"]

    after = {node: started(kubelets, node) for node in NODES}
    again = kubelets.play("harden", "-vvv", *CONSENT)
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    assert {node: started(kubelets, node) for node in NODES} == after
    # one for each node, and from kubeadm's first control-plane node one for the cluster: its ConfigMap is looked at
    sent = {node: again.output.count(f"<{kubelets.lab.address(node)}> SSH: EXEC") for node in NODES}
    assert sent == {"node1": 2, "node2": 1, "node3": 1}
    assert again.output.count("plugins/modules/kubelet_config_map.py\n") == 1

    waiting = kubelets.play("restore")
    assert {change["disrupts"] for change in waiting.node("node1")["pending"]} == {"kubelet_restart"}
    assert {node: started(kubelets, node) for node in NODES} == after
    assert kubelets.play("restore", *CONSENT).code == 0
    assert {node: config(kubelets, node) for node in NODES} == first
    for node in NODES:
        assert started(kubelets, node) != after[node]
        assert runs_with(kubelets, node)["podPidsLimit"] != 4096


def test_the_first_failure_ends_it_and_puts_that_node_back(kubelets: Fleet) -> None:
    kubelets.lab.run("node2", REFUSES_A_CAP)
    first = {node: config(kubelets, node) for node in NODES}
    before = {node: started(kubelets, node) for node in NODES}

    run = kubelets.play("harden", *CONSENT)
    assert run.code == 2
    assert "what this run had changed was put back" in run.node("node2")["error"]
    assert "node1, node3: what was consented to was not done since node2 failed" in run.output
    assert {node: config(kubelets, node) for node in NODES} == first
    assert kubelets.lab.run("node2", "systemctl is-active kubelet").stdout.strip() == "active"
    for node in ("node1", "node3"):
        assert started(kubelets, node) == before[node]
        assert run.node(node)["held_back_by"] == ["node2"]
        assert run.node(node)["state"] == "pending"

    kubelets.lab.run("node2", "rm /etc/systemd/system/kubelet.service.d/50-picky.conf; systemctl daemon-reload")
    assert kubelets.play("harden", *CONSENT).code == 0
    assert {runs_with(kubelets, node)["podPidsLimit"] for node in NODES} == {4096}


def test_a_node_that_goes_away_in_its_turn_ends_it(kubelets: Fleet) -> None:
    before = {node: started(kubelets, node) for node in NODES}
    kubelets.lab.run(
        "node2",
        "mkdir -p /etc/systemd/system/kubelet.service.d; printf '[Service]\\nExecStartPre=systemctl stop ssh.socket "
        "ssh.service\\nExecStartPre=-pkill -x sshd\\n' > /etc/systemd/system/kubelet.service.d/50-gone.conf; "
        "systemctl daemon-reload",
    )
    run = kubelets.play("harden", *CONSENT, "--timeout=5")
    assert run.code != 0
    assert run.node("node2")["state"] == "unreachable"
    for node in ("node1", "node3"):
        assert started(kubelets, node) == before[node]
        assert run.node(node)["held_back_by"] == ["node2"]


# The node goes down at the moment of the restart, and comes up again by itself. The module is halted first: a
# node in a container goes down process by process, and would leave it the time to put everything back.
REBOOTS_ONCE = """
cat > /usr/local/bin/go-down <<'END'
rm /etc/systemd/system/kubelet.service.d/50-reboot.conf
pgrep python3 | xargs kill -STOP
reboot -f
END
mkdir -p /etc/systemd/system/kubelet.service.d
printf '[Service]\\nExecStartPre=/bin/sh /usr/local/bin/go-down\\n' \
    > /etc/systemd/system/kubelet.service.d/50-reboot.conf
systemctl daemon-reload
"""


def wait_for_boot(fleet: Fleet, node: str, boot: str) -> None:
    """Wait until a node has booted anew."""
    deadline = time.monotonic() + 60
    while fleet.lab.run(node, BOOT, check=False).stdout in ("", boot):
        assert time.monotonic() < deadline, "it did not come up again"
        time.sleep(0.5)


BOOT = "stat -c %Y /run/systemd/system; systemctl show -P UserspaceTimestampMonotonic"


def test_a_node_that_reboots_half_way_is_finished_by_the_next_run(kubelets: Fleet) -> None:
    first, boot = config(kubelets, "node2"), kubelets.lab.run("node2", BOOT).stdout
    kubelets.lab.run("node2", REBOOTS_ONCE)
    run = kubelets.play("harden", *CONSENT, "--limit", "node2", "--timeout=5")
    assert run.code != 0
    assert run.node("node2")["state"] in ("unreachable", "failed")
    wait_for_boot(kubelets, "node2", boot)
    assert "podPidsLimit: 4096" in config(kubelets, "node2"), "it went down before anything was written"

    kubelets.lab.run("node2", "systemctl start kubelet")
    assert kubelets.play("harden", *CONSENT, "--limit", "node2").code == 0
    assert runs_with(kubelets, "node2")["podPidsLimit"] == 4096
    assert kubelets.limits("node2")[0] == 4194304
    assert kubelets.play("restore", *CONSENT, "--limit", "node2").code == 0
    assert config(kubelets, "node2") == first
    assert kubelets.lab.run("node2", "test -e /var/lib/nodeward", check=False).returncode == 1
