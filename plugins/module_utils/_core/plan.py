# Private to the collection nodeward.calico: may change in any release.
"""What is to be done to a node and what was seen on it: the result of every trap's plan()."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from .verbs import Change

SEVERITIES = ("info", "low", "medium", "high")

# Words of consent: what a change may disrupt.
CONSENTS = {
    "kubelet_restart": "restart the kubelet",
    "uplink_change": "change the MTU of an uplink, or raise that of a tunnel",
    "pod_veth_change": "lower the MTU of running pods' links",
    "exporter_install": "install the distribution's node-exporter where a node has none",
    "etcd_restart": "restart members of etcd, one at a time, with quorum to spare",
    "etcd_outage": "restart etcd where it has a single member",
    "calico_rollout": "roll calico-node out anew",
    "calico_pod_restart": "restart calico-node on a node whose token is refused",
    "exporter_rollout": "roll a DaemonSet's node-exporter out anew",
}

# Those that harden.yml allows where harden_allow is not set (playbooks/parts/etcd.yml and calico.yml).
BY_DEFAULT = ("etcd_restart", "calico_rollout", "calico_pod_restart", "exporter_rollout")


@dataclass(frozen=True)
class Finding:
    """Something a person should know. All texts are sentences or values, none carries a secret.

    ``id`` is ``TRAP.what`` and stays the same between releases; ``severity`` is one of SEVERITIES;
    ``mended`` tells whether harden mends it; ``remedy`` is what to do or run.
    """

    id: str
    severity: str
    where: str
    observed: str
    wanted: str
    why: str
    remedy: str
    mended: bool = False

    @property
    def trap(self) -> str:
        return self.id.split(".", 1)[0]

    def describe(self) -> dict[str, str | bool]:
        """Shape the finding for results and reports."""
        return {"trap": self.trap, **asdict(self)}


@dataclass(frozen=True)
class Refusal:
    """Why a trap's policy cannot be applied to this node. A node with a refusal is not touched at all."""

    trap: str
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.trap}: {self.where}: {self.what}. {self.remedy}."

    def as_finding(self) -> Finding:
        return Finding(
            id=f"{self.trap}.refused",
            severity="high",
            where=self.where,
            observed=self.what,
            wanted="a node that harden can act on",
            why="harden refuses this node before it touches anything on it",
            remedy=self.remedy,
        )


@dataclass(frozen=True)
class Plan:
    """Changes in the order in which they are made, findings, and reasons not to start at all.

    ``missing`` names Python packages that the node has not, without which a trap could not do its part.
    """

    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    missing: tuple[str, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            changes=self.changes + other.changes,
            findings=self.findings + other.findings,
            refusals=self.refusals + other.refusals,
            missing=self.missing + other.missing,
        )

    def split(self, allow: Collection[str]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return (what may be done now, what waits for consent); ``allow`` holds words of consent."""
        now = tuple(c for c in self.changes if not c.reason.disrupts or c.reason.disrupts in allow)
        return now, tuple(c for c in self.changes if c not in now)

    def audit(self) -> list[Finding]:
        """Phrase the whole plan as findings, the worst first, so that audit and harden cannot disagree."""
        everything = [
            *(refusal.as_finding() for refusal in self.refusals),
            *(_as_finding(change) for change in self.changes),
            *self.findings,
        ]
        return sorted(everything, key=lambda finding: -SEVERITIES.index(finding.severity))


def _as_finding(change: Change) -> Finding:
    trap, word = change.reason.trap, change.reason.disrupts
    return Finding(
        id=f"{trap}.{change.target.replace(' ', ':')}",
        severity=change.reason.severity,
        where=change.target,
        observed="due" if change.follows else _shown(change.before),
        wanted="done" if change.follows else _shown(change.after),
        why=change.reason.why,
        remedy=f"ansible-playbook nodeward.calico.harden --tags {trap}" + (f" -e harden_allow={word}" if word else ""),
        mended=True,
    )


def _shown(value: str | None) -> str:
    return "absent" if value is None else value.strip()
