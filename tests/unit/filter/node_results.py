"""What a node returned: all well, changed, found something, refused, or not reached."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodeward.calico.plugins.filter.report import report

OK: dict[str, Any] = {
    "changed": False,
    "failed": False,
    "changes": [],
    "pending": [],
    "findings": [],
    "facts": {"pid_limits": {"binding": {"name": "kernel.pid_max", "limit": 49152, "used": 98, "share": 0.002}}},
}
CHANGE = {
    "trap": "pid_limits",
    "target": "sysctl kernel.pid_max",
    "before": "49152",
    "after": "4194304",
    "why": "because",
    "disrupts": "",
}
FILE = {
    **CHANGE,
    "target": "file /etc/sysctl.d/99-zz-nodeward-pid_limits.conf",
    "before": None,
    "after": "kernel.pid_max = 1\n",
}
CHANGED = {**OK, "changed": True, "changes": [CHANGE, FILE]}
PENDING = {**OK, "pending": [{**FILE, "target": "file /etc/kubelet", "disrupts": "kubelet_restart"}]}
FINDING = {
    "id": "pid_limits.in_use",
    "trap": "pid_limits",
    "severity": "high",
    "where": "kernel.pid_max",
    "observed": "46210 of 49152 threads (94%)",
    "wanted": "below 50%",
    "why": "because",
    "remedy": "Stop it",
    "mended": False,
}
MENDED = {**FINDING, "id": "pid_limits.sysctl:kernel.pid_max", "where": "sysctl kernel.pid_max", "mended": True}
FOUND = {**OK, "findings": [{**FINDING, "severity": "info", "id": "pid_limits.read_only"}, FINDING]}

# As ansible-core 2.17 to 2.19 returns it.
UNREACHABLE = {
    "changed": False,
    "msg": "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.9 port 22:\r\n No route to host",
    "unreachable": True,
}
REFUSED = {
    "changed": False,
    "failed": True,
    "msg": "kernel.pid_max: 5 is outside of what this kernel accepts.\n  Set pid_limits_pid_max.",
}
FAILED = {"failed": True, "changed": False, "msg": "the kubelet does not answer"}


def model_of(results: dict[str, dict[str, Any]], kind: str = "harden", check_mode: bool = False) -> dict[str, Any]:
    variables = {name: {"node_result": result} for name, result in results.items()}
    return report(list(results), variables, kind, check_mode)
