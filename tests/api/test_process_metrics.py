"""process_metrics on a real API server with the real DaemonSet controller; kubectl is the judge."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import places, process_metrics
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.api import ApiServer
from tests.api.calico import READER, Between, client, deploy, hurried, journal, settle
from tests.api.kubelets import Kubelets
from tests.unit.kube.exporter_objects import ARGS, MONITORING, NAME, daemon_set, kube_prometheus
from tests.unit.node.fake_exporters import METRICS, THREADS

ON, FOLDER = "--collector.processes", "--collector.textfile.directory=/host/textfile"
CONSENT = ["exporter_rollout"]
WORDS = "/spec/template/spec/containers/node-exporter/args"


def run(api: KubernetesApi, check: bool = False, waiting: Waiting | None = None, **given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in process_metrics.ARGUMENTS.items()}
    usual = Waiting(20, lambda _line: None, every=0.2)
    return process_metrics.run(api, {**defaults, "allow": CONSENT, **given}, check, waiting or usual)


def live(api: ApiServer, name: str = NAME) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(
        api.kubectl("get", "daemonset", name, f"--namespace={MONITORING}", "--output=json")
    )
    return read


def pods(api: ApiServer) -> list[dict[str, Any]]:
    text = api.kubectl("get", "pods", f"--namespace={MONITORING}", "--output=json")
    return list(json.loads(text)["items"])


def test_the_stack_s_exporter_gets_what_it_lacks_once_and_goes_back(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set())
    before, old = live(api), {pod["metadata"]["uid"] for pod in pods(api)}
    waiting = run(admin, allow=[])
    assert (waiting["changed"], len(waiting["pending"]), live(api)) == (False, 5, before)
    assert {each["id"].partition(".")[2] for each in waiting["findings"]} == {
        "without_host_pid", "without_processes", "without_textfile", "put_back_by",
    }  # fmt: skip

    foretold = run(admin, check=True)
    assert (live(api), journal(api)) == (before, "")
    done = run(admin)
    assert (done["changes"], done["diff"]) == (foretold["changes"], foretold["diff"])
    now = live(api)
    assert now["metadata"]["generation"] == before["metadata"]["generation"] + 1, "one patch"
    assert now["spec"]["template"]["spec"]["hostPID"] is True
    assert places.get(now, WORDS) == [*ARGS, ON, FOLDER]
    for pod in pods(api):
        assert pod["metadata"]["uid"] not in old
        assert pod["spec"]["hostPID"] is True
        assert {"name": "nodeward-textfile", "mountPath": "/host/textfile", "readOnly": True} in (
            pod["spec"]["containers"][0]["volumeMounts"]
        )
    assert done["rollout"][-1].endswith("3 of 3 pods are ready anew")

    settle(api, MONITORING, NAME)
    version = live(api)["metadata"]["resourceVersion"]
    again = run(admin)
    assert (again["changed"], again["findings"]) == (False, [])
    assert live(api)["metadata"]["resourceVersion"] == version

    assert run(admin, check=True, state="restored")["changed"]
    assert live(api)["metadata"]["resourceVersion"] == version
    assert run(admin, state="restored")["changed"]
    assert (live(api)["spec"], journal(api)) == (before["spec"], "")
    settle(api, MONITORING, NAME)
    assert run(admin, state="restored")["changed"] is False


def test_two_exporters_each_with_what_it_lacks(api: ApiServer, admin: KubernetesApi) -> None:
    proxied = kube_prometheus()
    proxied["spec"]["selector"]["matchLabels"] = proxied["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    for item in (daemon_set(ON, host_pid=True), proxied):
        deploy(api, item)
    done = run(admin, textfile=False)
    assert [change["target"] for change in done["changes"]] == [
        f"DaemonSet {MONITORING}/node-exporter node-exporter.args.{ON}"
    ]
    assert live(api)["metadata"]["generation"] == 1


def test_an_exporter_of_argo_cd_is_left_alone(api: ApiServer, admin: KubernetesApi) -> None:
    item = daemon_set()
    item["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "stack:apps/DaemonSet:monitoring/x"}
    deploy(api, item)
    before = live(api)
    told = run(admin)
    assert (told["changed"], told["pending"], live(api), journal(api)) == (False, [], before, "")
    assert "it will be put back by Argo CD, so nothing was changed" in {each["observed"] for each in told["findings"]}


def test_another_writer_between_read_and_patch_keeps_what_he_wrote(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set())
    controllers = api.pids["kube-controller-manager"]

    def write() -> None:
        # a rollout of theirs that it had begun would be one that ours is refused beside
        os.kill(controllers, signal.SIGSTOP)
        added = {"op": "add", "path": "/spec/template/spec/containers/0/args/-"}
        patch = json.dumps([{**added, "value": ON}, {**added, "value": "--web.x"}])
        api.kubectl("patch", "daemonset", NAME, f"--namespace={MONITORING}", "--type=json", f"-p={patch}")

    done = run(Between(admin, write, lambda: os.kill(controllers, signal.SIGCONT)))
    assert places.get(live(api), WORDS) == [*ARGS, ON, "--web.x", FOLDER], "theirs, and the flag not twice"
    assert len(done["changes"]) == 4


def test_pods_that_never_get_ready_are_undone(api: ApiServer, admin: KubernetesApi, kubelets: Kubelets) -> None:
    deploy(api, daemon_set())
    before = live(api)["spec"]
    kubelets.rule = lambda node, pod: node != "node2" or not pod["spec"].get("hostPID")
    with pytest.raises(NodewardError, match=r"on node2 is not ready.*put back"):
        run(admin, waiting=hurried())
    assert (live(api)["spec"], journal(api)) == (before, "")
    settle(api, MONITORING, NAME)


class Slow(KubernetesApi):
    """The scrapes of pods, which have no network here: with the collector they take a second too long."""

    def __init__(self, inner: KubernetesApi, api: ApiServer) -> None:
        super().__init__(inner._request, inner._configuration)
        self._server_of, self.now = api, 0.0

    def text(self, _path: str, patience: float) -> str:
        is_on = ON in places.get(live(self._server_of), WORDS)
        self.now += patience / 2 + 1 if is_on else 0.1
        return METRICS + THREADS if is_on else METRICS


def test_what_makes_scrapes_too_slow_is_put_back_and_not_tried_again(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set())
    before, slow = live(api)["spec"], Slow(admin, api)

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        slow.now += seconds

    waiting = Waiting(20, lambda _line: None, Clock(lambda: slow.now, sleep), every=0.2)
    done = run(slow, waiting=waiting)
    [told] = [each for each in done["findings"] if each["id"] == "process_metrics.put_back"]
    assert "a scrape takes 6.0 s, of 10 s that Prometheus waits" in told["observed"]
    assert live(api)["spec"] == before
    settle(api, MONITORING, NAME)
    generation = live(api)["metadata"]["generation"]
    assert generation == 3, "there, and back; the note is no third rollout"
    again = run(slow, waiting=waiting)
    assert (again["changed"], live(api)["metadata"]["generation"]) == (False, generation)

    note = "nodeward.calico/process_metrics.put_back"
    assert "6.0 s" in live(api)["metadata"]["annotations"][note]
    assert run(slow, waiting=waiting, state="restored")["changed"]
    assert (note in live(api)["metadata"]["annotations"], journal(api)) == (False, "")
    assert live(api)["metadata"]["generation"] == generation


def test_a_pod_that_cannot_be_reached_is_not_measured(api: ApiServer, admin: KubernetesApi) -> None:
    """As the real server says it: a pod without an address."""
    deploy(api, daemon_set())
    said: list[str] = []
    assert run(admin, waiting=Waiting(20, said.append, every=0.2))["changed"]
    assert [line for line in said if "how long a scrape takes is not measured" in line] != []


def test_a_user_who_may_look_and_not_patch(api: ApiServer, tmp_path: Path) -> None:
    deploy(api, daemon_set(), {**READER, "metadata": {"name": "looker"}})
    api.kubectl("create", "clusterrolebinding", "joan", "--clusterrole=looker", "--user=joan")
    with pytest.raises(NodewardError, match=r'cannot patch resource "daemonsets".*the verb "patch"'):
        run(client(api, tmp_path, "joan"))
    nobody = run(client(api, tmp_path, "nobody"), check=True, allow=[])
    assert [each["id"] for each in nobody["findings"]] == ["process_metrics.not_allowed"]
    assert (live(api)["metadata"]["generation"], journal(api)) == (1, "")
