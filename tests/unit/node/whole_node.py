"""The node of incident B as files below a folder, and what a run of all its traps is given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request

from tests.unit.node.cgroup_trees import V2_SYSTEMD

PID_MAX = "/proc/sys/kernel/pid_max"
FILES = {
    **V2_SYSTEMD,
    PID_MAX: "49152\n",
    "/proc/sys/kernel/threads-max": "192731\n",
    "/proc/meminfo": "MemTotal:       24684100 kB\n",
    "/proc/712/cmdline": "/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml\0",
    "/sys/devices/system/cpu/possible": "0-47\n",
    "/var/lib/kubelet/config.yaml": "maxPods: 110\npodPidsLimit: 1024\n",
    "/etc/sysctl.conf": "kernel.pid_max = 49152\n",
    "/usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
}
DEFAULTS = {"pid_max": 4194304, "threads_max": "auto", "max_pods": None, "pids_per_pod": None, "exact": False,
            "system_reserved_pids": 0, "kube_reserved_pids": 0}  # fmt: skip


class RootHost(LocalHost):
    """Below a folder everybody is root, and time passes only while something waits."""

    now = 0.0

    def clock(self) -> float:
        return self.now

    def is_root(self) -> bool:
        return True

    def page_size(self) -> int:
        return 4096

    def machine(self) -> str:
        return "x86_64"

    def send_http(self, _request: Request) -> Answer:
        """Say that all is well."""
        return Answer(200)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def host(tmp_path: Path) -> RootHost:
    for path, text in FILES.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    (tmp_path / "etc/sysctl.d").mkdir()
    (tmp_path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    (tmp_path / "run").mkdir()
    return RootHost(str(tmp_path))


def params(**policy: Any) -> dict[str, Any]:
    return {
        "link_mtu": None,
        "bird_watchdog": None,
        "cni_token": None,
        "pid_limits": {**DEFAULTS, **policy},
        "tags": ["all"],
        "skip_tags": [],
        "allow": [],
        "state": "hardened",
    }


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything below a folder, byte for byte and with its times."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        state = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path)] = (state.st_mode, state.st_mtime_ns, content)
    return found
