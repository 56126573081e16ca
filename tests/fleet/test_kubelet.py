"""The kubelet's limits on process ids: written and taken up with consent only, and put back where it does not start."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fleet.fleet import Fleet, Run

CONFIG = "/var/lib/kubelet/config.yaml"
KEYS = ["podPidsLimit", "systemReserved.pid", "kubeReserved.pid"]
TARGETS = [*(f"yaml {CONFIG}#{key}" for key in KEYS), "restart kubelet.service"]
ALLOWED = ("-e", "pid_limits_allow_kubelet_restart=true")
TAKEN = {"podPidsLimit": 4096, "systemReserved": {"pid": "1024"}, "kubeReserved": {"pid": "1024"}}

SHOWN = {"name": "Show", "ansible.builtin.debug": {"var": "pid_limits_result"}}
ROLE = [
    {
        "hosts": "node1",
        "gather_facts": False,
        "roles": [{"role": "nodeward.calico.pid_limits"}],
        "post_tasks": [SHOWN],
    }
]


@pytest.fixture
def node(fleet: Fleet) -> Fleet:
    """One node with a running kubelet."""
    fleet.lab.run("node1", "systemctl start kubelet")
    wait_for_kubelet(fleet)
    return fleet


# A kubelet that listens: no program of the node's asks for a page.
LISTENS = "for i in $(seq 100); do grep -q '0100007F:2808 .* 0A ' /proc/net/tcp && exit 0; sleep 0.1; done; exit 1"


def wait_for_kubelet(fleet: Fleet) -> None:
    fleet.lab.run("node1", LISTENS)


def playbook(fleet: Fleet) -> Path:
    path = fleet.folder / "role.yml"
    path.write_text(yaml.safe_dump(ROLE))
    return path


def role(fleet: Fleet, *words: str, check: bool = True) -> Run:
    """Run the role pid_limits on node1, as somebody would who has no other playbook."""
    run = fleet.play(str(playbook(fleet)), *words)
    assert run.code == 0 or not check, run.output
    return run


def took(fleet: Fleet) -> dict[str, Any]:
    """Return what the running kubelet says that it took, and its process."""
    read: dict[str, Any] = json.loads(fleet.lab.run("node1", "cat /run/lab/kubelet.json").stdout)
    assert fleet.lab.run("node1", "pgrep -x kubelet").stdout.split() == [str(read["pid"])]
    return read


def config(fleet: Fleet) -> str:
    return str(fleet.lab.run("node1", f"cat {CONFIG}").stdout)


def test_without_consent_nothing_is_written(node: Fleet) -> None:
    before, running = config(node), took(node)
    done = node.play("harden", "--limit", "node1")
    assert done.code == 0
    pending = done.node("node1")["pending"]
    assert [(change["target"], change["disrupts"]) for change in pending] == [
        (target, "kubelet_restart") for target in TARGETS
    ]
    assert "kubelet_restart" in done.output
    assert (config(node), took(node)) == (before, running)


def test_with_consent_the_kubelet_runs_with_it_and_restore_takes_it_back(node: Fleet) -> None:
    before, running = config(node), took(node)
    assert running["podPidsLimit"] == -1
    role(node, *ALLOWED)

    after = took(node)
    assert {key: after[key] for key in TAKEN} == TAKEN
    assert (running["pids"], after["pids"] > running["pids"]) == (49152, True), "its capacity is read at its start"
    assert after["pid"] != running["pid"]
    (node.folder / "before").write_text(before)
    (node.folder / "after").write_text(config(node))
    assert lines_only_in(node.folder / "before", node.folder / "after") == []
    assert lines_only_in(node.folder / "after", node.folder / "before") == [
        "kubeReserved:", "podPidsLimit: 4096", "systemReserved:", '  pid: "1024"', '  pid: "1024"',
    ]  # fmt: skip
    mode = node.lab.run("node1", f"stat -c '%a %U' {CONFIG}").stdout
    assert mode.split() == ["644", "root"]

    assert "changed=0" in role(node, *ALLOWED).output
    assert took(node) == after

    unconsented = role(node, "-e", "pid_limits_state=restored")
    assert took(node) == after
    assert "restart kubelet.service" in unconsented.output
    role(node, "-e", "pid_limits_state=restored", *ALLOWED)
    assert config(node) == before
    assert took(node)["podPidsLimit"] == -1
    assert node.lab.run("node1", "ls /var/lib/nodeward", check=False).returncode != 0


def lines_only_in(one: Path, other: Path) -> list[str]:
    rest = other.read_text().splitlines()
    only = []
    for line in one.read_text().splitlines():
        if line in rest:
            rest.remove(line)
        else:
            only.append(line)
    return sorted(only, key=lambda line: (line.startswith(" "), line))


PICKY = f"""
cat > /root/picky <<'END'
#!/bin/sh
if grep -q podPidsLimit {CONFIG}; then sleep {{seconds}}; exit 1; fi
{{otherwise}}
END
chmod 755 /root/picky
cat > /etc/systemd/system/kubelet.service.d/90-picky.conf <<'END'
[Service]
RestartSec=1
{{setting}}
END
systemctl daemon-reload
"""


def test_a_kubelet_that_does_not_come_up_again_is_put_back(node: Fleet) -> None:
    """With what we write its unit does not get as far as to start it."""
    before = config(node)
    node.lab.run("node1", PICKY.format(seconds=0, otherwise="exit 0", setting="ExecStartPre=/root/picky"))
    failed = role(node, *ALLOWED, check=False)
    assert failed.code != 0
    assert "what this run had changed was put back" in failed.output
    assert config(node) == before
    wait_for_kubelet(node)
    assert took(node)["podPidsLimit"] == -1
    assert node.limits("node1")[0] == 49152, "all of one run, or nothing of it"


def test_a_kubelet_that_starts_and_ends_again_and_again_is_put_back(node: Fleet) -> None:
    before = config(node)
    kubelet = f"exec /usr/bin/kubelet --config={CONFIG}"
    setting = "ExecStart=\nExecStart=/root/picky"
    node.lab.run("node1", PICKY.format(seconds=3, otherwise=kubelet, setting=setting))
    started = time.monotonic()
    failed = role(node, *ALLOWED, check=False)
    assert failed.code != 0
    assert "did not say again that it is well" in failed.output
    assert time.monotonic() - started < 170, "it was waited for although it ended three times"
    assert config(node) == before
    wait_for_kubelet(node)
    assert took(node)["podPidsLimit"] == -1


def test_a_kubelet_that_is_ill_already_is_left_alone(node: Fleet) -> None:
    before = node.look("node1")
    node.lab.run("node1", "kill -STOP $(pgrep -x kubelet)")
    refused = role(node, *ALLOWED, check=False)
    assert refused.code != 0
    assert "Mend it first" in refused.output
    assert node.look("node1") == before


# A systemctl that, asked to restart something, notes itself, what started it and what started that (the module),
# and does nothing.
STUCK = """
sleep 2.5
cp /usr/bin/systemctl /root/systemctl
cat > /root/stuck <<'END'
#!/bin/sh
case $1 in show | daemon-reload) exec /root/systemctl "$@" ;; esac
echo $(cut -d' ' -f4 /proc/$PPID/stat) $PPID $$ > /run/asking
mv /run/asking /run/asked
exec sleep 600
END
chmod 755 /root/stuck
mount --bind /root/stuck /usr/bin/systemctl
"""


def test_a_run_that_was_killed_between_the_file_and_the_restart(node: Fleet) -> None:
    running = took(node)
    node.lab.run("node1", STUCK)
    with subprocess.Popen(node.command(str(playbook(node)), *ALLOWED), stdout=subprocess.DEVNULL) as run:
        node.lab.run("node1", "for i in $(seq 1000); do [ -e /run/asked ] && exit 0; sleep 0.1; done; exit 1")
        node.lab.run("node1", "kill -KILL $(cat /run/asked)")
        run.kill()
    node.lab.run("node1", "umount /usr/bin/systemctl")
    assert "podPidsLimit: 4096" in config(node)
    assert took(node) == running, "the file is written, and the kubelet runs without it"

    told = node.play("harden", "--limit", "node1")
    [pending] = told.node("node1")["pending"]
    assert pending["target"] == "restart kubelet.service"
    assert "was written after the kubelet was started" in pending["why"]
    role(node, *ALLOWED)
    assert took(node)["podPidsLimit"] == 4096
    assert "changed=0" in role(node, *ALLOWED).output


BAD: list[tuple[str, str, str]] = [
    ("not YAML", f"printf '[Unit]\\nx\\n' > {CONFIG}", "cannot be read as YAML"),
    ("a link into nowhere", f"rm {CONFIG} && ln -s /gone/config.yaml {CONFIG}", "is a link to /gone/config.yaml"),
    ("gone", f"rm {CONFIG}", "is not there"),
    (
        "a reservation that is a limit of what cannot be seen",
        f"printf 'enforceNodeAllocatable: [pods, system-reserved]\\nsystemReservedCgroup: /gone\\n' >> {CONFIG}",
        "/gone",
    ),
]


@pytest.mark.parametrize(("spoil", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_refused_before_anything_is_touched(node: Fleet, spoil: str, told: str) -> None:
    node.lab.run("node1", spoil)
    before = node.look("node1")
    refused = role(node, *ALLOWED, check=False)
    assert refused.code != 0
    assert told in refused.output
    assert node.look("node1") == before
    named = node.play("audit", "--limit", "node1")
    assert [f["id"] for f in named.node("node1")["findings"] if told in f["where"] + f["observed"]] == [
        "pid_limits.refused"
    ]


def test_a_kubelet_with_flags_only_is_told_and_left_alone(node: Fleet) -> None:
    unit = "/etc/systemd/system/kubelet.service.d/20-flags.conf"
    node.lab.run("node1", f"printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/kubelet --v=2\\n' > {unit}")
    node.lab.run("node1", "systemctl daemon-reload; systemctl restart kubelet")
    wait_for_kubelet(node)
    running = took(node)
    done = node.play("harden", "--limit", "node1", "-e", "harden_allow=kubelet_restart")
    assert done.code == 0
    [found] = [f for f in done.node("node1")["findings"] if f["id"] == "pid_limits.kubelet_flags"]
    assert "--pod-max-pids=4096 --system-reserved=pid=1024 --kube-reserved=pid=1024" in found["remedy"]
    assert took(node) == running


def test_a_folder_gets_a_file_of_its_own(node: Fleet) -> None:
    theirs = "apiVersion: kubelet.config.k8s.io/v1beta1\\nkind: KubeletConfiguration\\nsystemReserved: {pid: '3000'}\\n"
    node.lab.run("node1", f'mkdir /etc/kubelet.d && printf "{theirs}" > /etc/kubelet.d/10-theirs.conf')
    node.lab.run("node1", "echo KUBELET_EXTRA_ARGS=--config-dir=/etc/kubelet.d > /etc/default/kubelet")
    node.lab.run("node1", "systemctl restart kubelet")
    wait_for_kubelet(node)
    before = config(node)
    role(node, *ALLOWED)
    after = took(node)
    assert (after["podPidsLimit"], after["systemReserved"], after["kubeReserved"]) == (
        4096, {"pid": "3000"}, {"pid": "1024"},
    )  # fmt: skip
    assert config(node) == before
    assert node.lab.run("node1", "ls /etc/kubelet.d").stdout.split() == [
        "10-theirs.conf", "99-zz-nodeward-pid_limits.conf",
    ]  # fmt: skip
    assert "changed=0" in role(node, *ALLOWED).output
    role(node, "-e", "pid_limits_state=restored", *ALLOWED)
    assert took(node)["podPidsLimit"] == -1
    assert node.lab.run("node1", "ls /etc/kubelet.d").stdout.split() == ["10-theirs.conf"]


def test_the_flag_that_wins_is_named_with_its_file(node: Fleet) -> None:
    node.lab.run("node1", "echo KUBELET_EXTRA_ARGS=--system-reserved=cpu=100m > /etc/default/kubelet")
    node.lab.run("node1", "systemctl restart kubelet")
    wait_for_kubelet(node)
    done = node.play("harden", "--limit", "node1")
    [found] = [f for f in done.node("node1")["findings"] if f["id"] == "pid_limits.kubelet_flags"]
    assert (found["where"], found["observed"]) == ("/etc/default/kubelet", "the flag --system-reserved")
    assert [change["target"] for change in done.node("node1")["pending"]] == [
        target for target in TARGETS if "systemReserved" not in target
    ]
