"""Nodes on which a new calico-node rolls out, on an API server in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_probes, objects, places
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.unit.kube.calico_objects import daemon_set, node, pod
from tests.unit.kube.fake_api import FakeApi

NODE = objects.daemon_set("kube-system", "calico-node")
PODS = "/api/v1/namespaces/kube-system/pods"
REVISIONS = "/apis/apps/v1/namespaces/kube-system/controllerrevisions"
HASH = "controller-revision-hash"
TIMEOUT = "/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds"
JOURNAL = "/api/v1/namespaces/kube-system/configmaps/nodeward-journal"
NODES = ("node1", "node2", "node3")


@dataclass
class Fleet:
    """Nodes with a pod of calico-node each; ``becomes_ready`` tells whether a node's new pod gets ready.

    It plays the DaemonSet controller: each look at the clock replaces one more pod that has not the newest template,
    and keeps those that have. ``stalls_after`` so many it stands still.
    """

    api: FakeApi
    becomes_ready: Callable[[str], bool] = lambda _node: True
    pods: str = PODS
    stalls_after: int | None = None
    now: float = 0.0
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api.lists["/api/v1/nodes"] = [node(name) for name in NODES]
        self.api.lists.setdefault(self.pods, [pod(name, f"old-{name}") for name in NODES])
        self._first = self._noted()
        for each in self.api.lists[self.pods]:
            each["metadata"].setdefault("labels", {HASH: self._first})

    def template(self) -> Any:
        return places.get(self.api.get(NODE.path), "/spec/template")

    def _noted(self) -> str:
        """Note the present template as the newest, and return its hash."""
        name = hashlib.sha256(json.dumps(self.template(), sort_keys=True).encode()).hexdigest()[:10]
        kept = self.api.lists.setdefault(REVISIONS, [])
        newest = max((each["revision"] for each in kept), default=0)
        if not any((each["metadata"]["labels"][HASH], each["revision"]) == (name, newest) for each in kept):
            kept[:] = [each for each in kept if each["metadata"]["labels"][HASH] != name]
            owner = {"kind": "DaemonSet", "uid": self.api.objects[NODE.path]["metadata"].get("uid")}
            kept.append({"metadata": {"labels": {HASH: name}, "ownerReferences": [owner]}, "revision": newest + 1})
        return name

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        pods, newest, item = self.api.lists[self.pods], self._noted(), self.api.objects[NODE.path]
        item["status"] = {**item.get("status", {}), "observedGeneration": item["metadata"]["generation"]}
        if any(each["status"]["conditions"][0]["status"] != "True" for each in pods):
            return  # maxUnavailable is 1
        for number, each in enumerate(pods):
            if _labels(each).get(HASH, self._first) != newest and self.stalls_after != 0:
                name, uid = each["spec"]["nodeName"], each["metadata"]["uid"].removeprefix("old-")
                pods[number] = pod(name, f"new-{uid}", self.becomes_ready(name))
                pods[number]["metadata"]["labels"] = {HASH: newest}
                self.stalls_after = None if self.stalls_after is None else self.stalls_after - 1
                return

    def waiting(self) -> Waiting:
        return Waiting(60, self.lines.append, Clock(lambda: self.now, self.sleep))


def _labels(item: dict[str, Any]) -> dict[str, Any]:
    return dict(item["metadata"].get("labels") or {})


@pytest.fixture
def api() -> FakeApi:
    return FakeApi({NODE.path: daemon_set()})


def parameters(**given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in calico_probes.ARGUMENTS.items()}
    return {**defaults, "allow": ["calico_rollout"], **given}


def select(expression: str, containers: Any) -> Any:
    """The default expression, and what a wrong one does; the real JMESPath is in tests/api."""
    if expression == "[?":
        raise ValueError("Parse error")
    return [each for each in containers if each["name"] == expression.split("'")[1]]


def harden(fleet: Fleet, check: bool = False, **given: Any) -> dict[str, Any]:
    return calico_probes.run(fleet.api, parameters(**given), check, fleet.waiting(), select)


def timeout(api: FakeApi) -> Any:
    return places.get(api.get(NODE.path), TIMEOUT)
