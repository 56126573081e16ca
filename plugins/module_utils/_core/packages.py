# Private to the collection nodeward.calico: may change in any release.
"""Packages of the distribution. What differs between package managers stands here alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .errors import NodewardError
from .host import Host

INSTALLED = "installed"

# Seconds for one run of a package manager: it may download.
PATIENCE = 300.0


@dataclass(frozen=True)
class Package:
    """What the package manager knows of one.

    ``state`` is INSTALLED, None for nothing, or the manager's own word ('config-files', 'half-configured'). ``config``
    are its configuration files as they came, by their MD5, which is what dpkg keeps.
    """

    name: str
    state: str | None = None
    config: Mapping[str, str] = field(default_factory=dict)


class Manager(Protocol):
    """What is asked of a package manager. Errors are NodewardError."""

    def look(self, host: Host, name: str) -> Package:
        """Return what is known of a package; reads only."""

    def lacks(self, host: Host) -> str:
        """Say why nothing could be installed, and what helps, '' where something could; reads only."""

    def require_alone(self, host: Host, name: str) -> None:
        """Raise where a package cannot be installed, or not without changing others; changes nothing."""

    def install(self, host: Host, name: str) -> None:
        """Install a package, and nothing besides."""

    def remove(self, host: Host, name: str) -> None:
        """Remove a package with its configuration, and nothing besides."""


class Apt:
    """apt and dpkg: Debian, Ubuntu and what else is made from them."""

    STATUS = "/var/lib/dpkg/status"
    LISTS = "/var/lib/apt/lists"

    # nobody is there to be asked; and Ubuntu's needrestart would restart other services, the kubelet among them
    _ENV = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "LC_ALL=C")
    _GET = (*_ENV, "apt-get", "--quiet", "--yes", "--no-install-recommends", "--no-remove")

    def look(self, host: Host, name: str) -> Package:
        text = host.read_text(self.STATUS) or ""
        stanza = re.search(rf"^Package: {re.escape(name)}\n(?:.+\n)*", text, re.MULTILINE)
        status = re.search(r"^Status: \S+ \S+ (\S+)$", stanza[0] if stanza else "", re.MULTILINE)
        if not stanza or not status or status[1] == "not-installed":
            return Package(name)
        config = re.findall(r"^ (/\S.*) ([0-9a-f]{32})$", stanza[0], re.MULTILINE)
        return Package(name, status[1], dict(config))

    def lacks(self, host: Host) -> str:
        if any("_Packages" in name for name in host.list_folder(self.LISTS)):
            return ""
        return "apt knows no package lists on it: run apt-get update there"

    def require_alone(self, host: Host, name: str) -> None:
        # the caches, else written even by a simulation
        options = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
        shown = self._run(host, name, (*self._GET, "--simulate", *options, "install", name))
        touched = re.findall(r"^(?:Inst|Remv) (\S+)", shown, re.MULTILINE)
        others = sorted({each for each in touched if each != name})
        if others:
            raise NodewardError(
                what=f"apt would also install or change {', '.join(others)}, which no restore would take back",
                where=f"package {name}",
                remedy=f"Install those first (apt-get install {' '.join(others)}), or all of it by hand",
            )

    def install(self, host: Host, name: str) -> None:
        options = ("-o", "DPkg::Lock::Timeout=60", "-o", "APT::Keep-Downloaded-Packages=false")
        self._run(host, name, (*self._GET, *options, "install", name))

    def remove(self, host: Host, name: str) -> None:
        # by dpkg, which refuses where another package needs it: apt-get would remove that one too
        self._run(host, name, (*self._ENV, "dpkg", "--purge", name))

    def _run(self, host: Host, name: str, command: Sequence[str]) -> str:
        try:
            return host.run(command, PATIENCE)
        except NodewardError as error:
            words = " ".join(command[len(self._ENV) :])
            raise NodewardError(
                what=error.what,
                where=f"package {name}",
                remedy="See that the node reaches its package archive and knows its lists (apt-get update), and what "
                f"it says to {words}",
            ) from error


# By the family of the distribution: ID or ID_LIKE of os-release(5).
MANAGERS: Mapping[str, Manager] = {"debian": Apt()}


def distribution(host: Host) -> tuple[str, str]:
    """Return the family of the node's distribution, '' where we know no manager of it, and its name for people."""
    text = host.read_text("/etc/os-release") or ""
    told = {name: value.strip("\"'") for name, value in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)}
    words = [told.get("ID", ""), *told.get("ID_LIKE", "").split()]
    family = next((word for word in words if word in MANAGERS), "")
    return family, told.get("PRETTY_NAME") or "of an unknown distribution"


def manager(host: Host) -> Manager:
    """Return the node's package manager. Raises NodewardError where we know none."""
    family, name = distribution(host)
    if not family:
        raise NodewardError(f"the node is {name}", "packages", "Install and remove packages by hand there")
    return MANAGERS[family]
