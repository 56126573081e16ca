# Private to the collection nodeward.calico: may change in any release.
"""Units of systemd, made to take up what was written before."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import NodewardError
from ..host import COMMAND_PATIENCE, Host
from .base import FollowUp, Reason, still, took

RESTART, RELOAD, START = KINDS = ("restart", "reload", "start")

RUN, RUNNING = "run", "now and after a boot"


@dataclass(frozen=True)
class RestartUnit:
    """Restart a service that runs. ``before`` is systemd's id of its present start (InvocationID)."""

    unit: str
    before: str | None
    reason: Reason
    after: None = None
    follows: ClassVar[bool] = True

    @property
    def target(self) -> str:
        return f"{RESTART} {self.unit}"

    def present(self, host: Host) -> str | None:
        return invocation(host, self.unit)

    def check(self, host: Host) -> None:
        if not self.before:
            raise NodewardError(what="is not running", where=self.unit, remedy=f"See systemctl status {self.unit}")
        still(self.target, self.present(host), self.before)

    def act(self, host: Host) -> None:
        start_anew(host, self.unit)

    def verify(self, host: Host) -> None:
        state = active_state(host, self.unit)
        if state != "active" or self.present(host) in (None, self.before):
            raise NodewardError(
                what=f"is {state} after its restart" if state != "active" else "was not restarted",
                where=self.unit,
                remedy=f"See systemctl status {self.unit}",
            )

    def inverse(self) -> RestartUnit:
        return self


@dataclass(frozen=True)
class ReloadUnit(FollowUp):
    """Have systemd read the files of a unit anew; what runs in it goes on, under its new limits at once.

    ``wanted`` are properties that the unit must have then, as ``systemctl show`` prints them ('TasksMax=512').
    """

    unit: str
    reason: Reason
    wanted: Sequence[str] = ()

    @property
    def target(self) -> str:
        return f"{RELOAD} {self.unit}"

    def act(self, host: Host) -> None:
        # NeedDaemonReload does not tell: systemd 252 says no when the folder of a new drop-in is new as well
        host.run(["systemctl", "daemon-reload"])

    def verify(self, host: Host) -> None:
        names = ["NeedDaemonReload", *(wanted.partition("=")[0] for wanted in self.wanted)]
        shown = host.run(["systemctl", "show", f"--property={','.join(names)}", self.unit]).splitlines()
        missed = [wanted for wanted in ("NeedDaemonReload=no", *self.wanted) if wanted not in shown]
        if missed:
            raise NodewardError(
                what=f"systemd did not take it: wanted {', '.join(missed)}, it has {', '.join(shown)}",
                where=self.unit,
                remedy=f"See systemctl cat {self.unit}",
            )

    def inverse(self) -> ReloadUnit:
        return ReloadUnit(self.unit, self.reason)


@dataclass(frozen=True)
class StartUnit(FollowUp):
    """Start a unit of ours whose file is there, or stop it where the file has been taken away.

    ``calendar`` is what a timer's OnCalendar= will say, so that systemd may judge it before anything is written.
    """

    unit: str
    reason: Reason
    calendar: str = ""

    @property
    def target(self) -> str:
        return f"{START} {self.unit}"

    def check(self, host: Host) -> None:
        if self.calendar and "Next elapse: never" in host.run(["systemd-analyze", "calendar", self.calendar]):
            raise NodewardError(f"{self.calendar!r} never comes", self.unit, "Give a time that is still to come")

    def act(self, host: Host) -> None:
        if self._is_there(host):
            host.run(["systemctl", "daemon-reload"])
            # a timer that waits already goes on with its old time otherwise
            host.run(["systemctl", "restart" if self.calendar else "start", self.unit])
        else:  # systemd still knows it, until it reads its files anew, unless it never came to be loaded
            with contextlib.suppress(NodewardError):
                host.run(["systemctl", "stop", self.unit])
            host.run(["systemctl", "daemon-reload"])
            # a timer whose service went before it fails at any reload in between, and would be listed as failed on
            with contextlib.suppress(NodewardError):
                host.run(["systemctl", "reset-failed", self.unit])

    def verify(self, host: Host) -> None:
        state = active_state(host, self.unit)
        if (state == "active") != self._is_there(host):
            raise NodewardError(what=f"is {state}", where=self.unit, remedy=f"See systemctl status {self.unit}")

    def _is_there(self, host: Host) -> bool:
        return host.read_text(f"/etc/systemd/system/{self.unit}") is not None


def start_anew(host: Host, unit: str, patience: float = COMMAND_PATIENCE) -> None:
    """Restart a unit, in whatever state it is, within so many seconds. Raises NodewardError."""
    # one that failed too often is else not started again (StartLimitBurst=)
    host.run(["systemctl", "reset-failed", unit])
    host.run(["systemctl", "restart", unit], patience)


def active_state(host: Host, unit: str) -> str:
    """Return ActiveState as systemd tells it ('active', 'failed')."""
    return host.run(["systemctl", "show", "--property=ActiveState", "--value", unit]).strip()


def main_process(host: Host, unit: str) -> int:
    """Return the process that systemd started for a service, 0 for none. Raises NodewardError."""
    return int(host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).strip() or 0)


def unit_change(kind: str, unit: str, before: str | None, reason: Reason) -> ReloadUnit | RestartUnit | StartUnit:
    """Return the verb of this kind, RESTART, RELOAD or START."""
    if kind == START:
        return StartUnit(unit, reason)
    return RestartUnit(unit, before, reason) if kind == RESTART else ReloadUnit(unit, reason)


def invocation(host: Host, unit: str) -> str | None:
    """Return systemd's id of the present start of a unit, which it keeps as a link while the unit is not down."""
    return host.link_target(invocation_link(unit))


def invocation_link(unit: str) -> str:
    """Return the path of that link."""
    return f"/run/systemd/units/invocation:{unit}"


def is_enabled(host: Host, unit: str) -> bool:
    """Tell whether a unit starts at a boot (WantedBy=multi-user.target)."""
    return host.link_target(_wanted(unit)) is not None


def _wanted(unit: str) -> str:
    return f"/etc/systemd/system/multi-user.target.wants/{unit}"


@dataclass(frozen=True)
class RunUnit:
    """Have a unit of ours run now and after a boot, or neither. States are RUNNING (either of them) and None.

    Its way back removes what systemd made for it too (LogsDirectory= and the like).
    """

    unit: str
    before: str | None
    after: str | None
    reason: Reason
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"{RUN} {self.unit}"

    def present(self, host: Host) -> str | None:
        return RUNNING if is_enabled(host, self.unit) or invocation(host, self.unit) else None

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), self.before)

    def act(self, host: Host) -> None:
        if self.after is not None:
            host.run(["systemctl", "enable", self.unit])
            host.run(["systemctl", "restart", self.unit])
            return
        if host.read_text(f"/etc/systemd/system/{self.unit}") is not None:
            host.run(["systemctl", "disable", "--now", self.unit])
        else:  # somebody took the file away; systemd knows the unit until it ends
            if invocation(host, self.unit):
                host.run(["systemctl", "stop", self.unit])
            host.remove_file(_wanted(self.unit))
        with contextlib.suppress(NodewardError):  # one that failed before is else listed on; most did not
            host.run(["systemctl", "reset-failed", self.unit])
        folders = [f"{place}/{self.unit.rpartition('.')[0]}" for place in ("/run", "/var/log")]
        try:
            host.run(["systemctl", "clean", "--what=all", self.unit])
        except NodewardError:  # systemd before 243 has no such command, and a unit without its file nothing to clean
            for folder in filter(host.is_folder, folders):
                host.run(["rm", "-r", "--one-file-system", folder])

    def verify(self, host: Host) -> None:
        both = is_enabled(host, self.unit) and invocation(host, self.unit)
        took(self.target, self.present(host) if both or self.after is None else None, self.after)

    def inverse(self) -> RunUnit:
        return RunUnit(self.unit, self.after, self.before, self.reason)
