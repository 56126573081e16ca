# Private to the collection nodeward.calico: may change in any release.
"""What configures a link at the next boot, as each manager of links tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .._core import netplan, network_manager
from .._core.formats.yaml_lines import Path
from .._core.host import Host

NETWORKD, IFUPDOWN, NETWORK_MANAGER, NETPLAN = "systemd-networkd", "ifupdown", "NetworkManager", "netplan"

OTHERS_TOO = "it may configure other links too"


@dataclass(frozen=True)
class Definition:
    """Where netplan has a link: ``kind`` is the mapping ('ethernets'), ``id`` the key in it."""

    kind: str
    id: str


@dataclass(frozen=True)
class Boot:
    """What configures a link at boot: ``manager`` ('' for one that we do not know), its ``path`` for the link.

    ``texts`` are its files for the link, by path in the order in which they are read; ``garbled`` says why
    they are not ours to write: they cannot be understood, or set more than this link. ``at_boot`` is the MTU
    that they set, ``loaded`` the one that NetworkManager has in memory, where it is asked; None for none.
    ``contested`` tells that something else may decide at boot, so that ``at_boot`` need not come true.
    ``key`` is that of the MTU in a profile of NetworkManager; ``definition`` is netplan's.
    """

    manager: str = ""
    path: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    garbled: str = ""
    at_boot: int | None = None
    contested: bool = False
    loaded: int | None = None
    key: str = ""
    definition: Definition | None = None


class Asked:
    """What managers say of all links, asked for once, and only where a link is theirs. Both raise NodewardError."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @cached_property
    def profiles(self) -> list[network_manager.Profile]:
        """NetworkManager's profiles."""
        return network_manager.profiles(self.host)

    @cached_property
    def netplan(self) -> dict[Path, str]:
        """What netplan's files come to. Raises UnsureError too."""
        return netplan.merged(self.host)
