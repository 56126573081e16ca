# Private to the collection nodeward.calico: may change in any release.
"""calico-node's pod on one node and what Kubernetes said of it, as kubernetes.core.k8s_info returns them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CONTAINER = "calico-node"
_LONGEST = 200  # characters of one message
_MOST = 20  # messages

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """``name`` is '' where there is none. ``said`` are messages of its warnings, states and conditions, newest first.

    ``waits`` and ``ended`` are Kubernetes' reasons; ``since`` is how long its container has run, in seconds.
    """

    name: str = ""
    namespace: str = ""
    is_ready: bool = False
    restarts: int = 0
    waits: str = ""
    ended: str = ""
    said: tuple[str, ...] = ()
    since: float | None = None


def read(pods: Sequence[Item], events: Sequence[Item], names: Sequence[str], now: float) -> Pod:
    """Return the pod of a node that has one of these names; ``now`` is in seconds since 1970."""
    mine = [pod for name in names for pod in pods if _at(pod, "spec", "nodeName") == name]
    if not mine:
        return Pod()
    pod = mine[0]
    name, namespace = str(_at(pod, "metadata", "name") or ""), str(_at(pod, "metadata", "namespace") or "")
    container: Item = next(
        (each for each in _at(pod, "status", "containerStatuses") or [] if each.get("name") == CONTAINER), {}
    )
    started = _seconds(_at(container, "state", "running", "startedAt"))
    return Pod(
        name=name,
        namespace=namespace,
        is_ready=bool(container.get("ready")),
        restarts=int(container.get("restartCount") or 0),
        waits=str(_at(container, "state", "waiting", "reason") or ""),
        ended=str(_at(container, "lastState", "terminated", "reason") or ""),
        said=tuple(short(each) for each in [*_warnings(events, name), *_of(pod, container)])[:_MOST],
        since=None if started is None else max(0.0, now - started),
    )


def _warnings(events: Iterable[Item], name: str) -> Iterator[str]:
    mine = [each for each in events if _at(each, "involvedObject", "name") == name and each.get("type") == "Warning"]
    for each in sorted(
        mine, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), reverse=True
    ):
        yield str(each.get("message") or "")


def _of(pod: Item, container: Item) -> Iterator[str]:
    for path in (("state", "waiting"), ("lastState", "terminated")):
        told = _at(container, *path) or {}
        if told:
            yield " ".join(filter(None, [str(told.get("reason") or ""), str(told.get("message") or "")]))
    for each in _at(pod, "status", "conditions") or []:
        if each.get("status") == "False" and each.get("message"):
            yield str(each["message"])


def short(text: str) -> str:
    """Return a message on one line, no longer than is read."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _seconds(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(time).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _at(item: Any, *path: str) -> Any:
    for key in path:
        item = item.get(key) if isinstance(item, Mapping) else None
    return item
