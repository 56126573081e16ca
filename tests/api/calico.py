"""Calico's objects on an API server, and Calico's operator, which does not run in this lab."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._kube import install, objects, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi, connect
from ansible_collections.nodeward.calico.plugins.module_utils._kube.port import Item
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.api.rest import Rest
from tests.api.server import ADMIN, ApiServer
from tests.unit.kube.exporter_objects import MONITORING

NODES = ("node1", "node2", "node3")
NAMESPACES = (install.MANIFEST, install.OPERATOR, MONITORING)

# Who may read everything and change nothing.
READER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "reader"},
    "rules": [
        {"apiGroups": ["", "apps", "crd.projectcalico.org"], "resources": ["*"], "verbs": ["get", "list"]},
    ],
}

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_CONTAINER = "/spec/template/spec/containers/calico-node"


def hurried() -> Waiting:
    """Wait by a clock that runs 30 times as fast, for pods that never get ready: their own probes give them minutes.

    The limit leaves the real DaemonSet controller ten seconds for a new pod.
    """
    haste = 30
    clock = Clock(lambda: time.monotonic() * haste, lambda seconds: time.sleep(seconds / haste))
    return Waiting(10 * haste, lambda _line: None, clock, every=0.2 * haste)


def kubeconfig(api: ApiServer, folder: Path, user: str = ADMIN) -> str:
    """Write a user's kubeconfig and return its path: whole at any moment, as threads share it."""
    path = folder / f"{user.replace(':', '-')}.conf"
    staged = path.with_suffix(f".{threading.get_ident()}")
    staged.write_text(api.kubeconfig(user))
    staged.replace(path)
    return str(path)


def client(api: ApiServer, folder: Path, user: str = ADMIN) -> KubernetesApi:
    return connect(kubeconfig=kubeconfig(api, folder, user))


def clear(api: ApiServer) -> None:
    """Take out what the tests put into the namespaces."""
    for namespace in NAMESPACES:
        api.kubectl("delete", "daemonsets,deployments", "--all", f"--namespace={namespace}", "--cascade=foreground")
        api.kubectl("delete", "pods", "--all", f"--namespace={namespace}", "--grace-period=0", "--force")
        api.kubectl("delete", "configmaps", "--all", f"--namespace={namespace}")
    api.kubectl("delete", "crd", "--all")


def deploy(api: ApiServer, daemon_set: Item, *items: Item) -> None:
    """Create a DaemonSet, calico-node's mostly, and wait until each node has a pod of it that is ready."""
    api.create(daemon_set, *items)
    namespace, name = (str(daemon_set["metadata"][key]) for key in ("namespace", "name"))
    settle(api, namespace, name)
    ready = "--output=jsonpath={.status.numberReady}"
    assert api.kubectl("get", "daemonset", name, f"--namespace={namespace}", ready) == str(len(NODES))


def settle(api: ApiServer, namespace: str = install.MANIFEST, name: str = "calico-node") -> None:
    """Wait for the DaemonSet controller, until nothing is left to do for it."""
    api.kubectl("rollout", "status", f"daemonset/{name}", f"--namespace={namespace}", "--timeout=50s")


def journal(api: ApiServer) -> str:
    return api.kubectl(
        "get", "configmap", "nodeward-journal", "--namespace=kube-system", "--ignore-not-found", "-ojson"
    )


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until this holds: the server keeps what it knows of tokens and rights for ten seconds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


class Between(KubernetesApi):
    """An API server at which somebody else writes between our reading and our first patch.

    ``after`` is called once a patch of ours went through.
    """

    def __init__(self, inner: KubernetesApi, write: Callable[[], object], after: Callable[[], object]) -> None:
        super().__init__(inner._request, inner._configuration)
        self._writes, self._after = [write], after

    def patch(self, path: str, operations: Any, dry_run: bool) -> dict[str, Any]:
        if dry_run:
            return super().patch(path, operations, dry_run)
        while self._writes:
            self._writes.pop()()
        patched = super().patch(path, operations, dry_run)
        self._after()
        return patched


class Operator:
    """Copies the Installation's probe overrides and its MTU to the DaemonSet that it owns."""

    def __init__(self, api: Rest) -> None:
        self._api = api

    def step(self) -> None:
        """Do what the operator does next."""
        path = objects.daemon_set(install.OPERATOR, "calico-node").path
        before = self._api("GET", path)
        installation = self._api("GET", objects.installation("default").path)
        changed = before
        for kind in _PROBES:
            override = places.get(installation, f"/spec/calicoNodeDaemonSet{_CONTAINER}/{kind}") or {}
            for name, value in override.items():
                changed = places.put(changed, f"{_CONTAINER}/{kind}/{name}", value)
        mtu = places.get(installation, "/spec/calicoNetwork/mtu")
        entry = None if mtu is None else {"name": "FELIX_IPINIPMTU", "value": str(mtu)}
        changed = places.put(changed, f"{_CONTAINER}/env/FELIX_IPINIPMTU", entry)
        if changed != before:
            self._api("PUT", path, changed)
