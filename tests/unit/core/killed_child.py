"""Applies a plan below a folder and kills itself at one step. Run by test_killed.py, as a process of its own.

    killed_child.py ROOT POLICY MOMENT NUMBER

POLICY is one of POLICIES. MOMENT is "before" or "after" the mutating call NUMBER, "staged" (the call's file is
written, not yet renamed), or "never".
"""

from __future__ import annotations

import os
import signal
import sys

from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Change,
    Reason,
    RemoveFile,
    SetSysctl,
    WriteFile,
    sysctl_path,
)

REASON = Reason("pid_limits", "because")
PID_MAX = "kernel.pid_max"
BEFORE: dict[str, str | None] = {
    sysctl_path(PID_MAX): "32768",
    "/etc/sysctl.d/99-zz-nodeward-pid_limits.conf": None,
    "/etc/edited": "old\n" * 5000,
    "/etc/removed": "gone\n",
}
OTHERWISE: dict[str, str | None] = {
    sysctl_path(PID_MAX): "1000000",
    "/etc/sysctl.d/99-zz-nodeward-pid_limits.conf": "kernel.pid_max = 1000000\n",
    "/etc/edited": "other\n" * 5000,
    "/etc/removed": "less\n",
}
AFTER: dict[str, str | None] = {
    sysctl_path(PID_MAX): "4194304",
    "/etc/sysctl.d/99-zz-nodeward-pid_limits.conf": "kernel.pid_max = 4194304\n",
    "/etc/edited": "new\n" * 5000,
    "/etc/removed": None,
}
POLICIES = {"other": OTHERWISE, "this": AFTER}


class Killed(LocalHost):
    """Counts its mutating calls, and ends its process at one of them as `kill -9` would."""

    def __init__(self, root: str, moment: str, number: int) -> None:
        super().__init__(root)
        self._moment = moment
        self._number = number
        self._calls = 0

    def _begin(self) -> None:
        self._calls += 1
        self._die("before")
        if (self._moment, self._number) == ("staged", self._calls):
            os.replace = lambda *_paths: os.kill(os.getpid(), signal.SIGKILL)

    def _die(self, moment: str) -> None:
        if (self._moment, self._number) == (moment, self._calls):
            os.kill(os.getpid(), signal.SIGKILL)

    def write_file(self, path: str, text: str, mode: int) -> None:
        self._begin()
        super().write_file(path, text, mode)
        self._die("after")

    def remove_file(self, path: str) -> None:
        self._begin()
        super().remove_file(path)
        self._die("after")

    def write_value(self, path: str, value: str) -> None:
        self._begin()
        super().write_value(path, value)
        self._die("after")


def planned(host: LocalHost, policy: str) -> list[Change]:
    """Plan what is still to be done, as a trap would: from what is there."""
    changes: list[Change] = []
    for path, wanted in POLICIES[policy].items():
        present = host.read_text(path)
        if present == wanted:
            continue
        if path == sysctl_path(PID_MAX):
            changes.append(SetSysctl(PID_MAX, str(present), str(wanted), REASON))
        elif wanted is None:
            changes.append(RemoveFile(path, str(present), REASON))
        else:
            changes.append(WriteFile(path, present, wanted, REASON))
    return changes


def main() -> None:
    root, policy, moment, number = sys.argv[1:]
    host = Killed(root, moment, int(number))
    with host.lock(patience=0):
        apply(planned(host, policy), host)


if __name__ == "__main__":
    main()
