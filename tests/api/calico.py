"""Calico's objects on an API server, and Calico's operator, which does not run in this lab."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.nodeward.calico.plugins.module_utils._kube import install, objects, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi, connect
from ansible_collections.nodeward.calico.plugins.module_utils._kube.port import Item
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.api.rest import Rest
from tests.api.server import ADMIN, ApiServer

NODES = ("node1", "node2", "node3")

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
    """Take out what the tests put into both namespaces."""
    for namespace in (install.MANIFEST, install.OPERATOR):
        api.kubectl("delete", "daemonsets,deployments", "--all", f"--namespace={namespace}", "--cascade=foreground")
        api.kubectl("delete", "pods", "--all", f"--namespace={namespace}", "--grace-period=0", "--force")
        api.kubectl("delete", "configmaps", "--all", f"--namespace={namespace}")
    api.kubectl("delete", "crd", "--all")


def deploy(api: ApiServer, daemon_set: Item, *items: Item) -> None:
    """Create calico-node's DaemonSet and wait until each node has a pod of it that is ready."""
    api.create(daemon_set, *items)
    namespace = daemon_set["metadata"]["namespace"]
    settle(api, namespace)
    ready = "--output=jsonpath={.status.numberReady}"
    assert api.kubectl("get", "daemonset", "calico-node", f"--namespace={namespace}", ready) == str(len(NODES))


def settle(api: ApiServer, namespace: str = install.MANIFEST) -> None:
    """Wait for the DaemonSet controller, until nothing is left to do for it."""
    api.kubectl("rollout", "status", "daemonset/calico-node", f"--namespace={namespace}", "--timeout=50s")


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until this holds: the server keeps what it knows of tokens and rights for ten seconds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


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
