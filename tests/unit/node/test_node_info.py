"""The module node_info itself: what it refuses before it looks at anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

MODULE = "ansible_collections.nodeward.calico.plugins.modules.node_info"
TARGET = {"node": "b", "over": "eth0", "address": "192.0.2.2", "mtu": 1500}


def refused(arguments: dict[str, Any]) -> str:
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}  # the collection's is pytest's alone
    command = [sys.executable, "-m", MODULE]
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env={**os.environ, **paths})
    told = json.loads(ran.stdout)
    assert told["failed"] is True
    return str(told["msg"])


TRAPS = "pid_limits, link_mtu, bird_watchdog, cni_token, etcd_timing, etcd_defrag, process_metrics"
NOTHING: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, f"one of the following is required: {TRAPS}, probe_paths"),
    ("paths that nobody measures", {"probe_paths": False, "paths_to": [TARGET]},
     f"probe_paths is False but any of the following are missing: {TRAPS}"),
    ("paths without the word", {"pid_limits": {}, "paths_to": [TARGET]},
     "missing parameter(s) required by 'paths_to': probe_paths"),
    ("paths alone", {"paths_to": [TARGET]}, f"one of the following is required: {TRAPS}, probe_paths"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), [case[1:] for case in NOTHING], ids=[case[0] for case in NOTHING])
def test_what_asks_for_nothing_is_refused(arguments, told):
    assert refused(arguments) == told
