# Private to the collection nodeward.calico: may change in any release.
"""Trap link_mtu: packets that fit the pod and the tunnel but not the uplink vanish without a word (incident C).

A tunnel may be as large as its uplink minus what it adds (``calico_links.OVERHEADS``). Where no Felix owns it,
a larger one is lowered at once. Raising a tunnel and changing the uplink take an MTU that somebody wants
(``uplink_mtu``) and consent, in an order in which no tunnel is ever too large:

    links of pods down, tunnels down, links on top of the uplink down, the uplink, its file, tunnels up
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .._core.host import Host
from .._core.links import PODS, Link, MissingPackageError, Network
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import Change, Reason, SetLinkMtu
from . import calico_links, link_findings, link_restore, pod_links, processes, uplink_files
from . import uplink as uplinks
from .calico_links import Tunnel
from .uplink import UnfoundError, Wanted
from .uplink_boot import Boot

TRAP = "link_mtu"
CONSENT = "uplink_change"
ALLOWS: tuple[str, ...] = (CONSENT, pod_links.CONSENT)

OPTIONS: dict[str, dict[str, Any]] = {
    "uplink": {"type": "str"},
    "address": {"type": "str"},
    "uplink_mtu": {"type": "int"},
}

_WHY = "what leaves the tunnel larger than the uplink is dropped, and no sender hears of it (incident C)"


@dataclass(frozen=True)
class Policy:
    """What is wanted. ``uplink`` and ``address`` say which link it is; without ``uplink_mtu`` it stays as it is."""

    uplink: str | None = None
    address: str | None = None
    uplink_mtu: int | None = None

    @property
    def wanted(self) -> Wanted:
        return Wanted(TRAP, self.uplink or "", self.address or "")


@dataclass(frozen=True)
class Facts:
    """What observe saw of one node; ``missing`` names Python packages without which it saw nothing."""

    network: Network = field(default_factory=Network)
    node_ips: tuple[str, ...] = ()
    felix: bool = False
    boot: Mapping[str, Boot] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Node:
    """What the plan goes by: the uplink, what it carries now, and what it is to carry."""

    facts: Facts
    uplink: Link
    now: int
    wanted: int | None

    @property
    def then(self) -> int:
        """What it carries afterwards; a member of a bond may keep it below what is wanted."""
        return self.now if self.wanted in (None, self.uplink.mtu) else int(self.wanted or 0)

    @property
    def tunnels(self) -> list[Tunnel]:
        return [each for each in calico_links.tunnels(self.facts.network) if each.link.index != self.uplink.index]


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    try:
        network = host.network()
    except MissingPackageError as error:
        return Facts(missing=(error.package,))
    names = processes.names(host)
    return Facts(
        network=network,
        node_ips=uplinks.observe(host, names),
        felix=calico_links.felix_runs(host, names),
        boot=uplink_files.observe(host, network),
    )


def shown(facts: Facts, policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results: of the pods' links only how many there are, by their MTU.

    ``addresses`` has that of the uplink and of each tunnel by which other nodes reach it.
    """
    pods = [link.mtu for link in facts.network.links if link.name.startswith(PODS)]
    try:
        found = uplinks.find(facts.network, (policy or Policy()).wanted, facts.node_ips)
    except UnfoundError:
        found = None
    named = ((policy or Policy()).wanted.address, *facts.node_ips)
    known = [*([found] if found else []), *(each.link for each in calico_links.tunnels(facts.network))]
    reached = {link.name: uplinks.reached_by(facts.network, link, named) for link in known}
    return {
        "uplink": None if found is None else _shown_uplink(facts, found),
        "tunnels": [{**asdict(each.link), "overhead": each.overhead} for each in calico_links.tunnels(facts.network)],
        "addresses": {name: address for name, address in reached.items() if address},
        "felix": facts.felix,
        "pod_links": {str(mtu): pods.count(mtu) for mtu in sorted(set(pods))},
        "missing": list(facts.missing),
    }


def _shown_uplink(facts: Facts, uplink: Link) -> dict[str, Any]:
    boot = facts.boot.get(uplink.name, Boot())
    return {**asdict(uplink), "carries": uplinks.carried(facts.network, uplink), "boot": boot.manager}


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node needs; pure, so that captured facts give the same plan anywhere."""
    if facts.missing:
        return without(facts.missing)
    try:
        uplink = uplinks.find(facts.network, policy.wanted, facts.node_ips)
    except UnfoundError as error:
        return Plan(refusals=(error.refusal,))
    if uplink is None:
        return Plan(findings=(link_findings.no_uplink(TRAP),))
    if policy.uplink_mtu is not None:
        refusals = (
            *uplinks.bad_mtu(facts.network, uplink, policy.uplink_mtu, TRAP),
            *_no_room(facts, policy.uplink_mtu),
        )
        if refusals:
            return Plan(refusals=refusals)
    return _plan(_Node(facts, uplink, uplinks.carried(facts.network, uplink), policy.uplink_mtu))


def _no_room(facts: Facts, mtu: int) -> Iterator[Refusal]:
    """Refuse an uplink that leaves a tunnel less than IPv6 needs."""
    for tunnel in calico_links.tunnels(facts.network):
        least = uplinks.LEAST_MTU + tunnel.overhead
        if uplinks.LEAST_MTU <= mtu < least:
            yield Refusal(
                trap=TRAP,
                what=f"{mtu} leaves {tunnel.link.name} {mtu - tunnel.overhead}, IPv6 needs {uplinks.LEAST_MTU}",
                where=f"{TRAP}_uplink_mtu",
                remedy=f"Set {TRAP}_uplink_mtu to {least} or more",
            )


def without(packages: tuple[str, ...]) -> Plan:
    """Return the plan for a node that has not what links are read with: nothing, and say so."""
    return Plan(findings=tuple(link_findings.missing(packages, TRAP)), missing=packages)


def _plan(node: _Node) -> Plan:
    held_back = list(_held_back(node))
    if held_back:
        node = _Node(node.facts, node.uplink, node.now, wanted=None)
    network, limit = node.facts.network, _limit(node)
    findings = (
        *held_back,
        *_too_small(node),
        *_owned(node),
        *pod_links.findings(network, limit, TRAP),
        *link_findings.other_tunnels(calico_links.other_tunnels(network), node.then, TRAP),
    )
    if node.tunnels:
        findings += tuple(link_findings.missed_name(node.uplink, TRAP))
    pods = Plan(tuple(pod_links.changes(network, limit, TRAP)), findings)
    down, up = tuple(_tunnels_down(node)), tuple(_tunnels_up(node))
    return pods + Plan(down) + _uplink(node) + Plan(up)


def _limit(node: _Node) -> int:
    """Return how large a pod's packets may be: what the smallest tunnel carries, and is to carry."""
    carried = min(node.now, node.then)
    return min([carried, *(min(tunnel.link.mtu, carried - tunnel.overhead) for tunnel in node.tunnels)])


def _tunnels_down(node: _Node) -> Iterator[Change]:
    """Lower what is too large now, at once; what would be too large for the uplink that is wanted, with it.

    The first step stops at what the uplink carries now: running pods fit that, and nobody allowed more yet.
    """
    for tunnel in [] if node.facts.felix else node.tunnels:
        link = tunnel.link
        for carried, severity, word in ((node.now, "high", ""), (node.then, "medium", CONSENT)):
            after = carried - tunnel.overhead
            if link.mtu > after >= uplinks.LEAST_MTU:
                yield _set(link, after, severity, word)
                link = replace(link, mtu=after)


def _tunnels_up(node: _Node) -> Iterator[Change]:
    """Raise what the wanted uplink has room for, unless it has just been lowered: the next run does that."""
    for tunnel in [] if node.facts.felix or node.wanted is None else node.tunnels:
        room = node.then - tunnel.overhead
        if tunnel.link.mtu < room and tunnel.link.mtu <= node.now - tunnel.overhead:
            yield _set(tunnel.link, room, "low", CONSENT)


def _uplink(node: _Node) -> Plan:
    if node.wanted is None:
        return Plan()
    changes: list[Change] = [
        _set(link, node.wanted, "medium", CONSENT)
        for link in uplinks.on_top(node.facts.network, node.uplink)
        if link.mtu > node.wanted
    ]
    if node.uplink.mtu != node.wanted:
        changes.append(_set(node.uplink, node.wanted, "medium", CONSENT))
    boot = node.facts.boot.get(node.uplink.name, Boot())
    return Plan(tuple(changes)) + uplink_files.plan(boot, node.uplink, node.wanted, TRAP, CONSENT)


def _set(link: Link, mtu: int, severity: str, disrupts: str) -> SetLinkMtu:
    # whatever lowering needs: going back raises, and that needs consent
    return SetLinkMtu(link.name, str(link.mtu), str(mtu), Reason(TRAP, _WHY, severity, disrupts, way_back=CONSENT))


def _held_back(node: _Node) -> Iterator[Finding]:
    """Find tunnels of Felix that a lower uplink would make too large: it would put them back."""
    if node.facts.felix and node.then < node.now:
        for tunnel in node.tunnels:
            if tunnel.link.mtu > node.then - tunnel.overhead:
                yield link_findings.felix_first(node.uplink, node.then, tunnel, TRAP)


def _too_small(node: _Node) -> Iterator[Finding]:
    """Find tunnels that would have to be smaller than IPv6 needs: the kernel would take IPv6 off them for good."""
    for tunnel in node.tunnels:
        room = min(node.now, node.then) - tunnel.overhead
        if tunnel.link.mtu > room and room < uplinks.LEAST_MTU:
            yield link_findings.uplink_too_small(node.uplink, room, tunnel, TRAP)


def _owned(node: _Node) -> Iterator[Finding]:
    if node.facts.felix:
        for tunnel in node.tunnels:
            if tunnel.link.mtu > node.now - tunnel.overhead:
                yield link_findings.owned_by_felix(node.uplink, node.now, tunnel, TRAP)


# --- restore ----------------------------------------------------------------------------------------


def going_back(facts: Facts, changes: Sequence[Change], policy: Policy) -> Plan:
    """Plan the way back: see link_restore."""
    uplink, _ambiguous = _uplink_of(facts, policy)
    return link_restore.plan(facts.network, uplink, facts.felix, changes, TRAP)


def guard(
    facts: Facts, changes: Sequence[Change], policy: Policy | None = None, pending: Sequence[Change] = ()
) -> Iterator[Refusal]:
    """Refuse what would harm on the way back: see link_restore."""
    uplink, ambiguous = _uplink_of(facts, policy or Policy())
    return link_restore.guard(facts.network, uplink, ambiguous, changes, pending, TRAP)


def _uplink_of(facts: Facts, policy: Policy) -> tuple[Link | None, bool]:
    """Return the uplink, and whether there are several that may be it."""
    try:
        return uplinks.find(facts.network, policy.wanted, facts.node_ips), False
    except UnfoundError:
        return None, True
