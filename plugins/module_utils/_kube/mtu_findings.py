# Private to the collection nodeward.calico: may change in any release.
"""What a person should know of Calico's MTU and calico_mtu does not mend itself; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core.plan import Finding
from . import places
from .install import Calico
from .objects import FieldChange
from .port import Item

TRAP = "calico_mtu"
_NAMES = 5
_IPV4_LEAST, _IPV6_LEAST = 576, 1280  # RFC 791, RFC 8200


def nothing_seen(calico: Calico) -> Finding:
    return Finding(
        id=f"{TRAP}.nothing_seen",
        severity="medium",
        where=f"{len(calico.nodes)} nodes",
        observed="no uplink was seen on any of them",
        wanted="the uplinks of the nodes, which link_mtu sees",
        why="without them nothing can be said about Calico's MTU",
        remedy="Run it together with link_mtu (harden.yml does), on nodes with python3-pyroute2",
    )


def encapsulation_unknown() -> Finding:
    """Say that nothing tells which encapsulation the cluster uses, so that no MTU can be told to fit."""
    return Finding(
        id=f"{TRAP}.encapsulation_unknown",
        severity="medium",
        where="IP pools",
        observed="none, neither in crd.projectcalico.org/v1 nor in projectcalico.org/v3",
        wanted="at least one, which says what is added to each packet",
        why="without it a larger MTU may be too large for the tunnel, and full packets vanish (incident C)",
        remedy="Nothing was changed. Where Calico's datastore is etcd, set the MTU by hand: the smallest uplink minus "
        "20 for IP-in-IP, 50 for VXLAN, 60 for WireGuard",
    )


def felix_unknown() -> Finding:
    """Say the same where nothing tells whether WireGuard or eBPF is enabled."""
    return replace(
        encapsulation_unknown(),
        where="FelixConfiguration.projectcalico.org default",
        observed="there is none, or the user may not read it",
        wanted="one that says whether WireGuard and eBPF are enabled",
        remedy="Nothing was changed. Give the user the right to get felixconfigurations.projectcalico.org",
    )


def too_small(calico: Calico, uplink: int, overhead: int) -> Finding:
    return Finding(
        id=f"{TRAP}.uplink_too_small",
        severity="high",
        where=calico.ref.where,
        observed=f"the smallest uplink has {uplink}, the encapsulation adds {overhead}",
        wanted=f"uplinks of {1280 + overhead} or more",
        why="IPv6 needs 1280, so nothing was changed",
        remedy="Raise the MTU of that uplink (link_mtu_uplink_mtu)",
    )


def odd_nodes(odd: Sequence[Any], present: int | None, wanted: int) -> Iterator[Finding]:
    """Name the few nodes that alone would have the MTU of all lowered."""
    if odd and (not present or present > wanted):
        yield Finding(
            id=f"{TRAP}.odd_nodes",
            severity="high",
            where=", ".join(f"{each.node} ({each.name} {each.mtu})" for each in odd[:_NAMES]) + _more(len(odd)),
            observed="smaller uplinks than on all other nodes",
            wanted="the same as on the others",
            why=f"they are less than 5 % of the nodes, so Calico's MTU was not lowered to {wanted} for them; large "
            "packets to and from their pods vanish (incident C)",
            remedy="Raise the MTU of their uplinks (link_mtu_uplink_mtu), or lower Calico's by hand",
        )


def partial(unseen: Sequence[str], nodes: int) -> Finding:
    return Finding(
        id=f"{TRAP}.partial_view",
        severity="info",
        where=", ".join(unseen[:_NAMES]) + _more(len(unseen)),
        observed=f"not seen in this run: {len(unseen)} of {nodes} nodes",
        wanted="all nodes of the cluster",
        why="with part of the fleet seen an MTU is only ever lowered",
        remedy="Run without --limit, on an inventory that has all nodes; of one in this run the report says why "
        "its uplink was not seen (unreachable, failed, no pyroute2)",
    )


def below_least(where: str, present: int) -> Finding:
    """Tell of a value that no path needs; the kernel gives a link less than 68 no IPv4, and none at all to a veth."""
    return Finding(
        id=f"{TRAP}.below_least",
        severity="high" if present < _IPV4_LEAST else "medium",
        where=where,
        observed=str(present),
        wanted=f"{_IPV6_LEAST} or more",
        why=f"IPv6 needs {_IPV6_LEAST}, and IPv4 {_IPV4_LEAST} at every host; below 68 no pod can be made at all",
        remedy=f"Harden with {TRAP}_raise_others: true, or set it by hand",
    )


def smaller(where: str, present: int, most: int) -> Finding:
    """Say that pods could send larger packets: who chose the value may have known of a path that carries less."""
    return Finding(
        id=f"{TRAP}.smaller",
        severity="info",
        where=where,
        observed=str(present),
        wanted=f"{most}, where every path between the nodes carries it",
        why="every uplink of the cluster carries larger packets; whoever set it may have known of a path between the "
        "nodes that does not, so it is left as it is",
        remedy="Measure the paths (audit.yml -e audit_probe_paths=true); where they carry it, harden with "
        "calico_mtu_raise_others: true",
    )


def no_setting(calico: Calico, pinned: Mapping[str, str | None]) -> Finding:
    shown = ", ".join(f"{name}={value}" for name, value in pinned.items() if value) or "nothing in the environment"
    return Finding(
        id=f"{TRAP}.no_setting",
        severity="medium",
        where=f"ConfigMap {calico.namespace}/calico-config",
        observed=f"no veth_mtu in it; {shown}",
        wanted="one setting for tunnel and pods",
        why="before Calico v3.2 the manifest has the MTU of the tunnel in the environment of calico-node and that of "
        "pods in cni_network_config, 1500 by default: larger than the tunnel",
        remedy="Set mtu in cni_network_config and FELIX_IPINIPMTU to uplink - 20 by hand (with kubespray "
        "calico_veth_mtu and calico_mtu), or upgrade Calico",
    )


def undetected(calico: Calico, missed: Sequence[str], is_smaller: bool) -> Iterator[Finding]:
    """Tell of uplinks (``is_smaller``: than 1460) that the detection passes over, where there is nothing to set."""
    if missed:
        yield Finding(
            id=f"{TRAP}.undetected",
            severity="high" if is_smaller else "medium",
            where=f"ConfigMap {calico.namespace}/calico-config",
            observed=f"no veth_mtu in it, and Calico's detection passes over {', '.join(missed[:_NAMES])}",
            wanted="an MTU of tunnel and pods that the uplinks carry",
            why="the detection takes 1460 or another link's MTU; full packets vanish where the uplink carries less "
            "(incident C)",
            remedy="Set it in the source of the DaemonSet: with kubespray calico_mtu and calico_veth_mtu, else the "
            "names of the uplinks in FELIX_MTUIFACEPATTERN",
        )


def unreadable(where: str, value: object) -> Finding:
    return Finding(
        id=f"{TRAP}.unreadable",
        severity="medium",
        where=where,
        observed=str(value)[:40],
        wanted="a whole number",
        why="Calico takes nothing else for an MTU; what it makes of this nobody can tell, so it is left as it is",
        remedy="Set it to a number, or to 0 for Calico's own detection",
    )


def dead_setting(name: str, variable: str) -> Finding:
    return Finding(
        id=f"{TRAP}.dead_setting",
        severity="info",
        where=f"FelixConfiguration default {name}",
        observed=f"set, and without effect: {variable} is in the environment of calico-node",
        wanted="one place that says it",
        why="Felix takes the environment before the datastore, and 0 there means automatic",
        remedy=f"Remove {name} from the FelixConfiguration",
    )


def not_restarted(calico: Calico, due: FieldChange, tools: Sequence[str]) -> Finding:
    """Say that veth_mtu is there, and that the pods are not restarted for it: their template is a tool's."""
    return Finding(
        id=f"{TRAP}.not_restarted",
        severity="medium",
        where=calico.ref.where,
        observed=f"not restarted for veth_mtu {due.after}: {' and '.join(tools)} keeps its template",
        wanted="pods that have started with it",
        why=due.why,
        remedy=f"Unless that was done since: kubectl --namespace {calico.namespace} rollout restart daemonset "
        "calico-node, or set the annotation nodeward.calico/veth-mtu of the template in the tool's source",
    )


def old_pods(kept: Mapping[str, Mapping[str, int]], lowered: bool) -> Iterator[Finding]:
    """Say which pods go on with the MTU that they were made with."""
    count_all = sum(sum(each.values()) for each in kept.values())
    owners = [f"{namespace}/{owner} ({count})" for namespace, each in kept.items() for owner, count in each.items()]
    if owners:
        yield Finding(
            id=f"{TRAP}.old_pods",
            severity="medium" if lowered else "info",
            where=", ".join(owners[:_NAMES]) + _more(len(owners)),
            observed=f"{count_all} running pods keep the MTU they were made with",
            wanted="the new one",
            why="the CNI sets the MTU of a pod once, when the pod is made; nothing here restarts users' pods",
            remedy="Recreate them when it suits (kubectl rollout restart), or lower their links in place: "
            "harden.yml --tags link_mtu -e harden_allow=pod_veth_change",
        )


def by_owner(pods: Iterable[Item]) -> dict[str, dict[str, int]]:
    """Count the pods with a network of their own that run, by namespace and owner."""
    counted: dict[str, Counter[str]] = {}
    for pod in pods:
        if places.get(pod, "/spec/hostNetwork") or places.get(pod, "/status/phase") not in ("Running", "Pending"):
            continue
        counted.setdefault(str(pod["metadata"]["namespace"]), Counter())[_owner(pod)] += 1
    return {namespace: dict(sorted(owners.items())) for namespace, owners in sorted(counted.items())}


def _owner(pod: Item) -> str:
    metadata = pod["metadata"]
    owner = next(iter(metadata.get("ownerReferences") or []), None)
    if owner is None:
        return f"Pod/{metadata['name']}"
    hashed = (metadata.get("labels") or {}).get("pod-template-hash")
    if owner["kind"] == "ReplicaSet" and hashed and str(owner["name"]).endswith(f"-{hashed}"):
        return f"Deployment/{str(owner['name'])[: -len(hashed) - 1]}"
    return f"{owner['kind']}/{owner['name']}"


def _more(count: int) -> str:
    return f" and {count - _NAMES} more" if count > _NAMES else ""
