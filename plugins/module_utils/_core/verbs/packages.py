# Private to the collection nodeward.calico: may change in any release.
"""A package of the distribution, installed where there was nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .. import packages
from ..host import Host
from ..packages import INSTALLED
from .base import Reason, still, took

PACKAGE = "package"


@dataclass(frozen=True)
class InstallPackage:
    """Install one package, which starts its service; nothing of it is there before, and no other comes with it."""

    package: str
    reason: Reason
    before: None = None
    after: str = INSTALLED
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"{PACKAGE} {self.package}"

    def present(self, host: Host) -> str | None:
        return packages.manager(host).look(host, self.package).state

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), None)
        packages.manager(host).require_alone(host, self.package)

    def act(self, host: Host) -> None:
        packages.manager(host).install(host, self.package)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), INSTALLED)

    def inverse(self) -> RemovePackage:
        return RemovePackage(self.package, self.reason)


@dataclass(frozen=True)
class RemovePackage:
    """Remove a package that we installed, with its configuration."""

    package: str
    reason: Reason
    before: str = INSTALLED
    after: None = None
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"{PACKAGE} {self.package}"

    def present(self, host: Host) -> str | None:
        return packages.manager(host).look(host, self.package).state

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), INSTALLED)

    def act(self, host: Host) -> None:
        packages.manager(host).remove(host, self.package)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), None)

    def inverse(self) -> InstallPackage:
        return InstallPackage(self.package, self.reason)


def package_change(name: str, after: str | None, reason: Reason) -> InstallPackage | RemovePackage:
    """Return the verb that installs a package, or removes it where ``after`` is None."""
    return RemovePackage(name, reason) if after is None else InstallPackage(name, reason)
