# Private to the collection nodeward.calico: may change in any release.
"""The module cni_token: a new token for a node whose token is refused, by a new pod of calico-node.

Deleting the pod helps in every release: up to Calico v3.23.1 only the pod's init container writes the token, and it
does not run when a container is restarted; later ones mint a token when calico-node starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._core.errors import NodewardError
from .._core.plan import CONSENTS, Finding
from . import conflict, install, places, rollout
from .client import is_passing
from .port import Api, Item
from .rollout import Waiting
from .service_account_token import NAME, YOUNG

TRAP = "cni_token"
CONSENT = "calico_pod_restart"
# Refused nodes above which the cause is the cluster's: a key, or the service account.
MOST = 3
# What the CNI plugin reads first for every pod.
PATH = "/apis/crd.projectcalico.org/v1/clusterinformations/default"

# What the role's variables are called after.
OPTIONS: dict[str, dict[str, Any]] = {"pod_timeout": {"type": "int", "default": 600}}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "allow": {"type": "list", "elements": "str", "choices": list(CONSENTS), "default": []},
    "seen": {"type": "dict", "required": True},
    "refused": {"type": "int", "default": 1},
    **OPTIONS,
}


def run(api: Api, params: Mapping[str, Any], check_mode: bool, waiting: Waiting) -> dict[str, Any]:
    """Replace calico-node's pod on one node where its token is refused or about to expire. Raises NodewardError."""
    rollout.require_limit(TRAP, params["pod_timeout"])
    seen = params["seen"]
    if not is_due(seen):
        return _result()
    if seen["answer"] == "refused" and params["refused"] > MOST:
        return _result(findings=[_cluster_wide(params["refused"])])
    daemon_set = install.find(api)
    pod = _pod(api, daemon_set, str(seen.get("node") or ""))
    change = _change(pod, seen)
    if CONSENT not in params["allow"]:
        return _result(pending=[change])
    _prove(api, daemon_set, str(seen.get("service_account") or ""))
    if check_mode:
        return _result(changes=[change])
    _delete(api, pod, waiting.clock.sleep)
    told = _wait(api, daemon_set, pod, waiting)
    return {**_result(changes=[change], told=told), "issued_before": seen.get("issued")}


def is_due(seen: Mapping[str, Any]) -> bool:
    """Tell whether a new token helps a node. Where the API server is not reached or forbids it, a token that expires
    soon is left as well: no new one is had by a restart, and calico-node itself might not start again. So is a young
    one, which the next would only be like.
    """
    answer, age = seen.get("answer"), seen.get("age")
    return answer == "refused" or (
        answer == "accepted" and bool(seen.get("expires_soon")) and (age is None or age >= YOUNG)
    )


def _prove(api: Api, daemon_set: Item, account: str) -> None:
    """Ask for a fresh token and try it: where that is refused, no new pod helps, and it would not even start."""
    own = str(daemon_set["metadata"]["namespace"])
    namespace, _slash, name = account.partition("/")
    if account and (namespace != own or not NAME.fullmatch(name)):
        raise NodewardError(
            what=f"the token on the node says to be of ServiceAccount {account[:80]!r}, which is none of Calico's, so "
            "none was asked for and no pod restarted",
            where=f"namespace {own}",
            remedy="See who wrote the CNI's kubeconfig on that node",
        )
    if not name:
        namespace = own
        name = str(places.get(daemon_set, "/spec/template/spec/serviceAccountName") or "calico-node")
    status = api.try_token(PATH, api.token(namespace, name))
    if status != 401 and status // 100 != 2 and status not in (403, 404):
        raise NodewardError(
            what=f"a fresh token was answered with {status}, which proves nothing, so no pod was restarted",
            where=f"ServiceAccount {namespace}/{name}",
            remedy="See that the API server is well, then run again",
        )
    if status == 401:
        raise NodewardError(
            what="a fresh token is refused as well, so no pod was restarted: calico-node itself would not start again",
            where=f"ServiceAccount {namespace}/{name}",
            remedy="See the API server's service account keys and issuer (--service-account-key-file on every server)",
        )


def _pod(api: Api, daemon_set: Item, node: str) -> Item:
    pods = install.pods_of(api, daemon_set)
    found = [pod for pod in pods if places.get(pod, "/spec/nodeName") == node]
    found.sort(key=lambda pod: bool(places.get(pod, "/metadata/deletionTimestamp")))  # one that goes already comes last
    if not node or not found:
        raise NodewardError(
            what=f"there is no pod of calico-node on node {node or 'without a name'}",
            where=f"DaemonSet {daemon_set['metadata']['namespace']}/calico-node",
            remedy="See why it is not scheduled there; a new pod brings a new token",
        )
    return found[0]


def _delete(api: Api, pod: Item, sleep: Callable[[float], None]) -> None:
    """Delete this pod, also where its status was written in between. Raises ApiError."""

    def attempt() -> None:
        now = api.get(_path(pod))
        if now and now["metadata"].get("uid") == pod["metadata"].get("uid"):  # else somebody was quicker
            api.delete(_path(pod), str(now["metadata"]["resourceVersion"]))

    conflict.retried(attempt, sleep)


def _wait(api: Api, daemon_set: Item, old: Item, waiting: Waiting) -> list[str]:
    """Wait until another pod of calico-node is ready on the node. Raises NodewardError with what Kubernetes says."""
    node, begin = str(old["spec"]["nodeName"]), waiting.clock.now()
    while True:
        try:
            pods = install.pods_of(api, daemon_set)
        except NodewardError as error:
            if not is_passing(error) or waiting.clock.now() - begin > waiting.limit:
                raise
            waiting.clock.sleep(waiting.every)
            continue
        uid = old["metadata"]["uid"]
        new = [pod for pod in pods if places.get(pod, "/spec/nodeName") == node and pod["metadata"]["uid"] != uid]
        if any(map(rollout.ready, new)):
            line = f"{node}: a new pod of calico-node is ready"
            waiting.say(line)
            return [line]
        limit = max([waiting.limit, *map(rollout.allowed, new)])
        if waiting.clock.now() - begin > limit:
            raise NodewardError(
                what=f"no new pod of calico-node is ready on {node} after {limit:.0f} s: "
                + ("; ".join(map(rollout.reason, new)) or "there is none"),
                where=f"DaemonSet {daemon_set['metadata']['namespace']}/calico-node",
                remedy="Mend that pod; no further node is touched",
            )
        waiting.clock.sleep(waiting.every)


def _path(pod: Item) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _change(pod: Item, seen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trap": TRAP,
        "target": f"Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}",
        "before": f"its node's CNI token is {'refused' if seen.get('answer') == 'refused' else 'about to expire'}",
        "after": "a new pod, which writes a new one",
        "why": "no pod can be made or removed on the node without a good token (incident A4)",
        "disrupts": CONSENT,
    }


def _cluster_wide(refused: int) -> Finding:
    return Finding(
        id=f"{TRAP}.cluster_wide",
        severity="high",
        where="the API server",
        observed=f"the tokens of {refused} nodes are refused",
        wanted=f"at most {MOST}",
        why="then the cause is the cluster's (a service account key that was changed, a service account that was made "
        "anew), and a restarted calico-node might not start; nothing was restarted",
        remedy="Mend that first; then run again, or kubectl rollout restart of calico-node",
    )


def _result(
    changes: list[dict[str, Any]] | None = None,
    pending: list[dict[str, Any]] | None = None,
    findings: list[Finding] | None = None,
    told: list[str] | None = None,
) -> dict[str, Any]:
    done = changes or []
    diff = [
        {
            "before_header": each["target"],
            "after_header": each["target"],
            "before": f"{each['before']}\n",
            "after": f"{each['after']}\n",
        }
        for each in done
    ]
    return {
        "changed": bool(done),
        "changes": done,
        "pending": pending or [],
        "findings": [finding.describe() for finding in findings or []],
        "diff": diff,
        "rollout": told or [],
    }
