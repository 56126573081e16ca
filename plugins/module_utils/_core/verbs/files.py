# Private to the collection nodeward.calico: may change in any release.
"""Whole files that we own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..host import Host
from .base import BLOCK, Reason, require_writable, still, took


@dataclass(frozen=True)
class WriteFile:
    """Write a whole file that we own. ``before`` is None where there was none; ``mode`` is for a new one."""

    path: str
    before: str | None
    after: str
    reason: Reason
    mode: int = 0o644
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"file {self.path}"

    def present(self, host: Host) -> str | None:
        return host.read_text(self.path)

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), self.before)
        require_writable(host, self.path, len(self.after) + BLOCK)

    def act(self, host: Host) -> None:
        host.write_file(self.path, self.after, self.mode)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), self.after)

    def inverse(self) -> WriteFile | RemoveFile:
        return file_change(self.path, self.after, self.before, self.reason, self.mode)


@dataclass(frozen=True)
class RemoveFile:
    """Remove a file that we own. ``mode`` is what it gets back when the removal is turned round."""

    path: str
    before: str
    reason: Reason
    mode: int = 0o644
    after: None = None
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"file {self.path}"

    def present(self, host: Host) -> str | None:
        return host.read_text(self.path)

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), self.before)
        require_writable(host, self.path, BLOCK)

    def act(self, host: Host) -> None:
        host.remove_file(self.path)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), None)

    def inverse(self) -> WriteFile:
        return WriteFile(self.path, before=None, after=self.before, reason=self.reason, mode=self.mode)


def file_change(
    path: str, before: str | None, after: str | None, reason: Reason, mode: int = 0o644
) -> WriteFile | RemoveFile:
    """Return the verb that brings a file from one state to another; None is no file."""
    if after is not None:
        return WriteFile(path, before, after, reason, mode)
    return RemoveFile(path, before or "", reason, mode)
