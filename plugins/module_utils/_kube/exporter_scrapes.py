# Private to the collection nodeward.calico: may change in any release.
"""How long the scrapes of a DaemonSet's node-exporter take, asked through the API server's proxy to its pods."""

from __future__ import annotations

import math
from typing import Any

from .._core.errors import NodewardError
from .._node.exporters import THREADS, Scrape, require_well
from . import install, places, rollout
from .exporters import Exporter
from .objects import Ref
from .port import Api
from .rollout import Waiting

# Pods of a DaemonSet that are measured, spread over all of them: each takes a second at best.
PODS = 20

Pod = dict[str, Any]


class HarmError(rollout.PodFailedError):
    """An exporter whose pods are ready with the change, and does worse than before."""

    def __init__(self, cause: NodewardError, ref: Ref) -> None:
        super().__init__(cause.what, cause.where, cause.remedy)
        self.ref = ref


class Scrapes:
    """Looks before a change and after it; ``timeout`` is Prometheus', in seconds."""

    def __init__(self, api: Api, timeout: float, waiting: Waiting) -> None:
        self._api, self._timeout, self._waiting = api, timeout, waiting
        self._measured: dict[Ref, Exporter] = {}

    def clock(self) -> float:
        return self._waiting.clock.now()

    def sleep(self, seconds: float, /) -> None:
        self._waiting.clock.sleep(seconds)

    def look(self, exporter: Exporter) -> None:
        """See whether it can be measured: one behind a proxy of its own, or on loopback alone, cannot."""
        pods = self._pods(exporter)
        try:
            for pod in pods[:1]:
                self._scrape(exporter, pod)
                self._measured[exporter.ref] = exporter
        except NodewardError as error:
            self._waiting.say(f"{exporter.ref.where}: how long a scrape takes is not measured ({error.what})")

    def judge(self, ref: Ref) -> None:
        """Raise HarmError where a pod of a DaemonSet does not do as well as a node's own exporter would have to."""
        if ref in self._measured:
            for pod in self._pods(self._measured[ref]):
                self._require_well(self._measured[ref], pod)

    def _require_well(self, exporter: Exporter, pod: Pod) -> None:
        where = f"{exporter.ref.where} on {places.get(pod, '/spec/nodeName')}"
        try:
            require_well(lambda: self._scrape(exporter, pod), where, self._timeout, self)
        except NodewardError as error:
            raise HarmError(error, exporter.ref) from error

    def _pods(self, exporter: Exporter) -> list[Pod]:
        pods = [pod for pod in install.pods_of(self._api, exporter.item) if rollout.ready(pod)]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))[:: max(math.ceil(len(pods) / PODS), 1)]

    def _scrape(self, exporter: Exporter, pod: Pod) -> Scrape:
        metadata, began = pod["metadata"], self.clock()
        port = exporter.value("web.listen-address", ":9100").rpartition(":")[2]
        path = exporter.value("web.telemetry-path", "/metrics")
        proxy = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}:{port}/proxy{path}"
        text = self._api.text(proxy, self._timeout)
        return Scrape(self.clock() - began, THREADS in text)
