"""Nodes on which a new calico-node rolls out, on an API server in memory."""

from __future__ import annotations

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
TIMEOUT = "/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds"
JOURNAL = "/api/v1/namespaces/kube-system/configmaps/nodeward-journal"
NODES = ("node1", "node2", "node3")


@dataclass
class Fleet:
    """Nodes with a pod of calico-node each; ``becomes_ready`` tells whether a node's new pod gets ready.

    It plays the DaemonSet controller: each look at the clock replaces the pod of one more node.
    """

    api: FakeApi
    becomes_ready: Callable[[str], bool] = lambda _node: True
    pods: str = PODS
    now: float = 0.0
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api.lists["/api/v1/nodes"] = [node(name) for name in NODES]
        self.api.lists.setdefault(self.pods, [pod(name, f"old-{name}") for name in NODES])
        self._template = self.template()

    def template(self) -> Any:
        return places.get(self.api.get(NODE.path), "/spec/template")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        pods = self.api.lists[self.pods]
        if self.template() == self._template:
            return
        if any(each["status"]["conditions"][0]["status"] != "True" for each in pods):
            return  # maxUnavailable is 1
        for number, each in enumerate(pods):
            if each["metadata"]["uid"].startswith("old-"):
                name = each["spec"]["nodeName"]
                pods[number] = pod(name, f"new-{name}", self.becomes_ready(name))
                return

    def waiting(self) -> Waiting:
        return Waiting(60, self.lines.append, Clock(lambda: self.now, self.sleep))


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
