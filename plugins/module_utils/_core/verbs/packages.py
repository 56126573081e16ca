# Private to the collection nodeward.calico: may change in any release.
"""A package of the distribution: installed where there was nothing of it, and removed with its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .. import packages
from ..host import Host
from .base import Reason, still, took

PACKAGE = "package"


@dataclass(frozen=True)
class SetPackage:
    """Install one package and no other, which starts its service, or remove it: INSTALLED or None, before and after."""

    package: str
    before: str | None
    after: str | None
    reason: Reason
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"{PACKAGE} {self.package}"

    def present(self, host: Host) -> str | None:
        return packages.manager(host).look(host, self.package).state

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), self.before)
        if self.after:
            packages.manager(host).require_alone(host, self.package)

    def act(self, host: Host) -> None:
        manager = packages.manager(host)
        (manager.install if self.after else manager.remove)(host, self.package)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), self.after)

    def inverse(self) -> SetPackage:
        return SetPackage(self.package, self.after, self.before, self.reason)
