# Private to the collection nodeward.calico: may change in any release.
"""The way back of link_mtu: the order in which links go back, and what is left because it would harm."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from .._core.links import PODS, Link, Network
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import Change, SetLinkMtu
from . import calico_links, link_findings
from .calico_links import Tunnel
from .uplink import below

# Raised after everything that they stand on, and lowered before it.
_TUNNEL, _POD = 1000, 1001


def plan(network: Network, uplink: Link | None, felix: bool, changes: Sequence[Change], trap: str) -> Plan:
    """Put these changes into an order in which none harms, without those that would; they are findings."""
    findings: list[Finding] = []
    kept = list(changes)
    for left in (
        *_felixs(kept, felix, trap),
        *_beyond_the_device(network, kept, trap),
    ):
        kept.remove(left[0])
        findings.append(left[1])
    beneath = list(_beneath_a_tunnel(network, uplink, kept, trap))
    if beneath:  # the uplink stays, and its file with it
        findings += beneath
        kept = [change for change in kept if not (_is_of(uplink, change) or _is_file(change, trap))]
    pods = _pods_above(network, {finding.where for finding in findings}, kept)
    if pods:
        kept = [change for change in kept if change not in pods]
        findings.append(link_findings.pods_left(pods, trap))
    findings += _too_large_again(network, uplink, kept, trap)
    return Plan(tuple(sorted(kept, key=lambda change: _rank(network, uplink, change))), tuple(findings))


def _rank(network: Network, uplink: Link | None, change: Change) -> tuple[int, int]:
    """What stands on the uplink down, the topmost first; the uplink and its file; up again, the lowest first."""
    if change.follows:
        return 3, 0
    if not isinstance(change, SetLinkMtu) or _is_of(uplink, change):
        return 1, 0
    depth = _depth(network, change)
    return (0, -depth) if int(change.after or 0) < int(change.before or 0) else (2, depth)


def _depth(network: Network, change: SetLinkMtu) -> int:
    if change.name.startswith(PODS):
        return _POD
    link = network.named(change.name)
    return _TUNNEL if change.name in calico_links.NAMES or link is None else len(below(network, link))


def _is_of(uplink: Link | None, change: Change) -> bool:
    return uplink is not None and _mtu_of(change) is not None and getattr(change, "name", "") == uplink.name


def _is_file(change: Change, trap: str) -> bool:
    return change.reason.trap == trap and not isinstance(change, SetLinkMtu)


def _mtu_of(change: Change) -> int | None:
    """Return the MTU that a change gives to a link of the node; None where it is about something else."""
    if not isinstance(change, SetLinkMtu) or change.peer or change.after is None:
        return None
    return int(change.after)


def _after(network: Network, changes: Collection[Change]) -> dict[str, int]:
    """Return the MTUs of the node's links once the changes are made."""
    mtus = {link.name: link.mtu for link in network.links}
    for change in changes:
        mtu = _mtu_of(change)
        if isinstance(change, SetLinkMtu) and mtu is not None and change.name in mtus:
            mtus[change.name] = mtu
    return mtus


# --- what is left ------------------------------------------------------------------------------------


def _felixs(changes: Sequence[Change], felix: bool, trap: str) -> Iterator[tuple[Change, Finding]]:
    """Leave a tunnel that a Felix has taken over: it would put its own value back."""
    for change in changes:
        if felix and isinstance(change, SetLinkMtu) and change.name in calico_links.NAMES and not change.peer:
            yield change, link_findings.left_to_felix(change, trap)


def _beyond_the_device(network: Network, changes: Sequence[Change], trap: str) -> Iterator[tuple[Change, Finding]]:
    """Leave a VXLAN that was larger than its device allows: the kernel takes that at its making only.

    drivers/net/vxlan/vxlan_core.c vxlan_change_mtu: at most the lower device's MTU minus what is added.
    """
    mtus = _after(network, changes)
    for tunnel in calico_links.tunnels(network):
        lower = network.link(tunnel.link.lower) if tunnel.link.netnsid is None else None
        if tunnel.link.kind != "vxlan" or lower is None:
            continue
        room = mtus[lower.name] - tunnel.overhead
        for change in changes:
            if getattr(change, "name", "") == tunnel.link.name and (_mtu_of(change) or 0) > room:
                yield change, link_findings.beyond_the_device(change, lower, room, trap)


def _beneath_a_tunnel(network: Network, uplink: Link | None, changes: Sequence[Change], trap: str) -> Iterator[Finding]:
    """Find tunnels that do not go back and are well now, and would be too large for the uplink as it was."""
    then = _after(network, changes)
    if uplink is None or then[uplink.name] >= uplink.mtu:
        return
    for tunnel in calico_links.tunnels(network):
        goes_back = any(_mtu_of(change) and getattr(change, "name", "") == tunnel.link.name for change in changes)
        if not goes_back and then[uplink.name] < tunnel.link.mtu + tunnel.overhead <= uplink.mtu:
            yield link_findings.tunnel_first(uplink, then[uplink.name], tunnel, trap)


def _too_large_again(network: Network, uplink: Link | None, changes: Sequence[Change], trap: str) -> Iterator[Finding]:
    """Find tunnels whose way back brings the trap back: they were more than the uplink carries before the first run."""
    if uplink is None:
        return
    mtus = _after(network, changes)
    raised = {getattr(change, "name", "") for change in changes if _mtu_of(change)}
    for tunnel in calico_links.tunnels(network):
        if tunnel.link.name in raised and mtus[tunnel.link.name] + tunnel.overhead > mtus[uplink.name]:
            yield link_findings.too_large_again(tunnel, mtus[tunnel.link.name], uplink, mtus[uplink.name], trap)


def _pods_above(network: Network, left: Collection[str], changes: Sequence[Change]) -> list[SetLinkMtu]:
    """Return the raises of pods' links above a tunnel that is left, by the target of its change."""
    limits = [tunnel.link.mtu for tunnel in calico_links.tunnels(network) if f"link {tunnel.link.name}" in left]
    return [change for change in _raises_of_pods(changes) if limits and int(change.after or 0) > min(limits)]


def _raises_of_pods(changes: Sequence[Change]) -> list[SetLinkMtu]:
    return [
        change
        for change in changes
        if isinstance(change, SetLinkMtu)
        and change.name.startswith(PODS)
        and int(change.after or 0) > int(change.before or 0)
    ]


# --- what is refused ---------------------------------------------------------------------------------


def guard(
    network: Network,
    uplink: Link | None,
    ambiguous: bool,
    changes: Sequence[Change],
    pending: Sequence[Change],
    trap: str,
) -> Iterator[Refusal]:
    """Refuse what would at any moment make a tunnel larger than its uplink, or pods than a tunnel that waits.

    That a tunnel comes to more than the uplink minus its overhead is no reason: one that was lowered was that.
    """
    tunnels = {tunnel.link.name: tunnel for tunnel in calico_links.tunnels(network)}
    mtus = {link.name: link.mtu for link in network.links}
    for change in changes:
        mtu = _mtu_of(change)
        if mtu is None or not isinstance(change, SetLinkMtu) or change.name not in mtus:
            continue
        raised = mtu > mtus[change.name]
        mtus[change.name] = mtu
        if uplink is not None:
            concerned = sorted(tunnels if change.name == uplink.name else {change.name} & set(tunnels))
            yield from _above(change, uplink, concerned, mtus, trap)
        elif ambiguous and raised and change.name in tunnels:
            yield _unsafe(change, "the uplink cannot be told, so a tunnel is not raised", "Name the uplink", trap)
    yield from _pods_before_tunnels(tunnels, changes, pending, trap)


def _above(
    change: Change, uplink: Link, tunnels: Sequence[str], mtus: Mapping[str, int], trap: str
) -> Iterator[Refusal]:
    for name in tunnels:
        if mtus[name] > mtus[uplink.name]:
            yield _unsafe(
                change,
                f"going back to {change.after} would make {name} ({mtus[name]}) larger than its uplink "
                f"{uplink.name} ({mtus[uplink.name]})",
                f"Lower the MTU of {name} for good",
                trap,
            )


def _pods_before_tunnels(
    tunnels: Mapping[str, Tunnel], changes: Sequence[Change], pending: Sequence[Change], trap: str
) -> Iterator[Refusal]:
    waiting = {change.name for change in pending if isinstance(change, SetLinkMtu) and not change.peer} & set(tunnels)
    limits = [tunnels[name].link.mtu for name in waiting]
    for change in _raises_of_pods(changes):
        if limits and int(change.after or 0) > min(limits):
            yield _unsafe(
                change,
                f"going back to {change.after} would make it larger than {' and '.join(sorted(waiting))}, "
                "whose way back waits for consent",
                "Allow that too",
                trap,
            )


def _unsafe(change: Change, what: str, remedy: str, trap: str) -> Refusal:
    return Refusal(
        trap=trap,
        what=what,
        where=change.target,
        remedy=f"{remedy}, or leave this trap as it is (--skip-tags {trap})",
    )
