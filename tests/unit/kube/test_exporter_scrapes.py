"""A DaemonSet's node-exporter whose scrapes take too long with the collector is put back, with a finding, for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import objects, places, process_metrics
from ansible_collections.nodeward.calico.plugins.module_utils._kube.exporters import PUT_BACK
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.unit.kube.exporter_objects import ARGS, MONITORING, NAME, daemon_set, kube_prometheus
from tests.unit.kube.fake_api import FakeApi
from tests.unit.node.fake_exporters import METRICS, THREADS

ON = "--collector.processes"
LIST = "/apis/apps/v1/daemonsets"
WORDS = "/spec/template/spec/containers/node-exporter/args"


def path(item: dict[str, Any]) -> str:
    return f"{LIST.replace('/daemonsets', '')}/namespaces/{MONITORING}/daemonsets/{item['metadata']['name']}"


class Cluster(FakeApi):
    """A cluster of so many nodes, whose DaemonSets roll out at once; a scrape with the collector takes ``slow`` s.

    ``scraped`` are the pods that were asked, by DaemonSet.
    """

    def __init__(self, *items: dict[str, Any], nodes: int = 3, slow: float = 0.1) -> None:
        super().__init__({path(item): item for item in items})
        self.now, self.slow, self.nodes, self.says = 0.0, slow, nodes, METRICS + THREADS
        self.scraped: list[str] = []
        self.silent: Callable[[dict[str, Any]], bool] = lambda _item: False
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.lists["/api/v1/nodes"] = [{"metadata": {"name": f"node{n}"}, "status": ready} for n in range(nodes)]

    def items(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        if path == LIST:
            return list(self.objects.values())[: len(self._daemon_sets())]
        if path != f"/api/v1/namespaces/{MONITORING}/pods":
            return super().items(path, selector)
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [
            {
                "metadata": {"name": f"{item['metadata']['name']}-{n:04}", "namespace": MONITORING,
                             "uid": f"{n} {item['spec']['template']}"},
                "spec": {"nodeName": f"node{n}"}, "status": ready,
            }
            for item in self._daemon_sets() if objects.selector(item["spec"]["selector"]) == selector
            for n in range(self.nodes)
        ]  # fmt: skip

    def _daemon_sets(self) -> list[dict[str, Any]]:
        return [item for item in self.objects.values() if item.get("kind") == "DaemonSet"]

    def text(self, path: str, patience: float) -> str:
        pod, port = path.split("/pods/")[1].removesuffix("/proxy/metrics").split(":")
        assert port == "9100"
        self.scraped.append(pod)
        [item] = [each for each in self._daemon_sets() if pod.startswith(each["metadata"]["name"])]
        if self.silent(item):
            return super().text(path, patience)
        is_on = ON in places.get(item, WORDS)
        self.now += self.slow if is_on else 0.05
        if self.slow > patience and is_on:
            raise NodewardError("the API server was not reached (timed out)", path, "See that it runs")
        return self.says if is_on else METRICS


def run(api: Cluster, check: bool = False, **given: Any) -> dict[str, Any]:
    def sleep(seconds: float) -> None:
        api.now += seconds

    defaults = {name: spec.get("default") for name, spec in process_metrics.ARGUMENTS.items()}
    params = {**defaults, "allow": ["exporter_rollout"], **given}
    return process_metrics.run(api, params, check, Waiting(60, print, Clock(lambda: api.now, sleep)))


def bare(api: Cluster) -> dict[str, Any]:
    return {path: {**item, "metadata": None} for path, item in api.objects.items()}


HARM: list[tuple[str, dict[str, Any], str]] = [
    ("more than half of the timeout", {"slow": 5.1}, "a scrape takes 5.1 s, of 10 s that Prometheus waits"),
    ("longer than the timeout", {"slow": 11.0}, "timed out"),
]


@pytest.mark.parametrize(("cluster", "told"), [case[1:] for case in HARM], ids=[case[0] for case in HARM])
def test_what_does_harm_is_put_back_and_not_tried_again(cluster, told):
    api = Cluster(daemon_set(), **cluster)
    before = bare(api)
    done = run(api)
    [finding] = [each for each in done["findings"] if each["id"].endswith(".put_back")]
    assert told in finding["observed"]
    assert f"annotate daemonset {NAME} nodeward.calico/process_metrics.put_back- " in finding["remedy"]
    assert (done["changed"], [each["before"] for each in done["changes"]]) == (True, [None])
    assert {path: item for path, item in bare(api).items() if path in before} == before
    assert told in places.get(api.objects[path(daemon_set())], PUT_BACK)

    patches = len(api.patches)
    again = run(api)
    assert (again["changed"], again["pending"], len(api.patches)) == (False, [], patches)
    assert [each["id"] for each in again["findings"]] == ["process_metrics.put_back"]

    assert run(api, state="restored")["changed"]
    assert bare(api) == before
    assert places.get(api.objects[path(daemon_set())], PUT_BACK) is None
    api.slow = 0.1
    assert len(run(api)["changes"]) == 5


def test_one_that_tells_nothing_of_processes_is_put_back():
    api = Cluster(daemon_set())
    api.says = METRICS
    assert "it tells nothing of processes" in str(run(api)["findings"])
    assert places.get(api.objects[path(daemon_set())], WORDS) == [*ARGS]


def test_half_of_the_timeout_is_not_too_long():
    for slow, timeout in ((5.0, 10), (5.1, 30)):
        api = Cluster(daemon_set(), slow=slow)
        assert len(run(api, scrape_timeout=timeout)["changes"]) == 5
        assert ON in places.get(api.objects[path(daemon_set())], WORDS)


def test_another_daemon_set_keeps_what_does_it_no_harm():
    other = kube_prometheus()
    other["spec"]["selector"]["matchLabels"] = {"app": "other"}
    api = Cluster(daemon_set(), other, slow=9.0)
    api.silent = lambda item: item["metadata"]["name"] == "node-exporter"
    run(api)
    assert ON not in places.get(api.objects[path(daemon_set())], WORDS)
    assert ON in places.get(api.objects[path(other)], WORDS), "behind a proxy of its own it is not measured"


def test_of_many_pods_some_are_asked_spread_over_all():
    api = Cluster(daemon_set(), nodes=1000)
    run(api)
    asked = list(dict.fromkeys(api.scraped))
    assert (len(asked), asked[-1]) == (20, f"{NAME}-0950")


def test_a_check_asks_no_pod():
    api = Cluster(daemon_set())
    run(api, check=True)
    run(api, allow=[])
    assert api.scraped == []


def test_a_timeout_that_is_none_is_refused():
    with pytest.raises(NodewardError, match="process_metrics_scrape_timeout"):
        run(Cluster(), scrape_timeout=0)
