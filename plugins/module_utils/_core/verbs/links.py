# Private to the collection nodeward.calico: may change in any release.
"""MTUs of links, at run time."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

from ..errors import NodewardError
from ..host import Host
from ..links import PODS, Link
from .base import Reason, still, took

LINK, PEER = "link", "peer"

_GONE = (errno.ENODEV, errno.ESRCH)


@dataclass(frozen=True)
class SetLinkMtu:
    """Set the MTU of a link, or with ``peer`` of its other end in a pod's network namespace; at run time only.

    ``name`` is that of the link on the node. None is no such link: a pod may have ended since, and then
    there is nothing to bring back.
    """

    name: str
    before: str | None
    after: str | None
    reason: Reason
    peer: bool = False
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"{PEER if self.peer else LINK} {self.name}"

    def present(self, host: Host) -> str | None:
        found = self._link(host)
        return None if found is None else str(found.mtu)

    def check(self, host: Host) -> None:
        found = self._link(host)
        if found is None and self._may_end:
            return
        still(self.target, None if found is None else str(found.mtu), self.before)
        if found is not None and self.after is not None and not takes(found, int(self.after)):
            raise NodewardError(
                what=f"its driver takes no MTU of {self.after} ({found.min_mtu} to {found.max_mtu})",
                where=self.target,
                remedy=f"Choose an MTU from {found.min_mtu} to {found.max_mtu}",
            )

    def act(self, host: Host) -> None:
        if self.after is None:
            return
        try:
            host.set_link_mtu(self.name, int(self.after), self.peer)
        except OSError as error:
            if not (self._may_end and error.errno in _GONE):
                raise

    def verify(self, host: Host) -> None:
        present = self.present(host)
        if not (present is None and self._may_end):
            took(self.target, present, self.after)

    def inverse(self) -> SetLinkMtu:
        return SetLinkMtu(self.name, self.after, self.before, self.reason, self.peer)

    @property
    def _may_end(self) -> bool:
        """Tell whether it is a pod's, which may end at any moment: then nothing is left to do."""
        return self.name.startswith(PODS)

    def _link(self, host: Host) -> Link | None:
        return host.link(self.name, self.peer)


def takes(link: Link, mtu: int) -> bool:
    """Tell whether a link's driver takes this MTU, as far as it says."""
    return link.min_mtu <= mtu and (link.max_mtu == 0 or mtu <= link.max_mtu)
