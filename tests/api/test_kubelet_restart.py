"""A kubelet's restart is over when the API server has heard of it again: a lab's node, a real API server."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.api import ApiServer
from tests.lab import Lab

ROLE = "nodeward.calico.pid_limits"
READY = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].lastHeartbeatTime}"
CONFIG = "/var/lib/kubelet/config.yaml"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab(name="apikubelet", nodes=2)
    lab.down()
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def api(lab: Lab, tmp_path: Path) -> Iterator[ApiServer]:
    """An API server that a kubelet on a fresh node1 has registered with."""
    lab.reset("node1")
    with ApiServer(tmp_path, lab.gateway, nodes=("node1",)) as api:
        for path, text in api.kubelet_files("node1").items():
            lab.run("node1", f"mkdir -p {Path(path).parent} && printf %s {shlex.quote(text)} > {path}")
        lab.run("node1", "systemctl start kubelet")
        deadline = time.monotonic() + 60
        while not heartbeat(api):
            assert time.monotonic() < deadline, "the kubelet did not register"
            time.sleep(0.5)
        yield api


def heartbeat(api: ApiServer) -> str:
    return api.kubectl("get", "node", "node1", READY, "--ignore-not-found")


def harden(lab: Lab, folder: Path) -> tuple[int, str]:
    """Run the role with consent, as a user does."""
    play = {"hosts": "node1", "gather_facts": False, "roles": [{"role": ROLE}]}
    (folder / "role.yml").write_text(yaml.safe_dump([play]))
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    words = [ansible, "-i", str(lab.inventory), str(folder / "role.yml"), "-e", "pid_limits_allow_kubelet_restart=true"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_run_ends_after_a_new_heartbeat(lab: Lab, api: ApiServer, tmp_path: Path) -> None:
    before = heartbeat(api)
    code, output = harden(lab, tmp_path)
    assert code == 0, output
    assert heartbeat(api) > before
    assert json.loads(lab.run("node1", "cat /run/lab/kubelet.json").stdout)["podPidsLimit"] == 4096
    assert "PRIVATE KEY" not in output


def test_without_an_answer_of_the_api_server_nothing_is_restarted(lab: Lab, api: ApiServer, tmp_path: Path) -> None:
    running = lab.run("node1", "pgrep -x kubelet").stdout
    api.stop()
    code, output = harden(lab, tmp_path)
    assert code != 0
    assert "Mend it first" in output
    assert lab.run("node1", "pgrep -x kubelet").stdout == running
    assert "podPidsLimit" not in lab.run("node1", f"cat {CONFIG}").stdout
    api.start()


def test_a_kubelet_that_the_api_server_does_not_hear_of_again_is_put_back(
    lab: Lab, api: ApiServer, tmp_path: Path
) -> None:
    """It runs and says that it is well, and the node would look Ready for a while; its word does not get through."""
    before = lab.run("node1", f"cat {CONFIG}").stdout
    unit = "/etc/systemd/system/kubelet.service.d/90-mute.conf"
    mute = f"if grep -q podPidsLimit {CONFIG}; then exec /usr/bin/kubelet --config={CONFIG}; fi"
    again = f"exec /usr/bin/kubelet --config={CONFIG} --kubeconfig=/etc/kubernetes/kubelet.conf"
    lab.run("node1", f"printf '#!/bin/sh\\n%s\\n%s\\n' {shlex.quote(mute)} {shlex.quote(again)} > /root/mute")
    lab.run("node1", f"chmod 755 /root/mute && printf '[Service]\\nExecStart=\\nExecStart=/root/mute\\n' > {unit}")
    lab.run("node1", "systemctl daemon-reload")
    code, output = harden(lab, tmp_path)
    assert code != 0
    assert "condition Ready did not say again that it is well" in " ".join(output.split())
    assert lab.run("node1", f"cat {CONFIG}").stdout == before
    silent = heartbeat(api)
    deadline = time.monotonic() + 60
    while heartbeat(api) <= silent:
        assert time.monotonic() < deadline, "the kubelet with its old configuration does not speak again"
        time.sleep(0.5)
