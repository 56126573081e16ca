"""Fleets of any size, as their nodes' results: made up, but shaped as the modules return them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.nodeward.calico.plugins.filter.report import report

TIME = "2026-11-26T043236Z"

# What somebody who owns a node, or a file name on it, could put into a report.
HOSTILE = (
    "</script><script>document.title='stolen'</script>",
    "<img src=x onerror=\"document.title='stolen'\">",
    '"><svg onload="document.title=\'stolen\'">',
    "' autofocus onfocus='document.title=1",
    "{{ lookup('pipe', 'id') }}",
    "<!--<script>",
    "]]>&lt;&#x3c;",
    "\u202eright to left\u2028\u2029",
    "\x1b[31m\x00\ud800",
    "__proto__",
)


def finding(of: str, severity: str, **parts: Any) -> dict[str, Any]:
    trap, _dot, what = of.partition(".")
    told = {
        "where": what.replace(":", " ", 1),
        "observed": "49152",
        "wanted": "4194304",
        "why": "every thread takes a process id; when they run out, nothing new can start (incident B)",
        "remedy": f"ansible-playbook nodeward.calico.harden --tags {trap}",
        "mended": True,
    }
    return {"id": of, "trap": trap, "severity": severity, **told, **parts}


def change(trap: str, target: str, before: str, after: str, disrupts: str = "") -> dict[str, Any]:
    return {"trap": trap, "target": target, "before": before, "after": after, "why": "because", "disrupts": disrupts}


PID_MAX = finding("pid_limits.sysctl:kernel.pid_max", "medium")
TUNNEL = finding("link_mtu.link:tunl0", "high", observed="1480", wanted="1430", why="large packets vanish (incident C)")
PROBES = finding("calico_probes.liveness", "medium", where="DaemonSet kube-system/calico-node", observed="1 s")
SPINS = finding("bird_watchdog.spins", "high", where="bird", observed="99 % of a core", wanted="below 85 %")
LOGINS = finding("pid_limits.logins_untouched", "info", mended=False)
CNI = finding("cni_token.life", "low", observed="9 h", wanted="12 h or more", mended=False)

UNREACHABLE = {
    "changed": False,
    "msg": "Failed to connect to the host via ssh: ssh: connect to host 10.0.0.9 port 22: No route to host",
    "unreachable": True,
}


def facts(number: int) -> dict[str, Any]:
    """Return the facts that charts are drawn from, different from node to node."""
    used = 400 + number * 37 % 9000 + (38000 if number % 97 == 5 else 0)
    binding = {"name": "kernel.pid_max", "limit": 49152, "used": used, "share": round(used / 49152, 4)}
    tunnel = {"name": "tunl0", "mtu": 1480 if number % 7 == 0 else 1430}
    return {
        "pid_limits": {"binding": binding, "limits": [binding]},
        "link_mtu": {"uplink": {"name": "eth0", "mtu": 1450 if number % 5 else 1500}, "tunnels": [tunnel]},
        "bird_watchdog": {"birds": [{"name": "bird", "share": 99.0 if number % 50 == 9 else number % 9 / 2}]},
        "cni_token": {},
    }


def result(number: int) -> dict[str, Any]:
    """Return what node_info says of a node: every third one is well, one in 83 is not reached."""
    if number % 83 == 11:
        return dict(UNREACHABLE)
    found = [
        PID_MAX,
        LOGINS,
        {**PID_MAX, "id": "pid_limits.sysctl:kernel.threads-max", "observed": str(90000 + number)},
    ]
    if number % 7 == 0:
        found.append(TUNNEL)
    if number % 50 == 9:
        found.append(SPINS)
    if number % 11 == 0:
        found.append(CNI)
    if number < 3:
        found.append(PROBES)
    of_the_node = facts(number)
    if number in (0, 1, 2):
        evidence = {"rtt_p99": {"8e9e05c52164694d": 0.8 + number}, "fsync_p99": 4.0 + 9 * number, "commit_p99": 12.5}
        of_the_node["etcd_timing"] = {"members": [{"name": f"etcd{number}", "evidence": evidence}]}
    return {
        "changed": False,
        "failed": False,
        "changes": [],
        "findings": found if number % 3 else [LOGINS],
        "facts": of_the_node,
    }


def model(nodes: int, names: Mapping[int, str] | None = None, kind: str = "audit") -> dict[str, Any]:
    """Return the model of a fleet; ``names`` are those of single nodes."""
    called = {number: (names or {}).get(number, f"node{number:04}") for number in range(nodes)}
    variables = {name: {"node_result": result(number)} for number, name in called.items()}
    return report(list(called.values()), variables, kind, False, time=TIME, limit="", tags=["all"], skip_tags=[])


def hostile(nodes: int = 12) -> dict[str, Any]:
    """Return a fleet in which every text that a node can choose is hostile."""
    made = model(nodes, dict(enumerate(HOSTILE)))
    for text, node in zip(HOSTILE * nodes, made["nodes"], strict=False):
        parts = dict.fromkeys(("where", "observed", "wanted", "why", "remedy"), text)
        node["findings"] = [finding(f"pid_limits.{text}", "high", **parts)]
        node["error"] = text
        node["facts"].setdefault("link_mtu", {})["uplink"] = {"name": text, "mtu": text}
        node["facts"]["etcd_timing"] = {"members": [{"name": text, "evidence": {"rtt_p99": {text: 1.5}}}]}
    made["cluster"]["findings"] = [finding(f"rules.{HOSTILE[0]}", "high", where=HOSTILE[1])]
    return made
