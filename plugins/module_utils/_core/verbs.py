# Private to the collection nodeward.calico: may change in any release.
"""The few things a plan may do to a node. Traps only plan; verbs act.

Every verb knows the state before and after, so that it can be shown (check and diff mode), verified,
journalled and turned round.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Union

from .errors import NodewardError
from .files import BYTES_SURVIVE, ENCODING
from .host import Host

# Bytes on disk that a new small file may take.
BLOCK = 4096

MANAGED_BY = "Managed by nodeward.calico: changes made here are lost at its next run"


@dataclass(frozen=True)
class Reason:
    """Why a change is planned: the trap, a sentence for people, and what it costs.

    ``severity`` is that of the finding which the change mends. ``disrupts`` is the word of consent
    that the change needs, '' when it disrupts nothing.
    """

    trap: str
    why: str
    severity: str = "medium"
    disrupts: str = ""


@dataclass(frozen=True)
class SetSysctl:
    """Set one kernel parameter, at run time only. ``name`` in dotted form, values are whole numbers."""

    name: str
    before: str
    after: str
    reason: Reason

    @property
    def target(self) -> str:
        return f"sysctl {self.name}"

    @property
    def path(self) -> str:
        return sysctl_path(self.name)

    def check(self, host: Host) -> None:
        _still(self, _present(self, host), self.before)
        if not host.is_writable(self.path):
            raise NodewardError(
                what="the kernel parameter is read-only here",
                where=self.path,
                remedy="Set it on the machine that owns this kernel",
            )

    def act(self, host: Host) -> None:
        host.write_value(self.path, self.after)

    def verify(self, host: Host) -> None:
        _took(self, _present(self, host), self.after)

    def inverse(self) -> SetSysctl:
        return SetSysctl(self.name, before=self.after, after=self.before, reason=self.reason)


@dataclass(frozen=True)
class WriteFile:
    """Write a whole file that we own. ``before`` is None where there was none; ``mode`` is for a new one."""

    path: str
    before: str | None
    after: str
    reason: Reason
    mode: int = 0o644

    @property
    def target(self) -> str:
        return f"file {self.path}"

    def check(self, host: Host) -> None:
        _still(self, _present(self, host), self.before)
        require_writable(host, self.path, len(self.after) + BLOCK)

    def act(self, host: Host) -> None:
        host.write_file(self.path, self.after, self.mode)

    def verify(self, host: Host) -> None:
        _took(self, _present(self, host), self.after)

    def inverse(self) -> Change:
        if self.before is None:
            return RemoveFile(self.path, before=self.after, reason=self.reason, mode=self.mode)
        return WriteFile(self.path, before=self.after, after=self.before, reason=self.reason, mode=self.mode)


@dataclass(frozen=True)
class RemoveFile:
    """Remove a file that we own. ``mode`` is what it gets back when the removal is turned round."""

    path: str
    before: str
    reason: Reason
    mode: int = 0o644
    after: None = None

    @property
    def target(self) -> str:
        return f"file {self.path}"

    def check(self, host: Host) -> None:
        _still(self, _present(self, host), self.before)
        require_writable(host, self.path, BLOCK)

    def act(self, host: Host) -> None:
        host.remove_file(self.path)

    def verify(self, host: Host) -> None:
        _took(self, _present(self, host), None)

    def inverse(self) -> Change:
        return WriteFile(self.path, before=None, after=self.before, reason=self.reason, mode=self.mode)


Change = Union[SetSysctl, WriteFile, RemoveFile]


def sysctl_path(name: str) -> str:
    """Return the file of a kernel parameter: 'kernel.pid_max' is /proc/sys/kernel/pid_max."""
    return "/proc/sys/" + name.replace(".", "/")


def describe(change: Change) -> dict[str, str | None]:
    """Shape a change for results and reports: what, from, to, and why."""
    return {
        "trap": change.reason.trap,
        "target": change.target,
        "before": change.before,
        "after": change.after,
        "why": change.reason.why,
        "disrupts": change.reason.disrupts,
    }


def diff(change: Change) -> dict[str, str]:
    """Shape a change for Ansible's diff mode."""
    return {
        "before_header": change.target,
        "after_header": change.target,
        "before": _with_newline(change.before),
        "after": _with_newline(change.after),
    }


def require_writable(host: Host, path: str, size: int) -> None:
    """Raise where ``size`` bytes could not be written to ``path``."""
    obstacle = host.why_not_writable(path, size)
    if obstacle:
        raise NodewardError(
            what=f"cannot be written: {obstacle}",
            where=path,
            remedy="Make it writable and give the disk some room, then run again",
        )


def _with_newline(text: str | None) -> str:
    if not text:
        return ""
    return text if text.endswith("\n") else text + "\n"


def _present(change: Change, host: Host) -> str | None:
    text = host.read_text(change.path)
    return text.strip() if isinstance(change, SetSysctl) and text is not None else text


def _still(change: Change, present: str | None, expected: str | None) -> None:
    if present != expected:
        raise NodewardError(
            what="something else changed it since it was read "
            f"(expected {_named(change, expected)}, found {_named(change, present)})",
            where=change.target,
            remedy="Find out what writes it, then run again",
        )


def _took(change: Change, present: str | None, wanted: str | None) -> None:
    if present != wanted:
        raise NodewardError(
            what=f"the value did not take: wanted {_named(change, wanted)}, read back {_named(change, present)}",
            where=change.target,
            remedy="Find out what else writes it; the value before our change was put back",
        )


def _named(change: Change, state: str | None) -> str:
    """Say what there is; of a file only its sum, since an error is no place for what a file may hold."""
    if state is None:
        return "nothing"
    if isinstance(change, SetSysctl):
        return repr(state)
    return f"sha256 {hashlib.sha256(state.encode(ENCODING, BYTES_SURVIVE)).hexdigest()[:12]}"
