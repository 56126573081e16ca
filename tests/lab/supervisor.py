"""What keeps a node's nspawn running, and its processes apart from the others of this machine.

systemd in a node takes the control group it is started in for its own. Two nodes in one group would meet in
one tree: restarting ssh.service in one of them would reach into the other. So each has a group, named after
its machine.

With --keep-unit nspawn ends with status 133 when the node reboots, and expects to be started again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.host import LabError, mounts, run

BOOTED_WITH_SYSTEMD = Path("/run/systemd/system").is_dir()
_REBOOT = 133
# $1: the groups; "echo 0" moves whoever runs it, here the subshell that becomes nspawn. The loop stays outside:
# on cgroup v2 a group with a process of its own cannot pass controllers on.
_LOOP = f"""
groups=$1; shift
while :; do
    (for group in $groups; do echo 0 > "$group/cgroup.procs" || exit; done; exec "$@")
    [ $? -eq {_REBOOT} ] || exit
done
"""


def spawn(machine: str, command: Sequence[str], console: Path) -> None:
    """Start this nspawn command as nobody's child: it outlives us and our session; output goes to `console`.

    Where systemd rules the machine, it must be asked for a group of one's own: by a service as
    systemd-nspawn@.service has it. Elsewhere we make groups in the hierarchies that systemd in the node uses
    (v1's name=systemd, v2), not in v1's controllers: nspawn mounts those read-only.
    """
    console.write_text("")
    if BOOTED_WITH_SYSTEMD:
        settings = ("Type=exec", "Delegate=yes", "KillMode=mixed", "TasksMax=infinity", "TimeoutStopSec=10",
                    "StartLimitIntervalSec=0", f"RestartForceExitStatus={_REBOOT}", f"SuccessExitStatus={_REBOOT}",
                    f"StandardOutput=append:{console}", f"StandardError=append:{console}",
                    "Environment=SYSTEMD_NSPAWN_LOCK=0")  # fmt: skip
        unit = f"--unit={machine}-{time.time_ns():x}"  # systemd forgets the last one's a little later
        properties = [f"--property={setting}" for setting in settings]
        run(["systemd-run", "--quiet", "--collect", "--slice=machine.slice", unit, *properties, *command])
        return
    groups = [root / machine for root in _hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
    # A user's SYSTEMD_NSPAWN_API_VFS_WRITABLE would open the machine's /proc/sys to the nodes; and the
    # lock files, which a killed nspawn leaves behind, do nothing for folders that are only ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYSTEMD_NSPAWN_")}
    environment["SYSTEMD_NSPAWN_LOCK"] = "0"
    loop = ["sh", "-c", _LOOP, "sh", " ".join(map(str, groups)), *command]
    with console.open("a") as output:
        subprocess.run(
            ["sh", "-c", 'setsid "$@" &', "sh", *loop], env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, timeout=30, check=True,
        )  # fmt: skip


def remove(machines: str, patience: float = 10) -> None:
    """Remove the groups of the machines whose name matches the pattern.

    Their being removable proves that no process is left in them.
    """
    if BOOTED_WITH_SYSTEMD:
        # systemd removes a service's group with its last process; one that was just between two boots of its
        # node, with no process to be found, must not come up again.
        run(["systemctl", "stop", f"{machines}-*.service"], check=False)
        return
    deadline = time.monotonic() + patience
    for root in _hierarchies():
        for folder in root.glob(machines):
            while not _remove(folder):
                if time.monotonic() > deadline:
                    raise LabError(f"processes do not end: see the files cgroup.procs below {folder}")
                time.sleep(0.05)


def _remove(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # still in use, or its last process just took it away
        for path, _, _ in os.walk(folder, topdown=False):
            os.rmdir(path)
    return not folder.exists()


def _hierarchies() -> list[Path]:
    return [
        Path(mount.target)
        for mount in mounts()
        if mount.kind == "cgroup2" or (mount.kind == "cgroup" and "name=systemd" in mount.options.split(","))
    ]
