# Private to the collection nodeward.calico: may change in any release.
"""Wait while the cluster replaces the pods of a DaemonSet or Deployment one after another.

The limit is for each pod, not for the whole: a fleet of a thousand nodes takes as long as it takes. It is never less
than what the pod's own probes allow it for its start. Pods that were not ready before do not count, and neither do
those on nodes that are gone, or that were not Ready any more before their turn came. A pod that has the newest template
already is not replaced, and counts: on the way back from a rollout that stood still most of them have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.errors import NodewardError
from .._core.plan import Refusal
from . import budget, install, places, templates
from .client import is_passing
from .objects import Ref
from .port import Api, Item

# Nodes for each second between two looks: 1,000 are looked at every 10 s.
_PER_SECOND = 100
DAY = 86400


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need not wait. Seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Waiting:
    """How to wait: seconds for each pod, who gets a line for each step forward, seconds between two looks."""

    limit: float
    say: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)
    every: float = 2.0


def require_limit(trap: str, seconds: int) -> None:
    """Refuse a limit of no use before anything is touched. Raises NodewardError."""
    if not 1 <= seconds <= DAY:
        raise NodewardError(
            what=f"{seconds} is too {'small' if seconds < 1 else 'large'}",
            where=f"{trap}_pod_timeout",
            remedy=f"Give 1 to {DAY} seconds, or leave it out",
        )


class PodFailedError(NodewardError):
    """A pod that was ready before the change is not ready with it."""


class StandstillError(NodewardError):
    """No pod is replaced, for a reason that is not the change."""


def ready(pod: Item) -> bool:
    """Tell whether a pod is ready and is to stay."""
    conditions = places.get(pod, "/status/conditions") or []
    is_ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    return is_ready and not places.get(pod, "/metadata/deletionTimestamp")


def refusals(trap: str, ref: Ref, workload: Item, pods: Sequence[Item]) -> Iterator[Refusal]:
    """Refuse a rollout of a DaemonSet that could not go on after its first pods, or not even begin."""
    if ref.kind != "DaemonSet" or places.get(workload, "/spec/updateStrategy/type") == "OnDelete":
        return
    ill = [pod for pod in pods if not ready(pod)]
    most = _max_unavailable(workload, len(pods))
    if ill and len(ill) >= most:
        named = "; ".join(f"{_node(pod)} ({reason(pod)})" for pod in ill[:5]) + _under_way(workload)
        yield Refusal(
            trap=trap,
            what=f"{len(ill)} of {len(pods)} pods are not ready, and maxUnavailable is {most}: {named}",
            where=ref.where,
            remedy="Wait for a rollout that goes on (kubectl rollout status), or mend or drain these nodes first, or "
            "raise maxUnavailable of its updateStrategy for the time",
        )


def reason(pod: Item, events: Iterable[Item] = ()) -> str:
    """Return why a pod is not ready, as Kubernetes says it."""
    told = ["it is being deleted"] if places.get(pod, "/metadata/deletionTimestamp") else []
    told += [*_of_containers(pod), *_of_conditions(pod)]
    warnings = [event for event in events if event.get("type") == "Warning"]
    told += [str(event.get("message", "")) for event in sorted(warnings, key=_last_seen)[-1:]]
    lines = (" ".join(each.split()) for each in told)
    given = ", ".join(dict.fromkeys(line for line in lines if line))
    phase = places.get(pod, "/status/phase")
    return given or (f"no reason given, its phase is {phase}" if phase else "no reason given")


def _under_way(workload: Item) -> str:
    """Tell of a rollout that is not through yet: somebody else's, as the operator's own."""
    wanted = places.get(workload, "/status/desiredNumberScheduled") or 0
    updated = places.get(workload, "/status/updatedNumberScheduled") or 0
    is_seen = places.get(workload, "/status/observedGeneration") == places.get(workload, "/metadata/generation")
    if is_seen and updated >= wanted:
        return ""
    return f"; a rollout is under way, {updated if is_seen else 0} of {wanted} pods have the newest template"


@dataclass(frozen=True)
class Before:
    """A workload as it was before the change that it rolls out, and its pods."""

    workload: Item
    pods: Sequence[Item]


def wait(api: Api, ref: Ref, before: Before, how: Waiting) -> int:
    """Wait until as many pods are ready anew as were before; returns how many.

    Raises PodFailedError, StandstillError, and NodewardError where the API server stays away for the limit.
    """
    return _Wait(api, ref, before, how).run()


class _Wait:
    def __init__(self, api: Api, ref: Ref, before: Before, how: Waiting) -> None:
        self._api, self._ref, self._how = api, ref, how
        self._uid = places.get(before.workload, "/metadata/uid")
        self._generation = _generation(before.workload)
        self._old = {_uid(pod) for pod in before.pods}
        self._slots = {_slot(ref, pod) for pod in before.pods if ready(pod)}
        self._touched: set[str] = set()  # nodes whose turn came while they were Ready
        self._well: set[str] = set()  # nodes that are Ready
        self._since: dict[str, float] = {}  # since when a slot waits for its new pod
        self._moved = how.clock.now()  # when something last went forward
        self._told = ""

    def run(self) -> int:
        while True:
            try:
                done, waiting = self._look()
            except NodewardError as error:  # calico-node of the control plane is rolled out, too
                passes = is_passing(error) and not isinstance(error, StandstillError)
                if not passes or self._how.clock.now() - self._moved > self._how.limit:
                    raise
            else:
                if len(done) >= len(self._slots):
                    return len(done)
                self._judge(waiting, len(done))
            # each look lists all nodes and pods: fewer of them on a large fleet, whose etcd may be the reason for this
            self._how.clock.sleep(max(self._how.every, len(self._slots) / _PER_SECOND))

    def _look(self) -> tuple[set[str], dict[str, Item | None]]:
        """Return the slots that have a new and ready pod, and those whose turn came, with the pod that is not."""
        workload = self._workload()
        pods = install.pods_of(self._api, workload)
        self._keep(workload, pods)
        staying = [pod for pod in pods if not places.get(pod, "/metadata/deletionTimestamp")]
        new = {_slot(self._ref, pod): pod for pod in staying if _uid(pod) not in self._old}
        done = {slot for slot, pod in new.items() if ready(pod)}
        waiting: dict[str, Item | None] = {slot: pod for slot, pod in new.items() if slot not in done}
        if self._ref.kind == "DaemonSet":
            self._turn({_node(pod) for pod in staying if _uid(pod) in self._old})
            done &= self._slots & self._well
            waiting = {slot: new.get(slot) for slot in (self._slots & self._touched) - done}
        else:
            replicas = places.get(workload, "/spec/replicas")
            self._slots = set(sorted(self._slots)[: 1 if replicas is None else int(replicas)])
        self._time(waiting)
        self._tell(len(done), waiting)
        return done, waiting

    def _workload(self) -> Item:
        """Return what is waited for. Raises StandstillError where that is there no more."""
        workload = self._api.get(self._ref.path)
        if workload is None or places.get(workload, "/metadata/uid") != self._uid:
            raise StandstillError(
                what="somebody has deleted it during its rollout" + " and made it anew" * (workload is not None),
                where=self._ref.where,
                remedy="See who did (a move to the operator, kubectl replace --force), and run again when that is done",
            )
        return workload

    def _keep(self, workload: Item, pods: Sequence[Item]) -> None:
        """Count pods as new that the controller keeps, since they have the newest template; once for each template.

        Which one that is says a controller that has seen a generation after the one before the change.
        """
        seen = places.get(workload, "/status/observedGeneration") or 0
        if self._generation < _generation(workload) <= seen:
            self._old -= {_uid(pod) for pod in templates.newest(self._api, self._ref, workload, pods)}
            self._generation = _generation(workload)

    def _turn(self, old: Collection[str]) -> None:
        """Leave out nodes that are gone, or were not Ready before their turn; ``old`` have their old pod still."""
        nodes = self._api.items("/api/v1/nodes")
        self._well = {each["metadata"]["name"] for each in nodes if ready(each)}
        self._touched |= (self._slots & self._well).difference(old)
        self._slots &= (self._well | self._touched) & {each["metadata"]["name"] for each in nodes}

    def _time(self, waiting: Collection[str]) -> None:
        now = self._how.clock.now()
        if not self._since.keys() >= set(waiting):
            self._moved = now
        self._since = {slot: self._since.get(slot, now) for slot in waiting}

    def _tell(self, done: int, waiting: Mapping[str, Item | None]) -> None:
        names = ", ".join(sorted(_node(pod) if pod else slot for slot, pod in waiting.items())[:5])
        line = f"{self._ref.where}: {done} of {len(self._slots)} pods are ready anew" + (
            f", next {names}" * bool(names)
        )
        if line != self._told:
            self._told, self._moved = line, self._how.clock.now()
            self._how.say(line)

    def _judge(self, waiting: Mapping[str, Item | None], done: int) -> None:
        now = self._how.clock.now()
        for slot, pod in waiting.items():
            limit = max(self._how.limit, allowed(pod))
            if now - self._since[slot] > limit:
                raise PodFailedError(
                    what=self._why(slot, pod, limit), where=self._ref.where, remedy="Mend that, then run again"
                )
        limit = self._how.limit
        if not waiting and now - self._moved > limit:
            raise StandstillError(
                what=f"no pod was replaced for {limit:.0f} s, {done} of {len(self._slots)} are done",
                where=self._ref.where,
                remedy="See what holds it (kubectl rollout status, kubectl describe); the change is in its template "
                "and goes on as soon as it can",
            )

    def _why(self, slot: str, pod: Item | None, limit: float) -> str:
        ill = ", and the node is not Ready" * (self._ref.kind == "DaemonSet" and slot not in self._well)
        if pod is None:
            return f"there is no new pod on {slot} {limit:.0f} s after its old one went{ill}"
        name = f"pod {pod['metadata']['name']} on {_node(pod)}"
        return f"{name} is not ready {limit:.0f} s after its start{ill}: {reason(pod, self._events(pod))}"

    def _events(self, pod: Item) -> list[Item]:
        try:
            events = self._api.items(f"/api/v1/namespaces/{pod['metadata']['namespace']}/events")
        except NodewardError:  # they say more, and nothing hangs on them
            return []
        return [each for each in events if places.get(each, "/involvedObject/uid") == _uid(pod)]


def allowed(pod: Item | None) -> int:
    """Return the seconds after its start in which no probe of a pod ends it."""
    containers = places.get(pod, "/spec/containers") or []
    return max((budget.present_seconds(each) or 0 for each in containers), default=0)


def _generation(workload: Item) -> int:
    return int(places.get(workload, "/metadata/generation") or 0)


def _max_unavailable(workload: Item, pods: int) -> int:
    given = places.get(workload, "/spec/updateStrategy/rollingUpdate/maxUnavailable")
    text = "1" if given is None else str(given)
    # a share is rounded up (k8s.io/kubernetes pkg/controller/daemon/util GetMaxUnavailable)
    return math.ceil(int(text[:-1]) * pods / 100) if text.endswith("%") else int(text)


def _uid(pod: Item) -> str:
    return str(pod["metadata"]["uid"])


def _node(pod: Item) -> str:
    return str(places.get(pod, "/spec/nodeName") or pod["metadata"]["name"])


def _slot(ref: Ref, pod: Item) -> str:
    """Return what a pod fills: its node, or for a Deployment one of the replicas, whichever."""
    return _node(pod) if ref.kind == "DaemonSet" else _uid(pod)


def _of_containers(pod: Item) -> Iterator[str]:
    statuses = [
        *(places.get(pod, "/status/initContainerStatuses") or []),
        *(places.get(pod, "/status/containerStatuses") or []),
    ]
    for status in statuses:
        state = places.get(status, "/state/waiting") or places.get(status, "/lastState/terminated")
        if state and not status.get("ready"):
            yield f"{status['name']}: {state.get('reason') or 'waiting'} {state.get('message') or ''}"


def _of_conditions(pod: Item) -> Iterator[str]:
    for condition in places.get(pod, "/status/conditions") or []:
        if condition.get("type") in ("Ready", "PodScheduled") and condition.get("status") != "True":
            yield f"{condition.get('reason') or ''} {condition.get('message') or ''}"


def _last_seen(event: Item) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
