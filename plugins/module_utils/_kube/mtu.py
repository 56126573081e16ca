# Private to the collection nodeward.calico: may change in any release.
"""Trap calico_mtu: Calico's own MTU is larger than what the smallest uplink leaves (incident C); pure.

One value holds for the whole cluster: the smallest uplink minus what the largest enabled encapsulation adds. It is set
where it takes effect: with the manifest in calico-config (its environment wins over the FelixConfiguration), with
the operator in the Installation, and in the FelixConfiguration for what neither pins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.plan import Refusal
from .._node.calico_links import FALLBACK_MTU, OVERHEADS
from . import install, mtu_detection, mtu_findings, mtu_pins, node_names, objects, places, probe_findings, restart
from .install import Calico
from .objects import ClusterPlan, FieldChange, Ref

TRAP = restart.TRAP
OPERATOR_MTU = "/spec/calicoNetwork/mtu"
# Nodes fewer than this share of those seen never drag the value of all down.
ODD = 0.05
# The least that IPv6 needs.
LEAST = 1280
# What an eBPF dataplane adds where it forwards to another node (docs.tigera.io, Configure MTU).
_EBPF = 50

# What FelixConfiguration can say of a tunnel, the environment that would win over it, and the encapsulation.
_FELIX = (
    ("ipipMTU", "FELIX_IPINIPMTU", "IP-in-IP"),
    ("vxlanMTU", "FELIX_VXLANMTU", "VXLAN"),
    ("wireguardMTU", "FELIX_WIREGUARDMTU", "WireGuard"),
    ("vxlanMTUV6", "FELIX_VXLANMTUV6", "VXLAN over IPv6"),
    ("wireguardMTUV6", "FELIX_WIREGUARDMTUV6", "WireGuard over IPv6"),
)

_MTU = re.compile("[0-9]{1,5}")
_WHY = "a full packet of a pod is larger than what the smallest uplink carries, and vanishes (incident C)"
_WHY_UP = "pods send smaller packets than every uplink of the cluster carries"
_WHY_PATTERN = f"Calico's detection passes over the uplink, and takes {FALLBACK_MTU} or another link's MTU"


@dataclass(frozen=True)
class Uplink:
    """The uplink of one node as it was seen there; ``node`` and ``address`` are the inventory's."""

    node: str
    name: str
    mtu: int
    address: str = ""


@dataclass(frozen=True)
class Policy:
    """What the nodes returned, whether the pods are restarted by this module (else by calico_probes), whether a
    smaller value that somebody else chose is raised.
    """

    uplinks: tuple[Uplink, ...] = ()
    rollout: bool = True
    raise_others: bool = False


def encapsulations(calico: Calico) -> dict[str, int]:
    """Return what is enabled in IP pools and FelixConfiguration, and the bytes that each adds."""
    found: dict[str, int] = {}
    for pool in calico.pools:
        v6 = ":" in str(places.get(pool, "/spec/cidr"))
        # v2.6 has ipip.enabled
        if _on(places.get(pool, "/spec/ipipMode")) or _true(places.get(pool, "/spec/ipip/enabled")):
            found["IP-in-IP"] = OVERHEADS["ipip", 4]
        if _on(places.get(pool, "/spec/vxlanMode")):
            found["VXLAN over IPv6" if v6 else "VXLAN"] = OVERHEADS["vxlan", 6 if v6 else 4]
    if _felix_enables(calico, "wireguardEnabled"):
        found["WireGuard"] = OVERHEADS["wireguard", 4]
    if _felix_enables(calico, "wireguardEnabledV6"):
        found["WireGuard over IPv6"] = OVERHEADS["wireguard", 6]
    if _felix_enables(calico, "bpfEnabled"):
        found["eBPF"] = _EBPF
    return found


def _on(mode: Any) -> bool:
    return str(mode or "never").lower() != "never"


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes", "on")


def _felix_enables(calico: Calico, field: str) -> bool:
    """Tell whether Felix is told to: its environment wins over the FelixConfiguration."""
    pinned = mtu_detection.pinned(calico, f"FELIX_{field.upper()}")
    return _true(places.get(calico.felix, f"/spec/{field}") if pinned is None else pinned)


@dataclass(frozen=True)
class View:
    """What was seen of the fleet: ``odd`` are the few with less than all others, ``rest`` is the least of those."""

    unseen: tuple[str, ...]
    smallest: int
    odd: tuple[Uplink, ...]
    rest: int


def view(calico: Calico, uplinks: Sequence[Uplink]) -> View:
    """Judge what was seen against the API's list of nodes; ``uplinks`` is not empty."""
    seen = {node for _uplink, node in _pairs(calico, uplinks)}
    unseen = [str(node["metadata"]["name"]) for place, node in enumerate(calico.nodes) if place not in seen]
    ordered = sorted(uplinks, key=lambda each: each.mtu)
    odd: list[Uplink] = []
    for mtu in sorted({each.mtu for each in ordered}):
        group = [each for each in ordered if each.mtu == mtu]
        if len(odd) + len(group) >= ODD * len(ordered):
            break
        odd += group
    return View(tuple(unseen), ordered[0].mtu, tuple(odd), ordered[len(odd)].mtu)


def of_nodes(calico: Calico, uplinks: Sequence[Uplink]) -> list[Uplink]:
    """Return the uplinks of hosts that are nodes of this cluster: those of others have no say in its MTU."""
    ours = {uplink for uplink, _node in _pairs(calico, uplinks)}
    return [each for place, each in enumerate(uplinks) if place in ours]


def _pairs(calico: Calico, uplinks: Sequence[Uplink]) -> set[tuple[int, int]]:
    return node_names.pairs([(each.node, each.address) for each in uplinks], calico.nodes)


# --- plan -------------------------------------------------------------------------------------------


def plan(calico: Calico, policy: Policy) -> ClusterPlan:
    """Decide what Calico's MTU needs; pure, so that captured objects give the same plan anywhere."""
    if not policy.uplinks:
        return ClusterPlan(findings=(mtu_findings.nothing_seen(calico),))
    uplinks = of_nodes(calico, policy.uplinks)
    if not uplinks:
        return ClusterPlan(refusals=(_of_another_cluster(calico, policy.uplinks),))
    policy = replace(policy, uplinks=tuple(uplinks))
    if not calico.pools:
        return ClusterPlan(findings=(mtu_findings.encapsulation_unknown(),))
    if calico.felix is None and calico.group == install.V3:
        return ClusterPlan(findings=(mtu_findings.felix_unknown(),))
    seen, adds = view(calico, policy.uplinks), encapsulations(calico)
    overhead = max(adds.values(), default=0)
    if seen.rest - overhead < LEAST:
        return ClusterPlan(findings=(mtu_findings.too_small(calico, seen.rest, overhead),))
    changes = [*_setting(calico, policy, seen, overhead), *_by_felix(calico, seen.rest, adds)]
    findings = [*mtu_findings.odd_nodes(seen.odd, _present(calico), seen.smallest - overhead), *_findings(calico, seen)]
    if not any(change.place in (restart.VETH_MTU, OPERATOR_MTU) for change in changes):
        findings += _too_little(calico, seen, overhead)
    if not changes and not _has_setting(calico) and _present(calico) == 0:
        missed = mtu_detection.missed(calico, _names_of(policy.uplinks))
        findings += mtu_findings.undetected(calico, missed, seen.rest < FALLBACK_MTU)
    veth = [int(change.after) for change in changes if change.place == restart.VETH_MTU]
    most = {variable: seen.rest - adds[each] for _name, variable, each in _FELIX if each in adds}
    findings += mtu_pins.of(calico, veth[0] if veth else _present(calico), most)
    return _with_restart(calico, policy, changes, findings)


def _of_another_cluster(calico: Calico, uplinks: Sequence[Uplink]) -> Refusal:
    names = ", ".join(sorted(str(node["metadata"]["name"]) for node in calico.nodes)[:3])
    return Refusal(
        trap=TRAP,
        what=f"none of the hosts that were seen ({', '.join(each.node for each in uplinks[:3])}) is a node of this "
        f"cluster ({names}), so nothing of Calico was changed",
        where="the kubeconfig",
        remedy="Name the kubeconfig and context of their cluster (harden_api_kubeconfig, harden_api_context), or "
        f"leave this out (--skip-tags {TRAP},calico_probes)",
    )


def _with_restart(calico: Calico, policy: Policy, wanted: list[FieldChange], findings: list[Any]) -> ClusterPlan:
    """Leave what a tool would put back at once, object by object, and restart the pods where that is needed."""
    read = captured(calico)
    changes, told = probe_findings.kept_by_tools(TRAP, read, wanted)
    veth = [restart.demanded(calico, change.after) for change in changes if change.place == restart.VETH_MTU]
    changes = [*changes, *veth]
    due = None if calico.operator else restart.due(calico, *(change.after for change in veth))
    tools = install.reconcilers(calico.daemon_set)
    if due and tools:
        told.append(mtu_findings.not_restarted(calico, due, tools))
    elif due and policy.rollout:
        changes.append(due)
        told += probe_findings.kept_by_tools(TRAP, read, [due])[1]
    return ClusterPlan(
        tuple(changes), (*findings, *told), captured={ref.path: read[ref.path] for ref in objects.refs(changes)}
    )


def captured(calico: Calico) -> dict[str, Any]:
    """Return the objects that this trap changes, by path."""
    pairs = [
        (calico.ref, calico.daemon_set),
        (objects.config_map(calico.namespace, "calico-config"), calico.config),
        (calico.felix_ref, calico.felix),
    ]
    if calico.operator:
        pairs.append((calico.installation_ref, calico.installation))
    return {ref.path: item for ref, item in pairs if item}


def _present(calico: Calico) -> int | None:
    """Return the MTU that is set for pods, 0 for Calico's own detection, None where none can be set or told."""
    value = (
        (places.get(calico.installation, OPERATOR_MTU) or 0)
        if calico.operator
        else places.get(calico.config, restart.VETH_MTU)
    )
    if value is None and mtu_detection.is_known(calico):
        # no veth_mtu, as with kubespray: what its calico_mtu is not given for, Calico finds itself
        pinned = [mtu_detection.pinned(calico, variable) for _name, variable, _encapsulation in _FELIX[:3]]
        return 0 if all(each in (None, "0") for each in pinned) else None
    return int(value) if value is not None and _MTU.fullmatch(str(value)) else None


def _setting_ref(calico: Calico) -> tuple[Ref, str]:
    if calico.operator:
        return calico.installation_ref, OPERATOR_MTU
    return objects.config_map(calico.namespace, "calico-config"), restart.VETH_MTU


def _setting(calico: Calico, policy: Policy, seen: View, overhead: int) -> Iterator[FieldChange]:
    present = _present(calico)
    if present is None:
        return
    if present == 0:
        yield from _detected(calico, policy, seen, overhead)
    elif present > seen.rest - overhead:
        yield _set(calico, seen.rest - overhead, _WHY)
    elif _is_smaller(calico, seen, overhead) and (policy.raise_others or _is_ours(calico)):
        yield _set(calico, seen.smallest - overhead, _WHY_UP)


def _is_smaller(calico: Calico, seen: View, overhead: int) -> bool:
    """Tell whether every uplink of the cluster carries more; with part of it seen nobody knows."""
    present = _present(calico) or 0
    return 0 < present < seen.smallest - overhead and not seen.unseen


def _too_little(calico: Calico, seen: View, overhead: int) -> Iterator[Any]:
    """Tell of a small value that stays."""
    ref, place = _setting_ref(calico)
    where, present = f"{ref.where} {place}", _present(calico) or 0
    if 0 < present < LEAST:
        yield mtu_findings.below_least(where, present)
    elif _is_smaller(calico, seen, overhead):
        yield mtu_findings.smaller(where, present, seen.smallest - overhead)


def _is_ours(calico: Calico) -> bool:
    """Tell whether we have set the value that is there: whoever else did may know of a path that carries less."""
    ref, place = _setting_ref(calico)
    value = places.get(captured(calico)[ref.path], place)
    return value is not None and calico.ours.get(f"{ref.where} {place}") == value


def _set(calico: Calico, mtu: int, why: str) -> FieldChange:
    ref, place = _setting_ref(calico)
    before = places.get(captured(calico)[ref.path], place)
    return FieldChange(TRAP, ref, place, before, mtu if calico.operator else str(mtu), why)


def _detected(calico: Calico, policy: Policy, seen: View, overhead: int) -> Iterator[FieldChange]:
    """Leave Calico's own detection alone where it sees the uplinks, else tell it their names, or set a value."""
    missed = mtu_detection.missed(calico, _names_of(policy.uplinks))
    if not missed:
        return
    wanted = seen.rest - overhead
    if seen.unseen and wanted > FALLBACK_MTU - overhead:
        return  # it takes the fallback at least on those: with part of the fleet seen nothing is raised
    ref = calico.felix_ref
    if (
        (mtu_detection.is_known(calico) or not calico.version)
        and calico.felix is not None
        and mtu_detection.pinned(calico, "FELIX_MTUIFACEPATTERN") is None
    ):
        before = places.get(calico.felix, mtu_detection.PATTERN)
        # the one of before stays whole: with other anchors it would match less
        pattern = f"(?:{before or mtu_detection.default_pattern(calico)})|^(?:{'|'.join(map(re.escape, missed))})$"
        yield FieldChange(TRAP, ref, mtu_detection.PATTERN, before, pattern, _WHY_PATTERN)
    elif _has_setting(calico):
        yield _set(calico, wanted, _WHY_PATTERN)


def _has_setting(calico: Calico) -> bool:
    return calico.operator or places.get(calico.config, restart.VETH_MTU) is not None


def _names_of(uplinks: Sequence[Uplink]) -> set[str]:
    return {each.name for each in uplinks}


def _by_felix(calico: Calico, uplink: int, adds: Mapping[str, int]) -> Iterator[FieldChange]:
    """Lower what the FelixConfiguration says of a tunnel, where no environment wins over it."""
    for name, variable, encapsulation in _FELIX:
        value = places.get(calico.felix, f"/spec/{name}")
        if (
            not _MTU.fullmatch(str(value))
            or encapsulation not in adds
            or mtu_detection.pinned(calico, variable) is not None
        ):
            continue
        if int(value) > uplink - adds[encapsulation]:
            ref = calico.felix_ref
            yield FieldChange(TRAP, ref, f"/spec/{name}", value, uplink - adds[encapsulation], _WHY)


def _findings(calico: Calico, seen: View) -> Iterator[Any]:
    if seen.unseen:
        yield mtu_findings.partial(seen.unseen, len(calico.nodes))
    ref, place = _setting_ref(calico)
    value = places.get(captured(calico).get(ref.path), place)
    if _present(calico) is None and value is not None:
        yield mtu_findings.unreadable(f"{ref.where} {place}", value)
    elif _present(calico) is None and not mtu_detection.is_known(calico):
        yield mtu_findings.no_setting(calico, {name: mtu_detection.pinned(calico, name) for _k, name, _e in _FELIX[:3]})
    for name, variable, _encapsulation in _FELIX:
        if places.get(calico.felix, f"/spec/{name}") and mtu_detection.pinned(calico, variable) is not None:
            yield mtu_findings.dead_setting(name, variable)
