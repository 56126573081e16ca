# Private to the collection nodeward.calico: may change in any release.
"""What the timer of the trap etcd_defrag runs on a node: the same defragmentation as that of the playbook.

Each member's node runs it by itself. The lock in etcd keeps them apart, and a leader waits for the others. While
another member copies it answers nothing, so that the cluster is not well: that is waited for, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from .._core.errors import NodewardError
from .._core.host import Host, LocalHost
from . import defrag, seen
from .lock import LockTakenError
from .members import NotWellError
from .verdict import Policy

# Seconds that a turn is waited for, and between two looks.
PATIENCE, INTERVAL = 3600.0, 30.0


def main(arguments: Sequence[str]) -> int:
    """Defragment the members of this node as a file of JSON says; returns the exit status. Its output is the log."""
    try:
        with open(arguments[0], encoding="utf-8") as file:
            policy = Policy(**json.load(file), allow=True)
        for member in serve(LocalHost(run_command=_run), policy):
            sys.stdout.write(json.dumps(member) + "\n")
    except (NodewardError, OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def serve(host: Host, policy: Policy) -> list[dict[str, object]]:
    """Wait for this node's turn, then do it; returns what is told of each member. Raises NodewardError."""
    deadline = host.clock() + PATIENCE
    while True:
        # asked each time: who hands over makes one that waits the leader
        if host.clock() >= deadline or not _others_are_due(host, policy):
            try:
                members: list[dict[str, object]] = defrag.run(host, policy, check_mode=False)["members"]
                return members
            except (LockTakenError, NotWellError):  # that of another member takes its time
                if host.clock() >= deadline:
                    raise
        host.sleep(INTERVAL)


def _others_are_due(host: Host, policy: Policy) -> list[str]:
    return [name for found in seen.look(host) for name in defrag.due_before_leader(host, found, policy)]


def _run(command: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", check=False)
    return done.returncode, done.stdout, done.stderr
