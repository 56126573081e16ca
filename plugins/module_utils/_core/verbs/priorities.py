# Private to the collection nodeward.calico: may change in any release.
"""The I/O priority of everything that runs of etcd on the node, now; a file beside it sees to the next start."""

from __future__ import annotations

from dataclasses import dataclass

from .. import io_priority
from ..errors import NodewardError
from ..host import Host
from ..host_processes import on_the_host, threads
from .base import FollowUp, Reason

IO_PRIORITY = "io-priority"
PROGRAM = "etcd"

# A thread that another one starts while we go through them has what that one had: a second round finds it.
ROUNDS = 3


@dataclass(frozen=True)
class SetIoPriority(FollowUp):
    """Give every thread of etcd the highest best-effort priority where ``path`` is there, else none of its own.

    ``path`` is our file that gives it at the next start.
    """

    path: str
    reason: Reason

    @property
    def target(self) -> str:
        return f"{IO_PRIORITY} {self.path}"

    def act(self, host: Host) -> None:
        for _round in range(ROUNDS):
            for thread in self._others(host):
                host.set_io_priority(thread, self._wanted(host))

    def verify(self, host: Host) -> None:
        others = self._others(host)
        if others:
            raise NodewardError(
                what=f"{len(others)} threads of etcd have another I/O priority than they were given",
                where=self.target,
                remedy="See what else sets it (ionice -p PID)",
            )

    def _wanted(self, host: Host) -> int:
        return io_priority.NONE if host.read_text(self.path) is None else io_priority.HIGHEST

    def _others(self, host: Host) -> list[int]:
        every = [thread for pid in on_the_host(host, (PROGRAM,)) for thread in threads(host, pid)]
        return [thread for thread in every if host.io_priority(thread) not in (None, self._wanted(host))]
