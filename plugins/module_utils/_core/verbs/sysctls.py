# Private to the collection nodeward.calico: may change in any release.
"""Kernel parameters, at run time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import NodewardError
from ..host import Host
from .base import Reason, still, took


@dataclass(frozen=True)
class SetSysctl:
    """Set one kernel parameter, at run time only. ``name`` in dotted form, values are whole numbers."""

    name: str
    before: str
    after: str
    reason: Reason
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"sysctl {self.name}"

    @property
    def path(self) -> str:
        return sysctl_path(self.name)

    def present(self, host: Host) -> str | None:
        text = host.read_text(self.path)
        return None if text is None else text.strip()

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), self.before)
        if not host.is_writable(self.path):
            raise NodewardError(
                what="the kernel parameter is read-only here",
                where=self.path,
                remedy="Set it on the machine that owns this kernel",
            )

    def act(self, host: Host) -> None:
        host.write_value(self.path, self.after)

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), self.after)

    def inverse(self) -> SetSysctl:
        return SetSysctl(self.name, before=self.after, after=self.before, reason=self.reason)


def sysctl_path(name: str) -> str:
    """Return the file of a kernel parameter: 'kernel.pid_max' is /proc/sys/kernel/pid_max."""
    return "/proc/sys/" + name.replace(".", "/")
