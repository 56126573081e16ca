"""Incident A4 on a real API server, which refuses a token of the CNI plugin's that was revoked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills import pods
from tests.drills.conftest import Account
from tests.fleet.fleet import NODES, Fleet
from tests.lab.cluster import CNI_KUBECONFIG, Cluster
from tests.lab.host import write

NODE = "node1"
SPACE = "/api/v1/namespaces/kube-system"
BOUND_TO = "what-the-token-is-bound-to"
MESSAGE = "error getting ClusterInformation: connection is unauthorized: Unauthorized"
PLUGIN = "usr/local/lib/lab/cni_request.py"


@pytest.fixture
def cluster(fleet: Fleet) -> Iterator[Cluster]:
    """The lab's API server, and on the nodes what the CNI plugin does first for every pod."""
    cluster = Cluster(fleet.lab)
    try:
        assert cluster.ensure()
        text = Path(__file__).with_name("cni_request.py").read_text()
        for node in NODES:
            write(pods.root(fleet.lab, node) / PLUGIN, text)
        yield cluster
    finally:
        cluster.down()


def ask(fleet: Fleet, node: str) -> str:
    """What a pod that starts on the node would be told."""
    done = fleet.lab.run(node, f"/usr/bin/python3 /{PLUGIN}", check=False)
    return (done.stdout + done.stderr).strip()


def revocable(cluster: Cluster) -> str:
    """Return a token of calico-node's that is good for as long as a Secret is there."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BOUND_TO}}
    made = json.loads(cluster.kubectl("create", f"--raw={SPACE}/secrets", "-f", "-", stdin=json.dumps(secret)))
    bound = {"apiVersion": "v1", "kind": "Secret", "name": BOUND_TO, "uid": made["metadata"]["uid"]}
    asked = {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 90 * 86400, "boundObjectRef": bound},
    }  # fmt: skip
    path = f"--raw={SPACE}/serviceaccounts/calico-node/token"
    told = json.loads(cluster.kubectl("create", path, "-f", "-", stdin=json.dumps(asked)))
    return str(told["status"]["token"])


def written(fleet: Fleet) -> dict[str, str]:
    """The kubeconfigs of the CNI plugin, by node."""
    return {node: (pods.root(fleet.lab, node) / CNI_KUBECONFIG).read_text() for node in NODES}


@pytest.mark.long
def test_a_revoked_token_is_replaced(fleet: Fleet, account: Account, cluster: Cluster) -> None:
    """A4: the CNI plugin's token was revoked, and no pod could be made on the node."""
    cluster.give_token(NODE, revocable(cluster))
    assert {node: ask(fleet, node) for node in NODES} == dict.fromkeys(NODES, "ClusterInformation")
    cluster.kubectl("delete", "secret", BOUND_TO, "--namespace=kube-system")
    deadline = time.monotonic() + 60  # the API server remembers for a while that a token was good
    while ask(fleet, NODE) != MESSAGE:
        assert time.monotonic() < deadline, ask(fleet, NODE)
        time.sleep(0.5)
    assert [ask(fleet, node) for node in NODES if node != NODE] == ["ClusterInformation"] * 2
    account.before(f"pods on {NODE}: {MESSAGE}")

    before = written(fleet)
    audit = fleet.play("audit", "--tags", "cni_token")
    assert "cni_token.refused" in {finding["id"] for finding in audit.node(NODE)["findings"]}
    assert ask(fleet, NODE) == MESSAGE
    account.before("audit tells it, and changes nothing")

    assert fleet.play("harden", "--tags", "cni_token").code == 0
    assert {node: ask(fleet, node) for node in NODES} == dict.fromkeys(NODES, "ClusterInformation")
    after = written(fleet)
    assert [node for node in NODES if after[node] != before[node]] == [NODE]
    account.after(f"calico-node's pod on {NODE} alone was made anew, wrote a new token, and pods start")
