# Private to the collection nodeward.calico: may change in any release.
"""Why calico-node may be 0/1 on a node: the traps in the order in which a person would go through them. Pure.

Each step says what was seen and what that means. Sources are the pages of the traps, in docs/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .pod import Pod, short

EXPLAINS, MAY_BE, UNKNOWN, NOT_IT = "explains it", "may be it", "not known", "is not it"

# Shares of a limit on process ids at which new threads fail, and at which bursts may.
FULL, NEARLY_FULL = 0.95, 0.8
SPINS = 85.0  # percent of a core, the watchdog's threshold
RECOVERS = 240  # seconds of BIRD's graceful restart in Calico's configuration
# Seconds in which the probe wants all peers (30 from Calico's own start, node/pkg/health/health.go), and then some.
ALL_COUNT = 60
_TO_PEERS = "Let 179/tcp through between the nodes, and see whether the peer's own calico-node is well"
SLOW = 0.2  # seconds for one round trip to the datastore; in incident D it was 0.23


@dataclass(frozen=True)
class Seen:
    """One node of a report. ``pod`` is None where no API server was asked, or ``failed`` says why it told nothing;
    ``cluster`` has facts of calico_probes.
    """

    name: str
    facts: Mapping[str, Any]
    findings: tuple[Mapping[str, Any], ...] = ()
    pod: Pod | None = None
    cluster: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""

    def at(self, *path: str) -> Any:
        """Return the fact at a path, None where there is none."""
        value: Any = self.facts
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def found(self, trap: str) -> Mapping[str, Any] | None:
        """Return the worst finding of a trap that is no small matter, if there is one."""
        own = [each for each in self.findings if each["trap"] == trap]
        return next((each for severity in ("high", "medium") for each in own if each["severity"] == severity), None)

    def heard(self, pattern: str) -> str:
        """Return what Kubernetes said of the pod that has this pattern in it, '' where it said no such thing."""
        return next((each for each in self.pod.said if re.search(pattern, each, re.IGNORECASE)), "") if self.pod else ""


@dataclass(frozen=True)
class Outcome:
    """What one step came to. ``remedy`` is what mends it, where it is the cause."""

    seen: str
    meaning: str
    remedy: str = ""


def _pod(seen: Seen) -> Outcome:
    pod = seen.pod
    if seen.failed:
        told = f"the API server was asked and told nothing: {short(seen.failed)}"
        return Outcome(told, UNKNOWN, "Mend that (the kubeconfig, its rights, the way to the server), then run again")
    if pod is None:
        return Outcome("no API server was asked", UNKNOWN, "Name one: harden_api_kubeconfig, or K8S_AUTH_KUBECONFIG")
    if not pod.name:
        return Outcome(
            "there is no calico-node pod on this node",
            EXPLAINS,
            "kubectl describe daemonset calico-node (taints, nodeSelector)",
        )
    told = f"{pod.name} is {'ready' if pod.is_ready else 'not ready'}, {pod.restarts} restarts" + (
        f"; {pod.said[0]}" if pod.said else ""
    )
    if pod.ended == "OOMKilled":
        return Outcome(told, EXPLAINS, "Raise the memory limit of the container calico-node, or take it away")
    if pod.waits in ("ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"):
        return Outcome(told, EXPLAINS, f"Mend {pod.waits}: kubectl -n {pod.namespace} describe pod {pod.name}")
    return Outcome(told, NOT_IT if pod.is_ready else UNKNOWN)


def _process_ids(seen: Seen) -> Outcome:
    limits = [each for each in seen.at("pid_limits", "limits") or [] if isinstance(each, Mapping)]
    worst = max(limits, key=lambda each: float(each.get("share") or 0), default=None)
    if worst is None:
        return Outcome("the limits were not seen", UNKNOWN)
    share = float(worst.get("share") or 0)
    told = f"{worst.get('used')} of {worst.get('limit')} ({share:.0%}) of {worst.get('name')}"
    said = seen.heard(r"resource temporarily unavailable|failed to create new OS thread|can't fork")
    remedy = f"ansible-playbook nodeward.calico.harden --tags pid_limits --limit {seen.name}"
    if share >= FULL or said:
        return Outcome(f"{told}{said and f'; {said}'}", EXPLAINS, remedy)
    return Outcome(told, MAY_BE if share >= NEARLY_FULL else NOT_IT, remedy)


def _token(seen: Seen) -> Outcome:
    answer = seen.at("cni_token", "answer")
    said = seen.heard(r"\bunauthorized\b")
    remedy = f"ansible-playbook nodeward.calico.harden --tags cni_token --limit {seen.name}"
    if answer == "forbidden":
        told = "the API server has forbidden it to read ClusterInformation"
        return Outcome(told, MAY_BE, "Apply the ClusterRole calico-node of Calico's manifest again")
    if answer == "refused":
        return Outcome("the API server has refused it (401)", EXPLAINS, remedy)
    if answer == "unreachable":
        told = f"{seen.at('cni_token', 'server')} {seen.at('cni_token', 'said')}"
        return Outcome(told, MAY_BE, "See why this node does not reach the API server: curl -k SERVER/livez on it")
    if answer != "accepted":
        return Outcome("there is none on this node", UNKNOWN)
    return Outcome(f"it is accepted{said and f'; but {said}'}", MAY_BE if said else NOT_IT, remedy)


def _bird(seen: Seen) -> Outcome:
    birds = [each for each in seen.at("bird_watchdog", "birds") or [] if isinstance(each, Mapping)]
    if not birds:
        return Outcome(
            "no BIRD of Calico runs here",
            UNKNOWN,
            "With BGP: kubectl logs calico-node; with VXLAN alone none is needed",
        )
    worst = max(birds, key=lambda each: float(each.get("share") or 0))
    told = f"{worst.get('name')} takes {float(worst.get('share') or 0):.0f} % of a core, up for {worst.get('age')} s"
    remedy = f"ansible-playbook nodeward.calico.harden --tags bird_watchdog --limit {seen.name}"
    if float(worst.get("share") or 0) >= SPINS:
        return Outcome(told, EXPLAINS, f"{remedy}; the watchdog kills it with SIGKILL, and peers keep the routes")
    if float(worst.get("age") or 0) < RECOVERS:
        return Outcome(told, MAY_BE, f"It has just started: wait until it is {RECOVERS} s old, then look again")
    return Outcome(told, NOT_IT)


def _peers(seen: Seen) -> Outcome:
    said = seen.heard(r"BGP not established|number of node\(s\) with BGP peering established")
    if said:
        return Outcome(said, MAY_BE, _TO_PEERS)
    return _connections([each for each in seen.at("bird_watchdog", "birds") or [] if isinstance(each, Mapping)])


def _connections(birds: list[Mapping[str, Any]]) -> Outcome:
    """Judge as the readiness probe does: every peer counts in the first moments, later one of them is enough."""
    peers = [each["peers"] for each in birds if isinstance(each.get("peers"), Mapping)]
    configured, lost = (sum(int(each.get(part) or 0) for each in peers) for part in ("configured", "lost"))
    if not configured:
        return Outcome("nothing was said of them", UNKNOWN, "birdcl show protocols, in the container calico-node")
    if not lost:
        return Outcome(f"there is a connection to each of {configured}", NOT_IT)
    named = [str(name) for each in peers for name in each.get("named") or ()]
    more = f" and {lost - len(named)} more" if lost > len(named) else ""
    told = f"no connection to {lost} of {configured}: {', '.join(named)}{more}"
    if any(each.get("configured") and each.get("lost") == each["configured"] for each in peers):
        return Outcome(told, EXPLAINS, _TO_PEERS)
    if min(float(each.get("age") or 0) for each in birds) < ALL_COUNT:
        return Outcome(told, MAY_BE, _TO_PEERS)
    return Outcome(f"{told}; one is enough for the probe by now", NOT_IT)


def _mtu(seen: Seen) -> Outcome:
    finding = seen.found("link_mtu")
    if finding:
        told = f"{finding['where']}: {finding['observed']}, wanted {finding['wanted']}"
        return Outcome(told, MAY_BE, str(finding["remedy"]))
    return (
        Outcome("tunnels fit their uplink", NOT_IT)
        if seen.at("link_mtu", "uplink")
        else Outcome("no uplink was seen", UNKNOWN)
    )


def _datastore(seen: Seen) -> Outcome:
    trip, finding = seen.cluster.get("round_trip"), seen.found("etcd_timing")
    told, meaning = "its round trip was not measured", UNKNOWN
    if isinstance(trip, (int, float)):
        told, meaning = f"a round trip takes {1000 * trip:.0f} ms", MAY_BE if trip >= SLOW else NOT_IT
    if finding:
        return Outcome(f"{told}; etcd here: {finding['observed']}", MAY_BE, str(finding["remedy"]))
    remedy = "See the load of the API server and of etcd (etcd_disk_wal_fsync_duration_seconds)"
    return Outcome(told, meaning, "" if meaning == UNKNOWN else remedy)


def _start(seen: Seen) -> Outcome:
    needed, budget = seen.cluster.get("startup_needed"), seen.cluster.get("startup_budget")
    if not isinstance(needed, (int, float)) or not isinstance(budget, (int, float)):
        return Outcome("its budget was not looked at", UNKNOWN)
    told = f"it needs {needed:.0f} s and is given {budget:.0f} s"
    since = seen.pod.since if seen.pod else None
    if needed > budget:
        killed = seen.pod is None or seen.pod.restarts > 0 or not seen.pod.is_ready
        return Outcome(
            told, EXPLAINS if killed else MAY_BE, "ansible-playbook nodeward.calico.harden --tags calico_probes"
        )
    if since is not None and since < needed and not (seen.pod and seen.pod.is_ready):
        return Outcome(
            f"{told}, and it started {since:.0f} s ago", MAY_BE, f"Wait another {needed - since:.0f} s, then look again"
        )
    return Outcome(told, NOT_IT)


Step = Callable[[Seen], Outcome]

# What a step is called, in the order of the walk.
STEPS: tuple[tuple[str, Step], ...] = (
    ("calico-node's pod", _pod),
    ("process ids", _process_ids),
    ("CNI token", _token),
    ("BIRD", _bird),
    ("BGP peers", _peers),
    ("MTU", _mtu),
    ("datastore", _datastore),
    ("time to start", _start),
)


def walked(seen: Seen) -> list[tuple[str, Outcome]]:
    """Go through all steps."""
    return [(name, step(seen)) for name, step in STEPS]


def likeliest(walk: Iterable[tuple[str, Outcome]]) -> tuple[str, Outcome] | None:
    """Return the first step that explains it, else the first that may be it, None where there is none."""
    steps = list(walk)
    return next(_with(steps, EXPLAINS), None) or next(_with(steps, MAY_BE), None)


def _with(steps: Iterable[tuple[str, Outcome]], meaning: str) -> Iterator[tuple[str, Outcome]]:
    return (step for step in steps if step[1].meaning == meaning)
