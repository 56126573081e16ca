# Private to the collection nodeward.calico: may change in any release.
"""Folders that a file of ours needed, so that restore leaves none behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..host import Host
from .base import BLOCK, Reason, require_writable, took

EXISTS = ""


@dataclass(frozen=True)
class MakeFolder:
    """Make one folder (mode 0755); its parent is there or made before."""

    path: str
    reason: Reason
    before: None = None
    after: str = EXISTS
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"folder {self.path}"

    def present(self, host: Host) -> str | None:
        return EXISTS if host.is_folder(self.path) else None

    def check(self, host: Host) -> None:
        require_writable(host, self.path, BLOCK)

    def act(self, host: Host) -> None:
        host.make_folder(self.path)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), EXISTS)

    def inverse(self) -> RemoveFolder:
        return RemoveFolder(self.path, self.reason)


@dataclass(frozen=True)
class RemoveFolder:
    """Remove a folder that we made, unless somebody else put something into it."""

    path: str
    reason: Reason
    before: str = EXISTS
    after: None = None
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"folder {self.path}"

    def present(self, host: Host) -> str | None:
        return EXISTS if host.is_folder(self.path) else None

    def check(self, host: Host) -> None:
        """Nothing can be told before the files in it are gone."""

    def act(self, host: Host) -> None:
        if not host.list_folder(self.path):
            host.remove_folder(self.path)

    def verify(self, host: Host) -> None:
        if not host.list_folder(self.path):
            took(self.target, self.present(host), None)

    def inverse(self) -> MakeFolder:
        return MakeFolder(self.path, self.reason)


def folder_change(path: str, after: str | None, reason: Reason) -> MakeFolder | RemoveFolder:
    """Return the verb that makes a folder, or removes it where ``after`` is None."""
    return RemoveFolder(path, reason) if after is None else MakeFolder(path, reason)
