# Private to the collection nodeward.calico: may change in any release.
"""What makes the managers of links know what was written for the next boot; no link is touched."""

from __future__ import annotations

from dataclasses import dataclass

from .. import netplan, network_manager
from ..host import Host
from .base import FollowUp, Reason

PROFILE, NETPLAN = KINDS = ("profile", "netplan")


@dataclass(frozen=True)
class LoadProfile(FollowUp):
    """Have NetworkManager read the file of a profile, or it would bring the link up as it was the next time.

    That is when a cable was out for some seconds, and with 'nmcli connection modify' it would write the file as it was.
    """

    path: str
    reason: Reason

    @property
    def target(self) -> str:
        return f"{PROFILE} {self.path}"

    def act(self, host: Host) -> None:
        if self._is_known(host):
            network_manager.load(host, self.path)

    def verify(self, host: Host) -> None:
        if self._is_known(host):
            network_manager.require_loaded(host, self.path)

    def _is_known(self, host: Host) -> bool:
        return network_manager.runs(host) and host.read_text(self.path) is not None


@dataclass(frozen=True)
class GenerateNetplan(FollowUp):
    """Have netplan write its backend's files anew from /etc/netplan, as it does at boot.

    ``path`` is the one of the link; ``mtu`` is what it must set then, None where nothing is known of it.
    """

    path: str
    reason: Reason
    mtu: int | None = None

    @property
    def target(self) -> str:
        return f"{NETPLAN} {self.path}"

    def act(self, host: Host) -> None:
        if netplan.is_there(host):
            netplan.generate(host)

    def verify(self, host: Host) -> None:
        if self.mtu is not None:
            netplan.require_generated(host, self.path, self.mtu)

    def inverse(self) -> GenerateNetplan:
        return GenerateNetplan(self.path, self.reason)


def link_file_change(kind: str, path: str, reason: Reason) -> LoadProfile | GenerateNetplan:
    """Return the verb of this kind, PROFILE or NETPLAN."""
    return LoadProfile(path, reason) if kind == PROFILE else GenerateNetplan(path, reason)
