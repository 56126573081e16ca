# Private to the collection nodeward.calico: may change in any release.
"""What process_metrics has to say of node-exporters that it does not change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._core.plan import Finding
from .exporters import SWITCH, Exporter

_WANTED = f"a node-exporter with --{SWITCH}"
_UNSEEN = "nothing counts the node's threads against its limit, so they run out unseen (incident B)"


def none(trap: str, observed: str, hint: str) -> Finding:
    return Finding(
        id=f"{trap}.none",
        severity="info",  # others measure with other means
        where="the node",
        observed=observed,
        wanted=_WANTED,
        why=_UNSEEN,
        remedy="Have one (the distribution's package, the role prometheus.prometheus.node_exporter, or a DaemonSet), "
        f"then run again; {hint}",
    )


def package_kept(trap: str, package: str, theirs: Sequence[str]) -> Finding:
    return Finding(
        id=f"{trap}.package_kept",
        severity="low",
        where=f"package {package}",
        observed=f"somebody has configured it: {', '.join(theirs)}",
        wanted="absent",
        why="it was installed here, and what others gave it since would go with it",
        remedy=f"Put those files elsewhere and restore again, or remove it by hand (apt-get purge {package})",
    )


def in_a_pod(exporter: Exporter, trap: str) -> Iterator[Finding]:
    """Say what the DaemonSet of one should say: it is changed there, by the part of this trap that is the cluster's."""
    patch = (
        "harden does that with a way to the API server and the consent exporter_rollout; or set it in the chart's "
        "values, for kube-prometheus-stack by prometheus-node-exporter"
    )
    if exporter.is_pod and not exporter.is_on:
        yield Finding(
            id=f"{trap}.pod",
            severity="medium",
            where=exporter.where,
            observed=f"a pod's node-exporter without --{SWITCH}",
            wanted=_WANTED,
            why=_UNSEEN,
            remedy=f"Add the flag in its DaemonSet: {patch}.extraArgs",
        )
    if exporter.is_pod and not exporter.sees_host:
        yield Finding(
            id=f"{trap}.pod_without_host_pid",
            severity="medium",
            where=exporter.where,
            observed="a pod's node-exporter that sees other process ids than the node's",
            wanted="hostPID: true",
            why="since Linux 6.14 kernel.pid_max is told by namespace: it reports a limit of 4194304 that is none, and "
            "no alert on the share of the limit ever fires (kernel/pid.c)",
            remedy=f"Set it in its DaemonSet: {patch}.hostPID",
        )


def put_back(trap: str, path: str, why: str) -> Finding:
    return Finding(
        id=f"{trap}.put_back",
        severity="medium",
        where=path,
        observed=why.strip(),
        wanted=_WANTED,
        why="with the collector the exporter did worse, so everything was put back, and no run tries again",
        remedy=f"See journalctl of its unit, or raise the scrape timeout and {trap}_scrape_timeout; then remove {path} "
        "and run again",
    )


def turned_off(trap: str, exporter: Exporter) -> Finding:
    return Finding(
        id=f"{trap}.turned_off",
        severity="low",
        where=exporter.where,
        observed=f"--no-{SWITCH}",
        wanted=_WANTED,
        why=f"somebody turned it off, so it is left as it is: {_UNSEEN}",
        remedy="Take the flag away, then run again",
    )


def by_hand(trap: str, exporter: Exporter, what: str) -> Finding:
    return Finding(
        id=f"{trap}.by_hand",
        severity="medium",
        where=exporter.where,
        observed=what,
        wanted=_WANTED,
        why=f"its command line cannot be changed safely: {_UNSEEN}",
        remedy=f"Add --{SWITCH} where it is started, and restart it",
    )


def silent(trap: str, exporter: Exporter, why: str) -> Finding:
    return Finding(
        id=f"{trap}.silent",
        severity="medium",
        where=exporter.where,
        observed=why,
        wanted="its metrics, to compare them before and after",
        why="what a change would do to it could not be seen, so nothing was changed",
        remedy="See that it answers on the node itself (curl), or add the flag by hand where it asks for a password",
    )
