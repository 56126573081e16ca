"""harden.yml and restore.yml where a DaemonSet runs node-exporter: a real API server, and real exporters on the nodes.

The kubelets' part is played here: each pod's container is a process on its node, in a pod's cgroup, with the words of
its template. The tests run in their order.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.api import ApiServer
from tests.api.calico import settle
from tests.api.kubelets import Kubelets, repeated
from tests.api.nodes import add_node
from tests.fleet.fleet import NODES, Fleet, Run
from tests.lab import Lab, bird
from tests.prometheus import programs
from tests.unit.kube.exporter_objects import MONITORING, NAME, daemon_set

ON = "--collector.processes"
FOLDER = "/var/lib/node_exporter"
ONLY = ("--tags", "process_metrics")
SLOW = "node2"
# What the container sees of its node, and where that is for a process outside of any container.
PATHS = {"/host/proc": "/proc", "/host/sys": "/sys", "/host/root": "/", "/host/textfile": FOLDER}


def metrics(lab: Lab, node: str) -> str:
    url = f"http://{lab.address(node)}:9100/metrics"
    get = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=20).read().decode())"
    bird.until(lambda: lab.run(node, f'python3 -c "{get}"', check=False).returncode == 0, f"the metrics of {node}")
    return lab.run(node, f'python3 -c "{get}"').stdout


def start(lab: Lab, node: str, pod: Mapping[str, Any]) -> None:
    """Do what the kubelet does: make the folders of its volumes, and run the container in a pod's cgroup."""
    spec = pod["spec"]
    folders = [volume["hostPath"]["path"] for volume in spec["volumes"] if volume["hostPath"].get("type")]
    words = [word.replace("$(HOST_IP)", lab.address(node)) for word in spec["containers"][0]["args"]]
    for inside, outside in PATHS.items():
        words = [word.replace(f"={inside}", f"={outside}") for word in words]
    own = "" if spec.get("hostPID") else "unshare --pid --fork --kill-child --mount-proc"
    unit = "--unit=lab-exporter --collect --quiet --slice=kubepods-besteffort-podexporter.slice"
    lab.run(node, f"systemctl stop lab-exporter; mkdir -p {' '.join([*folders, FOLDER])}", check=False)
    lab.run(node, f"systemd-run {unit} {own} /opt/node_exporter {shlex.join(words)}")
    metrics(lab, node)


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    lab.reset()
    folder = tmp_path_factory.mktemp("exporter")
    subprocess.run(["dpkg-deb", "--extract", str(programs.exporter()), str(folder)], check=True, timeout=60)
    for node in NODES:
        with (folder / "usr/bin/prometheus-node-exporter").open("rb") as program:
            copy = [*lab.ssh_command(node), "cat > /opt/node_exporter; chmod 755 /opt/node_exporter"]
            subprocess.run(copy, stdin=program, check=True, timeout=60)
    yield Fleet(lab, tmp_path_factory.mktemp("reports"))
    lab.reset()


@pytest.fixture(scope="module")
def api(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    lab = fleet.lab
    with ApiServer(tmp_path_factory.mktemp("api"), lab.gateway, controllers=True) as server, server.rest() as rest:
        kubelets = Kubelets(rest, lambda node, pod: start(lab, node, pod))
        kubelets.addresses = {node: lab.address(node) for node in NODES}
        for node in NODES:
            add_node(server, node, lab.address(node))
        server.kubectl("create", "namespace", MONITORING)
        with repeated(kubelets.step):
            server.create(daemon_set())
            settle(server, MONITORING, NAME)
            yield server


@pytest.fixture
def access(api: ApiServer, tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "admin.conf"
    path.write_text(api.kubeconfig())
    return (*ONLY, "-e", f"harden_api_kubeconfig={path}")


def live(api: ApiServer) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(
        api.kubectl("get", "daemonset", NAME, f"--namespace={MONITORING}", "--output=json")
    )
    return read


@pytest.fixture(scope="module")
def before(api: ApiServer) -> dict[str, Any]:
    return live(api)


def found(run: Run) -> set[str]:
    every = [*run.report["cluster"]["findings"], *(each for node in run.report["nodes"] for each in node["findings"])]
    return {each["id"].partition(".")[2] for each in every}


def test_it_is_told_of_and_waits_for_consent(
    fleet: Fleet, api: ApiServer, before: dict[str, Any], access: tuple[str, ...]
) -> None:
    audit = fleet.play("audit", *access)
    assert found(audit) >= {
        "pod", "pod_without_host_pid", "without_processes", "without_host_pid", "without_textfile", "put_back_by",
    }  # fmt: skip
    waits = fleet.play("harden", *access, "-e", "harden_allow=")
    assert waits.code == 0
    assert "exporter_rollout" in waits.output
    assert live(api) == before
    assert not any("node_processes" in metrics(fleet.lab, node) for node in NODES)


def test_one_pod_that_is_then_too_slow_has_all_put_back(
    fleet: Fleet, api: ApiServer, before: dict[str, Any], access: tuple[str, ...]
) -> None:
    """As the test of the node's own exporter: very many metrics, and one that stands still for most of the time."""
    lab = fleet.lab
    lab.run(SLOW, f"mkdir -p {FOLDER}; seq 60000 | sed 's/.*/z_& 1/' > {FOLDER}/much.prom")
    which = 'pkill -{} -f "node_exporter .*[-]-collector.processes"'
    stutter = f"while :; do {which.format('STOP')}; sleep 1.4; {which.format('CONT')}; sleep 0.1; done"
    lab.run(SLOW, f"systemd-run --quiet --unit=lab-stutter sh -c '{stutter}'")
    run = fleet.play("harden", *access, "-e", "process_metrics_scrape_timeout=2")
    lab.run(SLOW, f"systemctl stop lab-stutter; pkill -CONT node_exporter; rm {FOLDER}/much.prom", check=False)
    assert run.code == 0
    assert "put_back" in found(run)
    assert f"on {SLOW}: " in run.output
    assert live(api)["spec"] == before["spec"]
    settle(api, MONITORING, NAME)
    assert not any("node_processes" in metrics(lab, node) for node in NODES)

    again = fleet.play("harden", *access)
    assert sum(again.recap(node)["changed"] for node in NODES) == 0
    assert "put_back" in found(again)
    note = "nodeward.calico/process_metrics.put_back-"
    api.kubectl("annotate", "daemonset", NAME, f"--namespace={MONITORING}", note)


def test_harden_has_the_pods_count_processes_once_and_restore_takes_it_back(
    fleet: Fleet, api: ApiServer, before: dict[str, Any], access: tuple[str, ...]
) -> None:
    done = fleet.play("harden", *access)
    assert done.code == 0
    assert ON in live(api)["spec"]["template"]["spec"]["containers"][0]["args"]
    for node in NODES:
        told = metrics(fleet.lab, node)
        assert "\nnode_processes_threads " in told
        [limit] = re.findall(r"^node_processes_max_processes (\S+)$", told, re.MULTILINE)
        assert float(limit) == float(fleet.lab.run(node, "cat /proc/sys/kernel/pid_max").stdout)
    again = fleet.play("harden", *access)
    assert sum(again.recap(node)["changed"] for node in NODES) == 0
    assert not found(again) & {"pod", "pod_without_host_pid", "without_processes", "not_rolled_out"}

    waits = fleet.play("restore", *access, "-e", "harden_allow=")
    assert ON in live(api)["spec"]["template"]["spec"]["containers"][0]["args"], waits.output
    assert fleet.play("restore", *access).code == 0
    assert live(api)["spec"] == before["spec"]
    settle(api, MONITORING, NAME)
    assert not any("node_processes" in metrics(fleet.lab, node) for node in NODES)
    assert api.kubectl("get", "configmaps", "--namespace=kube-system", "--output=name").count("nodeward") == 0
