# Private to the collection nodeward.calico: may change in any release.
"""One lock in the cluster itself: whoever restarts or defragments a member holds it, from any controller.

A key with a lease. Who is killed leaves it until the lease ends. It is taken and kept alive through any member that
answers: the holder may restart the very one that it took it from, and whoever waits meets one that is being restarted.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from .._core.errors import NodewardError
from .._core.host import Host
from .api import Etcd
from .gateway import coded, decoded

KEY = "nodeward/lock"
# Seconds. Longer than any time in which nobody can keep it alive; the next run waits as long for a killed one.
LEASE = 60
PATIENCE = LEASE + 15
INTERVAL = 3.0
# What no waiting changes (etcd's api/v3rpc/rpctypes/error.go).
FINAL = ("permission denied", "user name is empty", "database space exceeded", "requested lease not found")


class LockLostError(NodewardError):
    """The lease has ended, or may have: somebody else may have the lock by now."""


class LockTakenError(NodewardError):
    """Another run has kept the lock for as long as it was waited for, or nobody has given it; both may pass."""


class Lock:
    """The lock, held. ``keep`` has to be called at least every LEASE seconds; ``alive`` does it for a long call."""

    def __init__(self, host: Host, members: Sequence[Etcd], lease: str) -> None:
        self._host = host
        self._members = list(members)
        self._lease = lease
        self._kept = host.clock()
        self.is_lost = False

    def keep(self) -> None:
        """Keep it alive, at most once in INTERVAL seconds. Raises LockLostError, and from then on always."""
        if not self.is_lost and self._host.clock() - self._kept >= INTERVAL:
            self._ask()
        if self.is_lost:
            raise LockLostError(
                what="the lock was lost: no member has kept it alive for too long, or somebody has removed it",
                where=f"etcd key {KEY}",
                remedy="See whether the cluster is well, then run again",
            )

    def _ask(self) -> None:
        now = self._host.clock()  # of before it is asked for: a call may take seconds
        try:
            told = _call(self._members, "/v3/lease/keepalive", {"ID": self._lease})
        except NodewardError:
            self.is_lost = self._host.clock() - self._kept > LEASE
            return
        if _ttl(told) > 0:
            self._kept = now
        else:
            self.is_lost = True  # the leader answers this, and it knows of no such lease

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Keep it alive from a thread of its own, while a call goes on that may take longer than the lease."""
        ends = threading.Event()

        def keep() -> None:
            while not ends.wait(INTERVAL):
                with contextlib.suppress(LockLostError):  # whoever holds it asks after the call
                    self.keep()

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join(timeout=30)

    def release(self) -> None:
        """Give it back. Where nobody answers it ends with its lease."""
        with contextlib.suppress(NodewardError):
            _call(self._members, "/v3/lease/revoke", {"ID": self._lease})


@contextlib.contextmanager
def held(host: Host, members: Sequence[Etcd], holder: str, patience: float = PATIENCE) -> Iterator[Lock]:
    """Hold the lock; ``members`` are asked in this order, and ``holder`` tells others who has it.

    Waits ``patience`` seconds, long enough for one that a killed run has left. Raises NodewardError.
    """
    deadline = host.clock() + patience
    lease = str(_answered(host, members, "/v3/lease/grant", {"TTL": str(LEASE)}, deadline).get("ID") or "")
    if not lease:
        raise NodewardError("etcd gave no lease for the lock", f"etcd key {KEY}", "See the log of etcd")
    lock = Lock(host, members, lease)
    try:
        _take(host, members, lease, holder, deadline, lock)
        yield lock
    finally:
        lock.release()


def _take(host: Host, members: Sequence[Etcd], lease: str, holder: str, deadline: float, lock: Lock) -> None:
    while True:
        told = _answered(host, members, "/v3/kv/txn", _claim(lease, holder), deadline)
        # a claim whose answer was lost is found as our own
        if told.get("succeeded") or _found(told, "lease") == lease:
            return
        if host.clock() >= deadline:
            raise LockTakenError(
                what=f"another run has the lock: {_holder(told)}",
                where=f"etcd key {KEY}",
                remedy=f"Wait for it to end, then run again; a killed one loses it after {LEASE} s",
            )
        host.sleep(INTERVAL)
        lock.keep()


def _answered(host: Host, members: Sequence[Etcd], path: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
    """Ask until one answers: whoever has the lock may be restarting the only member. Raises NodewardError."""
    while True:
        try:
            return _call(members, path, body)
        except NodewardError as error:
            if any(words in error.what for words in FINAL):
                raise
            if host.clock() >= deadline:
                raise LockTakenError(error.what, error.where, error.remedy) from error
        host.sleep(INTERVAL)


def _call(members: Sequence[Etcd], path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the members in turn until one answers. Raises NodewardError, that of the last."""
    for member in members[:-1]:
        with contextlib.suppress(NodewardError):
            return member.call(path, body)
    return members[-1].call(path, body)


def _ttl(told: dict[str, Any]) -> int:
    result = told.get("result")
    text = str(result.get("TTL") or 0) if isinstance(result, dict) else "0"
    return int(text) if text.isdecimal() else 0


def _claim(lease: str, holder: str) -> dict[str, Any]:
    """Write the key where there is none, else read it."""
    key = coded(KEY)
    return {
        "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
        "success": [{"request_put": {"key": key, "value": coded(holder), "lease": lease}}],
        "failure": [{"request_range": {"key": key}}],
    }


def _holder(told: dict[str, Any]) -> str:
    return decoded(_found(told, "value"))[:200] or "nobody knows who"


def _found(told: dict[str, Any], name: str) -> str:
    """Return a field of the key as the claim found it, '' where it did not."""
    ranges = [each.get("response_range") or {} for each in told.get("responses") or []]
    return next((str(pair.get(name, "")) for each in ranges for pair in each.get("kvs") or []), "")


def holder(host_name: str, what: str) -> str:
    """Name a holder for people."""
    return json.dumps({"host": host_name, "for": what})
