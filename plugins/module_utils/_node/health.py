# Private to the collection nodeward.calico: may change in any release.
"""Is the node as well after a change that disrupts as it was before?

The kubelet's /healthz and Felix' /liveness answer on loopback. Ready is read from the API server with the
kubelet's own kubeconfig; it would stay True for 40 s after the kubelet's end (node-monitor-grace-period), so
after a restart only a heartbeat counts that is another one than before, and no older than the process that runs
now: a kubelet reports its status at once when it starts (pkg/kubelet/kubelet_node_status.go syncNodeStatus:
lastStatusReportTime is then zero).
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Callable

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.http import Request
from .._core.verbs import Change
from .._core.verbs.units import invocation
from .._kube import kubeconfig
from .._kube.client import Client
from .._kube.kubeconfig import Access
from . import kubelet, processes
from .kubelet import Kubelet

PATIENCE = 180.0  # seconds; kubelets of crowded nodes take a minute to be Ready
INTERVAL = 2.0  # seconds

# Where no new heartbeat tells that a start was a good one, it has to go on for this long: a kubelet that
# cannot use its configuration or its runtime answers for some seconds before it ends.
WINDOW = 10.0  # seconds
FELIX = "http://127.0.0.1:9099/liveness"  # FelixConfiguration healthHost and healthPort, their defaults

# A start that ends twice by itself does so again: the node need not wait until PATIENCE is over.
STARTS = 3

HEALTHZ, LIVENESS, READY = "the kubelet's healthz", "Felix' liveness", "the node's condition Ready"


@dataclass(frozen=True)
class Signs:
    """What answers that it is well, by name; what was not asked is in neither. ``heartbeat`` is that of Ready."""

    well: frozenset[str] = frozenset()
    ill: frozenset[str] = frozenset()
    heartbeat: str = ""
    why: str = ""


def gate(changes: Collection[Change], host: Host, is_way_back: bool = False) -> Callable[[], None]:
    """Look at the node before ``changes``, and return what looks again after them.

    Both raise NodewardError: now where the kubelet is to be restarted and is not well, later where something
    that is well now is not so again within PATIENCE. Changes that disrupt nothing need no look.
    The way back is open to a kubelet that is not well: what goes back may be what it suffers from.
    """
    words = {change.reason.disrupts for change in changes} - {""}
    if not words:
        return lambda: None
    agent = kubelet.observe(host, processes.names(host))
    before = look(host, agent)
    restarts = "kubelet_restart" in words
    if restarts and not is_way_back and before.ill & {HEALTHZ, READY}:
        raise NodewardError(
            what=f"{' and '.join(sorted(before.ill))} say that it is not well already ({before.why})",
            where="the node",
            remedy="Mend it first: nothing was changed, and a restart on top would hide what is wrong",
        )
    return lambda: _wait(host, agent, before, restarts)


def look(host: Host, agent: Kubelet) -> Signs:
    """Ask everything that there is to ask."""
    well: set[str] = set()
    ill: set[str] = set()
    heartbeat, why = "", []
    for name, url in ((HEALTHZ, agent.healthz if agent.running else ""), (LIVENESS, FELIX)):
        if url:
            trouble = _trouble(host, url)
            (ill if trouble else well).add(name)
            why += [trouble] if trouble and name == HEALTHZ else []
    access = _access(host, agent)
    if access is not None:
        try:
            is_ready, heartbeat = _ready(host, agent, access)
            (well if is_ready else ill).add(READY)
            why += [] if is_ready else ["Ready is not True"]
        except NodewardError as error:
            ill.add(READY)
            why.append(f"{error.where}: {error.what}")
    return Signs(frozenset(well), frozenset(ill), heartbeat, "; ".join(why))


def _wait(host: Host, agent: Kubelet, before: Signs, restarts: bool) -> None:
    deadline = host.clock() + PATIENCE
    starts: set[str] = set()
    window = WINDOW if restarts and READY not in before.well else 0.0
    steady: tuple[str, float] | None = None  # the start that is seen well, and since when
    while True:
        now = look(host, agent)
        missing = before.well - now.well
        if restarts and READY in before.well and not _is_new(host, now.heartbeat, before.heartbeat):
            missing |= {READY}
        start = invocation(host, agent.unit) or ""
        # what starts and ends at once may be seen well one time, so the second look of one start counts
        if missing:
            steady = None
        elif steady is None or steady[0] != start:
            steady = (start, host.clock())
        elif host.clock() - steady[1] >= window:
            return
        starts |= {start} - {""}
        if len(starts) >= STARTS or host.clock() >= deadline:
            ends = f", and {agent.unit} was started {len(starts)} times" if len(starts) > 1 else ""
            raise NodewardError(
                what=f"{' and '.join(sorted(missing or before.well))} did not say again that it is well "
                f"({now.why or 'no new heartbeat'}){ends}",
                where="the node",
                remedy=f"See journalctl -u {agent.unit}" if agent.unit else "See journalctl",
            )
        host.sleep(INTERVAL)


def _is_new(host: Host, heartbeat: str, before: str) -> bool:
    """Tell whether a heartbeat is the restarted kubelet's: the one before may have sent a last one after our look.

    Its time is the node's own, in whole seconds, as that of the start of a process.
    """
    if heartbeat == before:
        return False
    try:
        told = calendar.timegm(time.strptime(heartbeat, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return True
    return told >= int(kubelet.observe(host, processes.names(host)).started)


def _trouble(host: Host, url: str) -> str:
    try:
        status = host.send_http(Request(url)).status
    except NodewardError as error:
        return f"{url}: {error.what}"
    return "" if status // 100 == 2 else f"{url}: {status}"


def _access(host: Host, agent: Kubelet) -> Access | None:
    """Return the kubelet's own way to its API server, None where there is none that we can go (a plugin's)."""
    if not (agent.running and agent.kubeconfig):
        return None
    try:
        return kubeconfig.read(agent.kubeconfig, host.read_text)
    except NodewardError:
        return None


def _ready(host: Host, agent: Kubelet, access: Access) -> tuple[bool, str]:
    """Return whether the node is Ready, and its last heartbeat."""
    path = f"/api/v1/nodes/{agent.node_name}"
    node = Client(host, access).get(path)
    if node is None:
        raise NodewardError(what="there is no such node", where=path, remedy="See kubectl get nodes")
    for condition in node.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Ready":
            return condition.get("status") == "True", condition.get("lastHeartbeatTime") or ""
    return False, ""
