# Private to the collection nodeward.calico: may change in any release.
"""How long calico-node may take to start, and how long it needs; pure."""

from __future__ import annotations

import math
from typing import Any

from .port import Item

# What the API server fills in (k8s.io/api/core/v1 Probe).
DEFAULTS = {
    "initialDelaySeconds": 0,
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}

# Reads of the datastore for each node of the cluster, one after another, as counted in the log of incident D
# (Calico v2.6, CALICO_STARTUP_LOGLEVEL=DEBUG). Later releases read lists, and need less.
READS_PER_NODE = 9
# Seconds that start, tunnel addresses and Felix take besides.
BASE = 10
# A budget that is raised leaves this much room, so that a slow moment does not ask for more again.
ROOM = 1.5
# Seconds that a round trip which was only measured may ask for: it is that of the machine which hardens, perhaps over
# a VPN, and in all this time nobody restarts a calico-node that hangs in its start. Incident D needed two minutes; a
# pod of a rollout has ten by default, too.
MEASURED_MOST = 600


def startup_seconds(nodes: int, round_trip: float) -> int:
    """Return how many seconds calico-node needs from its start until Felix answers its liveness probe.

    ``nodes`` is the number of nodes of the cluster, ``round_trip`` the seconds that one request to the datastore
    takes from the node. It is ``10 + nodes x 9 x round_trip``: an upper bound, as the reads were one after another
    in Calico v2.6. Incident D: 53 nodes and 0.23 s make 120 s, with a liveness budget of 70 s.
    """
    return BASE + math.ceil(nodes * READS_PER_NODE * round_trip)


def wanted_seconds(needed: int) -> int:
    """Return the budget that is given where the present one is below what is needed."""
    return math.ceil(needed * ROOM)


def value(probe: Item, name: str) -> int:
    """Return a number of a probe as the API server would fill it in."""
    return int(probe.get(name) or DEFAULTS[name])


def handler(probe: Item) -> dict[str, Any]:
    """Return what a probe asks, without the numbers by which that is judged."""
    numbers = {*DEFAULTS, "terminationGracePeriodSeconds"}
    return {key: each for key, each in probe.items() if key not in numbers}


def allows(probe: Item) -> int:
    """Return the seconds from the start of a container until the kubelet gives up on this probe."""
    return value(probe, "initialDelaySeconds") + value(probe, "periodSeconds") * value(probe, "failureThreshold")


def present_seconds(container: Item) -> int | None:
    """Return the seconds that a container has for its start, None where no probe ends it."""
    if container.get("startupProbe"):
        return allows(container["startupProbe"])
    return allows(container["livenessProbe"]) if container.get("livenessProbe") else None


def failures(probe: dict[str, Any], seconds: int) -> int:
    """Return the failure threshold by which a probe allows at least these seconds."""
    return math.ceil(max(seconds - value(probe, "initialDelaySeconds"), 1) / value(probe, "periodSeconds"))
