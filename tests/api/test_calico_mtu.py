"""calico_mtu on a real API server, alone and in one rollout with calico_probes; kubectl is the judge."""

from __future__ import annotations

import json
from typing import Any

import jmespath
import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_mtu, calico_probes, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Waiting

from tests.api import ApiServer
from tests.api.calico import NODES, Operator, deploy, hurried, settle, wait_until
from tests.api.kubelets import Kubelets, repeated
from tests.unit.kube.calico_objects import config, crd, custom, daemon_set, installation, installation_crd, operated

SEEN = {name: {"name": "eth0", "mtu": 1450} for name in NODES}
NOTE = "/spec/template/metadata/annotations/nodeward.calico~1veth-mtu"
WAITING = Waiting(20, lambda _line: None, every=0.2)
POOL = custom("IPPool", "default-ipv4-ippool", cidr="10.244.0.0/16", ipipMode="Always", vxlanMode="Never")
CRDS = (crd("IPPool", "ippools"), crd("FelixConfiguration", "felixconfigurations"))


@pytest.fixture
def api(api: ApiServer) -> ApiServer:
    """Calico's pools and FelixConfiguration, and no calico-node yet."""
    api.create(*CRDS, installation_crd())
    api.establish()
    api.create(POOL, custom("FelixConfiguration", "default"))
    return api


def run(api: KubernetesApi, check: bool = False, waiting: Waiting = WAITING, **given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in calico_mtu.ARGUMENTS.items()}
    params = {**defaults, "allow": ["calico_rollout"], "uplinks": SEEN, **given}
    return calico_mtu.run(api, params, check, waiting)


def read(api: ApiServer, *words: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(api.kubectl("get", *words, "--output=json"))
    return item


def veth_mtu(api: ApiServer) -> str:
    return str(read(api, "configmap", "calico-config", "--namespace=kube-system")["data"]["veth_mtu"])


def template(api: ApiServer, namespace: str = "kube-system") -> dict[str, Any]:
    return read(api, "daemonset", "calico-node", f"--namespace={namespace}")


def test_incident_c_with_the_manifest(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set(), config("1450"))
    before = template(api)["spec"]
    user = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "consul-0", "namespace": "default"}}
    api.create({**user, "spec": {"containers": [{"name": "consul", "image": "consul"}]}})
    foretold = run(admin, check=True)
    assert (veth_mtu(api), template(api)["spec"]) == ("1450", before)
    done = run(admin)
    assert (done["changes"], done["diff"]) == (foretold["changes"], foretold["diff"])
    assert (veth_mtu(api), places.get(template(api), NOTE)) == ("1430", "1430 was 1450")
    assert done["rollout"][-1].endswith("3 of 3 pods are ready anew")
    assert done["facts"]["calico_mtu"]["pods_with_the_old_mtu"] == {"default": {"Pod/consul-0": 1}}
    version = read(api, "configmap", "calico-config", "--namespace=kube-system")["metadata"]["resourceVersion"]
    assert run(admin)["changed"] is False
    config_map = read(api, "configmap", "calico-config", "--namespace=kube-system")
    assert config_map["metadata"]["resourceVersion"] == version
    assert run(admin, state="restored")["changed"]
    assert (veth_mtu(api), template(api)["spec"]) == ("1450", before)
    api.kubectl("delete", "pod", "consul-0", "--grace-period=0", "--force")


def test_one_rollout_for_the_mtu_and_the_probes_and_one_back(api: ApiServer, admin: KubernetesApi) -> None:
    deploy(api, daemon_set(), config("1450"))
    before = template(api)["spec"]
    run(admin, rollout=False)
    assert (veth_mtu(api), template(api)["metadata"]["generation"]) == ("1430", 1)
    defaults = {name: spec.get("default") for name, spec in calico_probes.ARGUMENTS.items()}
    probes = {**defaults, "allow": ["calico_rollout"]}
    calico_probes.run(admin, probes, False, WAITING, jmespath.search)
    now = template(api)
    assert (now["metadata"]["generation"], places.get(now, NOTE)) == (2, "1430 was 1450")
    assert run(admin)["changed"] is False

    run(admin, rollout=False, state="restored")
    assert (veth_mtu(api), template(api)["metadata"]["generation"]) == ("1450", 2)
    calico_probes.run(admin, {**probes, "state": "restored"}, False, WAITING, jmespath.search)
    assert (template(api)["spec"], template(api)["metadata"]["generation"]) == (before, 3)
    assert "nodeward-journal" not in api.kubectl("get", "configmaps", "--namespace=kube-system", "--output=name")


def test_a_rollout_that_never_gets_ready_takes_the_config_map_back_too(
    api: ApiServer, admin: KubernetesApi, kubelets: Kubelets
) -> None:
    deploy(api, daemon_set(), config("1450"))
    before = template(api)["spec"]
    kubelets.rule = lambda node, pod: (
        node != "node1" or "nodeward.calico/veth-mtu" not in pod["metadata"].get("annotations", {})
    )
    with pytest.raises(NodewardError, match=r"on node1 is not ready.*CrashLoopBackOff.*put back"):
        run(admin, waiting=hurried())
    assert (veth_mtu(api), template(api)["spec"]) == ("1450", before)
    assert "nodeward-journal" not in api.kubectl("get", "configmaps", "--namespace=kube-system", "--output=name")


def test_the_operator_and_the_felix_configuration(api: ApiServer, admin: KubernetesApi) -> None:
    api.create(installation(calicoNetwork={"mtu": 1450}))
    deploy(api, operated(owner_uid=read(api, "installation", "default")["metadata"]["uid"]))
    with api.rest() as rest, repeated(Operator(rest).step):
        wait_until(lambda: template(api, "calico-system")["metadata"]["generation"] == 2)  # it has its say first
        settle(api, "calico-system")
        run(admin)
        assert read(api, "installation", "default")["spec"]["calicoNetwork"] == {"mtu": 1430}
        run(admin, state="restored")
        assert read(api, "installation", "default")["spec"]["calicoNetwork"] == {"mtu": 1450}

    patch = [{"op": "remove", "path": "/spec/calicoNetwork"}]
    api.kubectl("patch", "installation", "default", "--type=json", f"-p={json.dumps(patch)}")
    bonds = {name: {"name": "bond0", "mtu": 1450} for name in NODES}
    done = run(admin, uplinks=bonds)
    assert [change["target"] for change in done["changes"]] == ["FelixConfiguration default spec.mtuIfacePattern"]
    felix = read(api, "felixconfigurations.crd.projectcalico.org", "default")
    assert "|^(?:bond0)$" in felix["spec"]["mtuIfacePattern"]
    assert run(admin, uplinks=bonds)["changed"] is False
