"""Calico's objects on an API server, and what acts on them in a cluster but not in this lab.

There is no kube-controller-manager and no kubelet here, so Controllers stands in for both: for the DaemonSet
controller (it replaces pods whose template is not the present one, never more than one unready, the unready first,
and keeps the numbers in the DaemonSet's status), for kubelets (it makes pods ready, or not) and for Calico's
operator (it copies the Installation's probe overrides and its MTU to the DaemonSet).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import install, objects, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi, connect
from ansible_collections.nodeward.calico.plugins.module_utils._kube.port import Item
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting, ready

from tests.api.server import ADMIN, ApiServer

NODES = ("node1", "node2", "node3")

_EVERY = 0.05  # seconds between two looks
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

# Whether the new pod of a node becomes ready with a template.
Rule = Callable[[str, Item], bool]


def hurried(limit: float) -> Waiting:
    """Wait by a clock that runs 30 times as fast, for pods that never get ready: their own probes give them minutes."""
    haste = 30
    clock = Clock(lambda: time.monotonic() * haste, lambda seconds: time.sleep(seconds / haste))
    return Waiting(limit, lambda _line: None, clock, every=0.2 * haste)


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
        kinds = "daemonsets,deployments,pods,configmaps"
        api.kubectl("delete", kinds, "--all", f"--namespace={namespace}", "--grace-period=0", "--force")
    api.kubectl("delete", "crd", "--all")


def put(api: ApiServer, *items: Item) -> None:
    """Create objects as kubectl create does: nothing of them is remembered for a later apply."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(items)}
    api.kubectl("create", "-f", "-", stdin=json.dumps(listed))


class Controllers:
    """See above; ``nodes`` have a pod each. Use ``running`` for the time of a test."""

    def __init__(self, api: KubernetesApi, nodes: Sequence[str], namespace: str = install.MANIFEST) -> None:
        self._api = api
        self._nodes = tuple(nodes)
        self._namespace = namespace
        self._path = objects.daemon_set(namespace, "calico-node").path
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._last: Any = None
        self._generation = 0
        self._stop = threading.Event()
        self.rule: Rule = lambda _node, _template: True
        self.paused = False
        self.errors: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[Controllers]:
        """Act until the end; the pods are there and ready at the beginning."""
        self.step()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
        assert self.errors == []

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                if not self.paused:
                    self.step()
            except NodewardError as error:
                if getattr(error, "status", None) is not None and error.status != 409:  # type: ignore[attr-defined]
                    self.errors.append(error)
                    return

    def step(self) -> None:
        """Do what the controllers do next."""
        daemon_set = self._api.get(self._path)
        if daemon_set is None:
            return
        if places.get(daemon_set, "/metadata/ownerReferences"):
            daemon_set = self._as_operator(daemon_set)
        template = daemon_set["spec"]["template"]
        if template != self._last:
            self._last = template
            self._generation += 1
        pods = {each["spec"]["nodeName"]: each for each in self._api.items(self._pods)}
        old = [each for each in pods.values() if not self._is_new(each)]
        # the unready first, then one at a time
        for each in sorted(old, key=ready):
            if all(ready(other) for other in pods.values()) or not ready(each):
                self._api.delete(f"{self._pods}/{each['metadata']['name']}", each["metadata"]["resourceVersion"])
                del pods[each["spec"]["nodeName"]]
            break
        for node in self._nodes:
            if node not in pods:
                pods[node] = self._made(node, template)
        self._count(daemon_set, sum(map(self._is_new, pods.values())))

    def _is_new(self, pod: Item) -> bool:
        return bool(places.get(pod, "/metadata/labels/pod-template-generation") == str(self._generation))

    def _made(self, node: str, template: Item) -> dict[str, Any]:
        metadata = {
            "name": f"calico-node-{node}-{self._generation}",
            "namespace": self._namespace,
            "labels": {**template["metadata"]["labels"], "pod-template-generation": str(self._generation)},
            "annotations": template["metadata"].get("annotations") or {},
        }
        spec = {**template["spec"], "nodeName": node}
        pod = self._api.create(self._pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        is_ready = self.rule(node, template)
        condition = {"type": "Ready", "status": str(is_ready)}
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}
        container = {
            "name": "calico-node", "image": "x", "imageID": "", "ready": is_ready, "restartCount": 0,
            "state": {"running": {}} if is_ready else waiting,
        }  # fmt: skip
        pod["status"] = {"phase": "Running", "conditions": [condition], "containerStatuses": [container]}
        return self._api.replace(f"{self._pods}/{metadata['name']}/status", pod)

    def _count(self, daemon_set: Item, updated: int) -> None:
        numbers = {
            "currentNumberScheduled": len(self._nodes), "desiredNumberScheduled": len(self._nodes),
            "updatedNumberScheduled": updated, "numberMisscheduled": 0, "numberReady": len(self._nodes),
            "observedGeneration": daemon_set["metadata"]["generation"],
        }  # fmt: skip
        if (daemon_set.get("status") or {}) | numbers != daemon_set.get("status"):
            self._api.replace(f"{self._path}/status", {**daemon_set, "status": numbers})

    def _as_operator(self, daemon_set: dict[str, Any]) -> dict[str, Any]:
        installation = self._api.get(objects.installation("default").path)
        at = "/spec/calicoNodeDaemonSet/spec/template/spec/containers/calico-node"
        changed = daemon_set
        for kind in _PROBES:
            for name, value in (places.get(installation, f"{at}/{kind}") or {}).items():
                changed = places.put(changed, f"/spec/template/spec/containers/calico-node/{kind}/{name}", value)
        mtu = places.get(installation, "/spec/calicoNetwork/mtu")
        entry = None if mtu is None else {"name": "FELIX_IPINIPMTU", "value": str(mtu)}
        changed = places.put(changed, "/spec/template/spec/containers/calico-node/env/FELIX_IPINIPMTU", entry)
        return daemon_set if changed == daemon_set else self._api.replace(self._path, changed)
