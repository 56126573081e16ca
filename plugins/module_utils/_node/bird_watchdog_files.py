# Private to the collection nodeward.calico: may change in any release.
"""The files that trap bird_watchdog puts on a node: the program, its configuration, and its unit."""

from __future__ import annotations

import inspect
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from .._core.verbs import MANAGED_BY
from . import bird_watchdog_daemon, bird_watchdog_decision, bird_watchdog_io, bird_watchdog_reading
from .unit_sandbox import SANDBOX

UNIT = "nodeward-bird-watchdog.service"
DAEMON = "/usr/local/lib/nodeward/bird_watchdog.py"
CONFIG = "/etc/nodeward/bird_watchdog.json"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
KEPT = "/run/nodeward-bird-watchdog/kills.jsonl"
METRICS = "nodeward_bird_watchdog.prom"

# The program, in this order, and what they have in their heads only because they are modules here.
PARTS = (bird_watchdog_decision, bird_watchdog_reading, bird_watchdog_io, bird_watchdog_daemon)
_OF_MODULES = re.compile(r"^from (?:__future__|\.\w+) import (?:\([^)]*\)|[^(\n]*)\n", re.MULTILINE)

_UNIT = """\
# {managed_by}
[Unit]
Description=Kills a BIRD of Calico that spins

[Service]
Type=notify
ExecStart={python} -I -S {daemon} {config}
ExecReload=/bin/kill -HUP $MAINPID
{metrics}Restart=always
RestartSec=5
WatchdogSec=60
LogsDirectory=nodeward-bird-watchdog
LogsDirectoryMode=0750
RuntimeDirectory=nodeward-bird-watchdog
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
UMask=0027
MemoryMax=64M
OOMPolicy=continue

# to kill, to look into a process in a container, and to write where node-exporter's user owns the folder
CapabilityBoundingSet=CAP_KILL CAP_SYS_PTRACE CAP_PERFMON CAP_DAC_OVERRIDE
{sandbox}SystemCallFilter=@system-service pidfd_open pidfd_send_signal perf_event_open

[Install]
WantedBy=multi-user.target
"""


def texts(wanted: Mapping[str, Any], folder: str, python: str) -> dict[str, str]:
    """Return the files by their paths, in the order in which they are written.

    ``wanted`` are values of the configuration, ``folder`` is where metrics go, '' for none.
    """
    metrics = posixpath.join(folder, METRICS) if folder else ""
    unit = _UNIT.format(
        managed_by=MANAGED_BY,
        sandbox=SANDBOX,
        python=python,
        daemon=DAEMON,
        config=CONFIG,
        metrics=f"ExecStopPost=-/bin/rm -f {metrics} {metrics}.new\nReadWritePaths=-{folder}\n" if folder else "",
    )
    return {
        DAEMON: f"# {MANAGED_BY}\n{program()}",
        CONFIG: json.dumps({**wanted, "metrics": metrics, "kept": KEPT}, indent=1) + "\n",
        UNIT_FILE: unit,
    }


def program() -> str:
    """Return the daemon as one file that needs no other: its parts, of which only the first says __future__."""
    first, *others = map(inspect.getsource, PARTS)
    return "\n\n".join([first, *(_OF_MODULES.sub("", other) for other in others)])
