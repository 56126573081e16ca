"""A new token for a node by a new pod of calico-node, on an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.stale_tokens import FilterModule, stale_tokens, token_facts
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import cni_token, objects
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.unit.kube.calico_objects import daemon_set, pod
from tests.unit.kube.fake_api import FakeApi

PODS = "/api/v1/namespaces/kube-system/pods"
REFUSED = {"node": "node1", "answer": "refused", "service_account": "kube-system/calico-cni-plugin", "issued": 7}
SOON = {"node": "node1", "answer": "accepted", "expires_soon": True, "age": 3600}


@pytest.fixture
def api() -> FakeApi:
    fake = FakeApi({objects.daemon_set("kube-system", "calico-node").path: daemon_set()})
    for each in (pod("node1", "a"), pod("node2", "b")):
        fake.store(f"{PODS}/{each['metadata']['name']}", each)
    return fake


class Cluster:
    """Plays the DaemonSet controller: a deleted pod comes again, and is ready after a while, or not."""

    def __init__(self, api: FakeApi, ready_after: float = 10) -> None:
        self.api, self.now, self.ready_after = api, 0.0, ready_after
        self.list()

    def list(self) -> None:
        stored = [item for path, item in self.api.objects.items() if path.startswith(PODS)]
        if not any(each["spec"]["nodeName"] == "node1" for each in stored):
            stored.append(pod("node1", "new", self.now >= self.ready_after))
        self.api.lists[PODS] = stored

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.list()

    def run(self, seen: dict[str, Any], check: bool = False, **given: Any) -> dict[str, Any]:
        params = {"allow": ["calico_pod_restart"], "seen": seen, "refused": 1, "pod_timeout": 60, **given}
        waiting = Waiting(60, lambda _line: None, Clock(lambda: self.now, self.sleep))
        return cni_token.run(self.api, params, check, waiting)


@pytest.mark.parametrize(
    ("seen", "account", "why"),
    [
        (REFUSED, "kube-system/calico-cni-plugin", "is refused"),
        (SOON, "kube-system/calico-node", "is about to expire"),
    ],
)
def test_check_run_check(api, seen, account, why):
    cluster = Cluster(api)
    foretold = cluster.run(seen, check=True)
    assert f"{PODS}/calico-node-a" in api.objects
    done = cluster.run(seen)
    assert (done["changes"], done["diff"]) == (foretold["changes"], foretold["diff"])
    assert why in done["changes"][0]["before"]
    assert api.tried == [(cni_token.PATH, f"fresh of {account}")] * 2
    assert [path for path in api.objects if path.startswith(PODS)] == [f"{PODS}/calico-node-b"]
    assert (done["rollout"], done["issued_before"]) == (
        ["node1: a new pod of calico-node is ready"],
        seen.get("issued"),
    )


@pytest.mark.parametrize(("seconds", "why"), [(0, "too small"), (10**9, "too large")])
def test_a_limit_of_no_use_is_refused_before_the_pod_is_deleted(api, seconds, why):
    with pytest.raises(NodewardError, match=f"cni_token_pod_timeout: .*{why}"):
        Cluster(api).run(REFUSED, pod_timeout=seconds)
    assert f"{PODS}/calico-node-a" in api.objects


NO_RESTART: list[dict[str, Any]] = [
    {"answer": "accepted", "expires_soon": False},
    {"answer": "accepted", "expires_soon": True, "age": 3599},
    *({"answer": each, "expires_soon": soon} for each in ("forbidden", "unreachable", "odd", "") for soon in (0, 1)),
    {},
]


@pytest.mark.parametrize("facts", NO_RESTART, ids=str)
def test_a_token_that_no_restart_would_mend_is_left_alone(api, facts):
    seen = {"node": "node1", **facts}
    assert stale_tokens(["a"], {"a": {"node_result": {"facts": {"cni_token": seen}}}})["due"] == []
    assert Cluster(api).run(seen)["changed"] is False
    assert api.tried == []


def test_without_consent_it_waits(api):
    told = Cluster(api).run(REFUSED, allow=[])
    assert (told["changed"], told["pending"][0]["disrupts"], api.tried) == (False, "calico_pod_restart", [])


def test_three_are_mended_and_four_are_the_cluster_s_matter(api):
    assert Cluster(api).run(REFUSED, check=True, refused=3)["changed"]
    told = Cluster(api).run(REFUSED, refused=4)
    assert [(f["id"], f["observed"]) for f in told["findings"]] == [
        ("cni_token.cluster_wide", "the tokens of 4 nodes are refused")
    ]
    assert told["changed"] is False
    assert Cluster(api).run(SOON, check=True, refused=4)["changed"], "what is good now is renewed node by node"


def test_a_fresh_token_that_is_refused_too_stops_it(api):
    api.token_status = 401
    with pytest.raises(NodewardError, match="a fresh token is refused as well"):
        Cluster(api).run(REFUSED)
    assert f"{PODS}/calico-node-a" in api.objects


def test_a_pod_that_does_not_get_ready_is_told(api):
    with pytest.raises(NodewardError, match="no new pod of calico-node is ready on node1 after 60 s: no reason given"):
        Cluster(api, ready_after=1000).run(REFUSED)


def test_a_pod_within_its_own_budget_is_waited_for(api):
    cluster, listed = Cluster(api, ready_after=150), Cluster.list

    def with_a_startup_probe() -> None:
        listed(cluster)
        for each in api.lists[PODS]:
            each["spec"]["containers"] = [{"name": "calico-node", "startupProbe": {"failureThreshold": 20}}]

    cluster.list = with_a_startup_probe  # type: ignore[method-assign]
    assert cluster.run(REFUSED)["changed"], "200 s by its own probe, over the 60 s that were given"


@pytest.mark.parametrize("name", ["node9", ""])
def test_a_node_without_a_pod(api, name):
    with pytest.raises(NodewardError, match="there is no pod of calico-node on node"):
        Cluster(api).run({**REFUSED, "node": name})


def test_the_filters():
    def result(**facts: Any) -> dict[str, Any]:
        return {"node_result": {"facts": {"cni_token": {"present": True, **facts}}}}

    variables = {
        "a": result(answer="refused"),
        "b": result(answer="accepted", expires_soon=True),
        "c": result(answer="accepted", expires_soon=False),
        "d": {**result(answer="refused"), "cni_token_seen": {"facts": {"cni_token": {"answer": "accepted"}}}},
        "e": {**result(answer="refused"), "cni_token_seen": {"skipped": True}},
        "f": {"node_result": {"failed": True}},
    }
    variables["h"] = {"cni_token_seen": {"unreachable": True}}
    assert stale_tokens(list("abcdefgh"), variables) == {
        "due": ["a", "b", "e"],
        "refused": ["a", "e"],
        "untried": ["f", "g", "h"],
    }
    assert token_facts({}) == {}
    assert set(FilterModule().filters()) == {"stale_tokens", "token_facts"}


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_an_answer_that_proves_nothing_deletes_nothing(api, status):
    api.token_status = status
    with pytest.raises(NodewardError, match="proves nothing"):
        Cluster(api).run(REFUSED)
    assert f"{PODS}/calico-node-a" in api.objects


def test_a_status_that_is_written_in_between_is_no_obstacle(api):
    delete, path = api.delete, f"{PODS}/calico-node-a"

    def written_before(place: str, version: str) -> None:
        api.delete = delete
        api.store(path, api.get(path) or {})
        delete(place, version)

    api.delete = written_before
    assert Cluster(api).run(REFUSED)["changed"]


@pytest.mark.parametrize(
    "account",
    [
        "kube-system/../../../nodes/cp1/proxy/run/kube-system/etcd-cp1/etcd?cmd=id&x=",
        "default/admin",
        "kube-system/",
        "/calico-node",
        "kube-system/Calico",
        "kube-system/a%2fb",
    ],
)
def test_a_token_that_names_an_account_of_others_has_no_request_made_for_it(api, account, monkeypatch):
    """Whoever has a node has its kubeconfig: what that says is no path for the administrator's requests."""
    asked: list[str] = []

    def ask(*words: str) -> str:
        asked.append("/".join(words))
        return ""

    monkeypatch.setattr(api, "token", ask)
    for check in (True, False):
        with pytest.raises(NodewardError, match="none of Calico's"):
            Cluster(api).run({**REFUSED, "service_account": account}, check=check)
    assert asked == []
    assert f"{PODS}/calico-node-a" in api.objects
