# Private to the collection nodeward.calico: may change in any release.
"""One lock in the cluster itself: whoever restarts or defragments a member holds it, from any controller.

A key with a lease. Who is killed leaves it until the lease ends. It is kept alive through any member that answers,
so that the holder may restart the very member that it took it from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from .._core.errors import NodewardError
from .._core.host import Host
from .api import Etcd, coded, decoded

KEY = "nodeward/lock"
# Seconds. Longer than any time in which nobody can keep it alive; the next run waits as long for a killed one.
LEASE = 60
PATIENCE = LEASE + 15
INTERVAL = 3.0


class Lock:
    """The lock, held. ``keep`` has to be called at least every LEASE seconds."""

    def __init__(self, host: Host, members: Sequence[Etcd], lease: str) -> None:
        self._host = host
        self._members = list(members)
        self._lease = lease
        self._kept = host.clock()

    def keep(self) -> None:
        """Keep it alive, at most once in INTERVAL seconds. Raises NodewardError where somebody may have it by now."""
        if self._host.clock() - self._kept < INTERVAL:
            return
        for member in self._members:
            with contextlib.suppress(NodewardError):
                told = member.call("/v3/lease/keepalive", {"ID": self._lease})
                if int((told.get("result") or {}).get("TTL") or 0) > 0:
                    self._kept = self._host.clock()
                    return
                break  # the cluster has forgotten it
        if self._host.clock() - self._kept > LEASE:
            raise NodewardError(
                what="the lock was lost: no member has kept it alive for too long",
                where=f"etcd key {KEY}",
                remedy="See whether the cluster is well, then run again",
            )

    def release(self) -> None:
        """Give it back. Where nobody answers it ends with its lease."""
        for member in self._members:
            with contextlib.suppress(NodewardError):
                member.call("/v3/lease/revoke", {"ID": self._lease})
                return


@contextlib.contextmanager
def held(host: Host, members: Sequence[Etcd], holder: str, patience: float = PATIENCE) -> Iterator[Lock]:
    """Hold the lock; ``members`` are asked in this order, and ``holder`` tells others who has it.

    Waits ``patience`` seconds, long enough for one that a killed run has left. Raises NodewardError.
    """
    lease = str(members[0].call("/v3/lease/grant", {"TTL": str(LEASE)})["ID"])
    lock = Lock(host, members, lease)
    try:
        _take(host, members[0], lease, holder, patience, lock)
        yield lock
    finally:
        lock.release()


def _take(host: Host, member: Etcd, lease: str, holder: str, patience: float, lock: Lock) -> None:
    deadline = host.clock() + patience
    while True:
        told = member.call("/v3/kv/txn", _claim(lease, holder))
        if told.get("succeeded"):
            return
        if host.clock() >= deadline:
            raise NodewardError(
                what=f"another run has the lock: {_holder(told)}",
                where=f"etcd key {KEY}",
                remedy=f"Wait for it to end, then run again; a killed one loses it after {LEASE} s",
            )
        host.sleep(INTERVAL)
        lock.keep()


def _claim(lease: str, holder: str) -> dict[str, Any]:
    """Write the key where there is none, else read it."""
    key = coded(KEY)
    return {
        "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
        "success": [{"request_put": {"key": key, "value": coded(holder), "lease": lease}}],
        "failure": [{"request_range": {"key": key}}],
    }


def _holder(told: dict[str, Any]) -> str:
    for response in told.get("responses") or []:
        for pair in (response.get("response_range") or {}).get("kvs") or []:
            return decoded(str(pair.get("value", "")))[:200]
    return "nobody knows who"


def holder(host_name: str, what: str) -> str:
    """Name a holder for people."""
    return json.dumps({"host": host_name, "for": what})
