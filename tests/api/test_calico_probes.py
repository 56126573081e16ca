"""calico_probes on a real API server with the real DaemonSet controller; kubectl is the judge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jmespath
import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_probes, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi, NoAccessError, connect
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Waiting

from tests.api import ApiServer
from tests.api.build import CHECKOUT
from tests.api.calico import (
    READER,
    Between,
    Operator,
    client,
    deploy,
    hurried,
    journal,
    kubeconfig,
    settle,
    wait_until,
)
from tests.api.kubelets import Kubelets, repeated
from tests.unit.kube.calico_objects import PROBES, daemon_set, deployment, installation, installation_crd, operated

LIVENESS = "/spec/template/spec/containers/calico-node/livenessProbe"
CONSENT = ["calico_rollout"]


def run(api: KubernetesApi, check: bool = False, waiting: Waiting | None = None, **given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in calico_probes.ARGUMENTS.items()}
    params = {**defaults, "allow": CONSENT, "round_trip": 1.0, **given}
    usual = Waiting(20, lambda _line: None, every=0.2)
    return calico_probes.run(api, params, check, waiting or usual, jmespath.search)


def live(api: ApiServer, namespace: str = "kube-system") -> dict[str, Any]:
    text = api.kubectl("get", "daemonset", "calico-node", f"--namespace={namespace}", "--output=json")
    read: dict[str, Any] = json.loads(text)
    return read


def version(api: ApiServer) -> str:
    """The generation counts changes of the spec alone; the DaemonSet controller writes the status."""
    return str(live(api)["metadata"]["generation"])


@pytest.mark.parametrize("release", PROBES)
def test_a_manifest_install_of(api: ApiServer, admin: KubernetesApi, release: str) -> None:
    deploy(api, daemon_set(release))
    before = live(api)
    foretold = run(admin, check=True)
    assert (live(api)["spec"], journal(api)) == (before["spec"], "")
    done = run(admin)
    assert (done["changes"], done["diff"]) == (foretold["changes"], foretold["diff"])
    [container] = live(api)["spec"]["template"]["spec"]["containers"]
    liveness, startup = container["livenessProbe"], container["startupProbe"]
    assert (liveness["timeoutSeconds"], liveness["initialDelaySeconds"], liveness["failureThreshold"]) == (60, 60, 10)
    assert container["readinessProbe"]["timeoutSeconds"] == 60
    handlers = ("exec", "httpGet")
    assert {k: startup[k] for k in startup if k in handlers} == {k: liveness[k] for k in liveness if k in handlers}
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 160
    settle(api)
    version = live(api)["metadata"]["resourceVersion"]
    again = run(admin)
    assert (again["changed"], again["findings"]) == (False, _lasting(done))
    assert live(api)["metadata"]["resourceVersion"] == version


def test_a_rollout_and_the_way_back(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set())
    before, pods = live(api), _pods(api)
    assert run(admin)["rollout"][-1].endswith("3 of 3 pods are ready anew")
    assert not pods & _pods(api)
    assert run(admin, state="restored")["changed"]
    assert (live(api)["spec"], journal(api)) == (before["spec"], "")


def _lasting(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [f for f in result["findings"] if f["id"] == "calico_probes.watchdog"]


def test_without_consent_nothing_is_sent(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set())
    before = live(api)
    told = run(admin, allow=[])
    assert (told["changed"], len(told["pending"]), live(api)) == (False, 5, before)


def test_typha_and_kube_controllers(api: ApiServer, admin: KubernetesApi) -> None:
    names = ("calico-typha", "calico-kube-controllers")
    deploy(api, daemon_set(), *map(deployment, names))
    run(admin)
    for name in names:
        item = json.loads(api.kubectl("get", "deployment", name, "--namespace=kube-system", "--output=json"))
        [container] = item["spec"]["template"]["spec"]["containers"]
        assert [container[kind]["timeoutSeconds"] for kind in ("livenessProbe", "readinessProbe")] == [10, 10]


def test_an_operator_with_an_old_installation(api: ApiServer, admin: KubernetesApi) -> None:
    _install(api)
    before = live(api, "calico-system")
    told = run(admin)
    assert (told["changed"], told["pending"], live(api, "calico-system")) == (False, [], before)
    [finding] = [each for each in told["findings"] if each["id"] == "calico_probes.operator_too_old"]
    assert "timeoutSeconds 10, periodSeconds 60" in finding["observed"]
    assert told["facts"]["calico_probes"]["install"] == "operator"


def test_an_operator_with_overrides(api: ApiServer, admin: KubernetesApi) -> None:
    _install(api, "livenessProbe", "readinessProbe")
    with api.rest() as rest, repeated(Operator(rest).step):
        foretold = run(admin, check=True)
        assert run(admin)["changes"] == foretold["changes"] != []
        assert places.get(live(api, "calico-system"), f"{LIVENESS}/timeoutSeconds") == 60
        assert run(admin)["changed"] is False
    spec = json.loads(api.kubectl("get", "installation", "default", "--output=json"))["spec"]
    [container] = spec["calicoNodeDaemonSet"]["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"] == {"timeoutSeconds": 60, "initialDelaySeconds": 60, "failureThreshold": 10}
    assert run(admin, check=True, state="restored")["changed"]


def _install(api: ApiServer, *probes: str) -> None:
    api.create(installation_crd(*probes))
    api.establish()
    api.create(installation())
    deploy(api, operated(owner_uid=api.kubectl("get", "installation", "default", "--output=jsonpath={.metadata.uid}")))


# --- other writers, rights, outages ------------------------------------------------------------------


def test_another_writer_between_read_and_patch(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set())
    controllers = api.pids["kube-controller-manager"]

    def write() -> None:
        # a rollout of theirs that it had begun would be one that ours is refused beside
        os.kill(controllers, signal.SIGSTOP)
        patch = [{"op": "replace", "path": f"{_by_index(LIVENESS)}/timeoutSeconds", "value": 90}]
        api.kubectl(
            "patch", "daemonset", "calico-node", "--namespace=kube-system", "--type=json", f"-p={json.dumps(patch)}"
        )

    done = run(Between(admin, write, lambda: os.kill(controllers, signal.SIGCONT)))
    assert places.get(live(api), f"{LIVENESS}/timeoutSeconds") == 90, "more than the floor, and theirs"
    assert len(done["changes"]) == 4
    assert "livenessProbe/timeoutSeconds" not in journal(api)


def _by_index(place: str) -> str:
    return place.replace("/calico-node", "/0")


def test_a_user_who_may_not_patch_is_told_the_verb(api: ApiServer, tmp_path: Path) -> None:
    deploy(api, daemon_set(), READER)
    api.kubectl("create", "clusterrolebinding", "jane", "--clusterrole=reader", "--user=jane")
    jane = client(api, tmp_path, "jane")
    for check in (True, False):
        with pytest.raises(NodewardError, match=r'cannot patch resource "daemonsets".*the verb "patch"'):
            run(jane, check=check)
    with pytest.raises(NodewardError, match=r'cannot (get|list) resource.*the verbs "get" and "list"'):
        run(client(api, tmp_path, "nobody"))
    assert (version(api), journal(api)) == ("1", "")


def test_two_runs_at_once(api: ApiServer, admin: KubernetesApi, tmp_path: Path) -> None:
    deploy(api, daemon_set())
    before = live(api)["spec"]
    results: list[dict[str, Any]] = []

    def one(mine: KubernetesApi) -> None:
        try:
            results.append(run(mine))
        except NodewardError as refused:  # it looked when the other's rollout had just begun
            if "pods are not ready" not in str(refused):
                raise
            results.append({"changed": False})

    clients = [client(api, tmp_path) for _ in range(2)]  # one after the other: they share a kubeconfig's file
    threads = [threading.Thread(target=one, args=(each,)) for each in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result["changed"] for result in results) == [False, True]
    run(admin, state="restored")
    assert live(api)["spec"] == before


def test_a_rollout_that_never_gets_ready_is_undone(api: ApiServer, admin: KubernetesApi, kubelets: Kubelets) -> None:
    deploy(api, daemon_set())
    before = live(api)["spec"]
    kubelets.rule = lambda node, pod: (
        node != "node2" or pod["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] == 1
    )
    with pytest.raises(NodewardError, match=r"on node2 is not ready.*CrashLoopBackOff back-off 5m0s.*put back"):
        run(admin, waiting=hurried())
    assert (live(api)["spec"], journal(api)) == (before, "")
    settle(api)
    assert _ready(api) == ["True", "True", "True"]


def _ready(api: ApiServer) -> list[str]:
    path = '--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
    return sorted(api.kubectl("get", "pods", "--namespace=kube-system", path).split())


def _pods(api: ApiServer) -> set[str]:
    return set(api.kubectl("get", "pods", "--namespace=kube-system", "--output=name").split())


def test_pods_that_were_not_ready_before_fill_the_room(
    api: ApiServer, admin: KubernetesApi, kubelets: Kubelets
) -> None:
    kubelets.rule = lambda node, _pod: node != "node3"
    api.create(daemon_set())
    wait_until(lambda: _ready(api) == ["False", "True", "True"])
    with pytest.raises(NodewardError, match=r"1 of 3 pods are not ready.*node3 \(calico-node: Crash"):
        run(admin)
    assert version(api) == "1"


def test_an_api_server_that_goes_half_way_and_comes_back(api: ApiServer, admin: KubernetesApi, tmp_path: Path) -> None:
    deploy(api, daemon_set())
    with pytest.raises(NodewardError, match="was not reached"):
        run(Between(admin, api.stop, lambda: None))
    with pytest.raises(NodewardError, match="was not reached"):
        run(client(api, tmp_path))
    api.start()
    assert version(api) == "1"
    assert run(admin)["changed"], "the next run finishes it"
    run(admin, state="restored")
    assert (places.get(live(api), f"{LIVENESS}/timeoutSeconds"), journal(api)) == (1, "")


# --- as people run it --------------------------------------------------------------------------------


def module(env: dict[str, str], *words: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the module with Ansible on this machine, and return what the callback says of it."""
    command = [
        str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "nodeward.calico.calico_probes",
        "-a", json.dumps(args or {}), *words,
    ]  # fmt: skip
    settings = {
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible/collections"), "ANSIBLE_NOCOLOR": "1",
    }  # fmt: skip
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, env={**kept, **settings, **env}, capture_output=True, text=True, check=False)
    text = done.stdout[done.stdout.index("=> ") + 3 :]
    read: dict[str, Any] = json.loads(text)
    return {**read, "stdout": done.stdout}


def test_check_mode_diff_and_the_ways_in_of_kubernetes_core(api: ApiServer, tmp_path: Path) -> None:
    deploy(api, daemon_set())
    path = kubeconfig(api, tmp_path)
    told = module({"K8S_AUTH_KUBECONFIG": path}, "--check", "--diff", args={"allow": CONSENT})
    assert told["changed"]
    assert "+/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds: 60" in told["stdout"]
    assert version(api) == "1"
    same = module({}, "--check", args={"kubeconfig": path, "context": "kubernetes-admin@kubernetes"})
    assert [change["target"] for change in same["pending"]] == [change["target"] for change in told["changes"]]
    wrong = module({}, args={"kubeconfig": path, "containers": "[?name=='no-such']"})
    assert "selects nothing; containers are calico-node" in wrong["msg"]
    assert "BEGIN" not in json.dumps(told) + json.dumps(same)


def test_nothing_says_where_the_api_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NoAccessError, match="K8S_AUTH_KUBECONFIG"):
        connect(kubeconfig=str(tmp_path / "none.conf"))


@pytest.mark.parametrize(
    "text", ["a: [", "\t- x", "- a", "7", "apiVersion: v1\nusers: x\n", "clusters: [{cluster: {server: 7}}]", "\0"]
)
def test_a_file_that_is_no_kubeconfig_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(NodewardError, match="kubeconfig"):
        connect(kubeconfig=str(path))
