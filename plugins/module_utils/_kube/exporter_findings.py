# Private to the collection nodeward.calico: may change in any release.
"""What a person should know of DaemonSets that run node-exporter; pure."""

from __future__ import annotations

from dataclasses import dataclass

from .._core.plan import Finding
from .objects import Ref

TRAP = "process_metrics"
CONSENT = "exporter_rollout"

# The annotation of a DaemonSet that keeps why it was put back.
NOTE = f"nodeward.calico/{TRAP}.put_back"

_BLIND = "nothing counts the nodes' threads against their limit, so they run out unseen (incident B)"


@dataclass(frozen=True)
class Lack:
    """One thing that a DaemonSet has not: its finding, and the value of the chart prometheus-node-exporter for it."""

    name: str
    severity: str
    observed: str
    wanted: str
    why: str
    value: str


PROCESSES = Lack(
    "without_processes",
    "medium",
    "a node-exporter without --collector.processes",
    "--collector.processes",
    _BLIND,
    "extraArgs: [--collector.processes]",
)
HOST_PID = Lack(
    "without_host_pid",
    "medium",
    "pods that see other process ids than their node's",
    "hostPID: true",
    "since Linux 6.14 kernel.pid_max is told by namespace: they report a limit of 4194304 that is none, and no alert "
    "on the share of the limit ever fires (kernel/pid.c)",
    "hostPID: true",
)
TEXTFILE = Lack(
    "without_textfile",
    "low",
    "no folder of the node for its textfile collector",
    "a mounted folder, and --collector.textfile.directory",
    "what others measure on the node, as bird_watchdog does, never reaches Prometheus",
    "extraHostVolumeMounts and extraArgs: [--collector.textfile.directory=...]",
)


def lacking(where: str, lack: Lack, mended: bool) -> Finding:
    at_the_source = f"in the chart's values prometheus-node-exporter, {lack.value}"
    harden = f"ansible-playbook nodeward.calico.harden --tags {TRAP} -e harden_allow={CONSENT}"
    return Finding(
        id=f"{TRAP}.{lack.name}",
        severity=lack.severity,
        where=where,
        observed=lack.observed,
        wanted=lack.wanted,
        why=lack.why,
        remedy=f"{harden}; to last, {at_the_source}"
        if mended
        else f"Set it where the DaemonSet is written: {at_the_source}",
        mended=mended,
    )


def turned_off(where: str) -> Finding:
    return Finding(
        id=f"{TRAP}.turned_off",
        severity="low",
        where=where,
        observed="--no-collector.processes",
        wanted="--collector.processes",
        why=f"somebody turned it off, so the DaemonSet is left as it is: {_BLIND}",
        remedy="Take the flag away where the DaemonSet is written, then run again",
    )


def put_back(ref: Ref, why: str) -> Finding:
    namespace, _slash, name = ref.name.partition("/")
    return Finding(
        id=f"{TRAP}.put_back",
        severity="medium",
        where=ref.where,
        observed=why,
        wanted="--collector.processes",
        why="with the collector the exporter did worse, so everything was put back, and no run tries again",
        remedy=f"Raise the scrape timeout and {TRAP}_scrape_timeout, then kubectl --namespace {namespace} annotate "
        f"daemonset {name} {NOTE}- and run again",
    )


def by_hand(where: str, command: str) -> Finding:
    return Finding(
        id=f"{TRAP}.by_hand",
        severity="medium",
        where=where,
        observed=f"it is started by {command}, which hands no words of args on",
        wanted="--collector.processes",
        why=f"its command line cannot be changed safely: {_BLIND}",
        remedy="Add the flag, and hostPID: true, where the DaemonSet is written",
    )


def not_allowed() -> Finding:
    return Finding(
        id=f"{TRAP}.not_allowed",
        severity="info",
        where="DaemonSets of all namespaces",
        observed="not looked at: the user may not list them",
        wanted='the verb "list" on daemonsets.apps',
        why="a node-exporter that a DaemonSet runs is changed there, and nowhere else",
        remedy="Give the user that right, or use another kubeconfig",
    )
