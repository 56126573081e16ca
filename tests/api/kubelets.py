"""What a cluster has beside its control plane, and this lab has not: kubelets, and the scheduler for their pods.

Kubelets binds each pod of a DaemonSet to its node, says of it that it is ready, or not, and lets go of one that is
deleted. Which pods there are is the business of the real DaemonSet controller.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.api.rest import Rest, RestError

Pod = Mapping[str, Any]
# Whether a pod becomes ready on its node.
Rule = Callable[[str, Pod], bool]

_EVERY = 0.05  # seconds between two looks
_CRASHED = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}
# The server is away or its etcd is (500, 503), or somebody else was quicker: the next look tells.
PASSING = (0, 404, 409, 429, 500, 503, 504)


@contextmanager
def repeated(step: Callable[[], object]) -> Iterator[None]:
    """Do this again and again, in a thread, until the end; what is not passing of its errors fails the test."""
    stop = threading.Event()
    errors: list[RestError] = []

    def act() -> None:
        while not stop.wait(_EVERY):
            try:
                step()
            except RestError as error:
                if error.status not in PASSING:
                    errors.append(error)
                    return

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not errors, errors


class Kubelets:
    """See above. A test may change ``rule`` at any time; ``start`` is what a pod does on its node when it starts.

    ``addresses`` are those of nodes, which the pods then have too, as on the host's network.
    """

    def __init__(self, api: Rest, start: Callable[[str, Pod], object] = lambda _node, _pod: None) -> None:
        self._api = api
        self._start = start
        self.rule: Rule = lambda _node, _pod: True
        self.addresses: Mapping[str, str] = {}

    def step(self) -> None:
        """Do what is next for each pod."""
        for pod in self._api.items("/api/v1/pods"):
            try:
                self._look_after(pod)
            except RestError as error:
                if error.status not in PASSING:
                    raise

    def _look_after(self, pod: dict[str, Any]) -> None:
        metadata, node = pod["metadata"], pod["spec"].get("nodeName")
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if node is None:
            wanted = _wanted_node(pod)
            if wanted:
                target = {"apiVersion": "v1", "kind": "Node", "name": wanted}
                self._api("POST", f"{path}/binding", {"metadata": {"name": metadata["name"]}, "target": target})
        elif metadata.get("deletionTimestamp"):
            precondition = {"uid": metadata["uid"]}
            self._api("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": precondition})
        else:
            told, is_ready = _told_ready(pod), self.rule(node, pod)
            if told is None:
                self._start(node, pod)
            if is_ready != told:
                self._api(
                    "PUT",
                    f"{path}/status",
                    {**pod, "status": {**pod["status"], **_status(pod, is_ready), **self._address(node)}},
                )

    def _address(self, node: str) -> dict[str, Any]:
        address = self.addresses.get(node)
        return {"hostIP": address, "podIP": address, "podIPs": [{"ip": address}]} if address else {}


def _wanted_node(pod: Pod) -> str | None:
    """The node that the DaemonSet controller means: the scheduler would bind to no other."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    names = [field["values"][0] for term in terms for field in term.get("matchFields", [])]
    return names[0] if names else None


def _told_ready(pod: Pod) -> bool | None:
    """What its status says, None where no kubelet wrote it yet."""
    told = [each["status"] == "True" for each in pod["status"].get("conditions", []) if each["type"] == "Ready"]
    return told[0] if told else None


def _status(pod: Pod, is_ready: bool) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    others = [each for each in pod["status"].get("conditions", []) if each["type"] != "Ready"]
    condition = {"type": "Ready", "status": str(is_ready), "lastTransitionTime": now}
    containers = [
        {
            "name": each["name"], "image": each["image"], "imageID": "", "ready": is_ready,
            "restartCount": 0 if is_ready else 7, "state": {"running": {"startedAt": now}} if is_ready else _CRASHED,
        }
        for each in pod["spec"]["containers"]
    ]  # fmt: skip
    return {"phase": "Running", "conditions": [*others, condition], "containerStatuses": containers}
