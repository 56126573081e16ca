# Private to the collection nodeward.calico: may change in any release.
"""What a person should know of a node's links and link_mtu does not mend itself; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._core.links import Link
from .._core.plan import Finding
from .._core.verbs import Change
from .calico_links import FALLBACK_MTU, PATTERNS, Tunnel, missed_by_autodetection

# Where the MTU of Calico's tunnels is set (A2 of Calico's own precedence: environment before datastore).
_SOURCE = (
    "veth_mtu of the ConfigMap calico-config (manifests), calicoNetwork.mtu of the Installation (operator), else "
    "ipipMTU, vxlanMTU or wireguardMTU of the FelixConfiguration"
)


def missing(packages: Sequence[str], trap: str) -> Iterator[Finding]:
    """Say what the node has not, so that nothing could be seen."""
    for package in packages:
        yield Finding(
            id=f"{trap}.missing",
            severity="medium",
            where=package,
            observed=f"Python's {package} is not on the node",
            wanted=f"python3-{package}, or what harden.yml brings from the controller until the next boot",
            why="links are read and set with it; this trap has seen and done nothing on the node",
            remedy=f"Install python3-{package} on the node, or run harden.yml (--check and audit.yml bring nothing)",
        )


def no_uplink(trap: str) -> Finding:
    """Say that nothing leads out of the node."""
    return Finding(
        id=f"{trap}.no_uplink",
        severity="medium",
        where="default routes",
        observed="no default route, and no address of the kubelet or of Calico",
        wanted="a link that leads to the other nodes",
        why="without its uplink nothing can be said about a tunnel",
        remedy=f"Name the uplink in {trap}_uplink, or the node's address in {trap}_address",
    )


def owned_by_felix(uplink: Link, carried: int, tunnel: Tunnel, trap: str) -> Finding:
    """Say that a tunnel is too large and whose setting that is."""
    room = carried - tunnel.overhead
    return Finding(
        id=f"{trap}.owned_by_felix",
        severity="high",
        where=f"link {tunnel.link.name}",
        observed=str(tunnel.link.mtu),
        wanted=f"{room} or less ({uplink.name} carries {carried}, the tunnel adds {tunnel.overhead})",
        why="packets that are too large for the uplink vanish (incident C); the node writes nothing here, since Felix "
        "puts its own value back within 10 s",
        remedy=f"Set Calico's MTU to {room}, or to 0 for its own detection: {_SOURCE}",
    )


def felix_first(uplink: Link, wanted: int, tunnel: Tunnel, trap: str) -> Finding:
    """Say what has to be done in the cluster before the uplink may be lowered."""
    room = wanted - tunnel.overhead
    return Finding(
        id=f"{trap}.felix_first",
        severity="high",
        where=f"link {uplink.name}",
        observed=f"Felix keeps {tunnel.link.name} at {tunnel.link.mtu}",
        wanted=f"{room} or less before {uplink.name} is lowered to {wanted}",
        why="the tunnel would be larger than what the uplink carries, and packets would vanish (incident C)",
        remedy=f"Set Calico's MTU to {room} first ({_SOURCE}), then run again",
    )


def left_to_felix(change: Change, trap: str) -> Finding:
    """Say that a tunnel is not brought back, since a Felix has taken it over."""
    return Finding(
        id=f"{trap}.left_to_felix",
        severity="info",
        where=change.target,
        observed=str(change.before),
        wanted=f"{change.after}, what it was before the first run",
        why="a Felix runs here by now, and puts its own value on the tunnel within 10 s",
        remedy=f"Set Calico's MTU if another is wanted: {_SOURCE}",
    )


def beyond_the_device(change: Change, lower: Link, room: int, trap: str) -> Finding:
    """Say that the kernel would refuse to raise a VXLAN as far as it was."""
    return Finding(
        id=f"{trap}.beyond_the_device",
        severity="info",
        where=change.target,
        observed=str(change.before),
        wanted=f"{change.after}, what it was before the first run",
        why=f"it stands on {lower.name}, which leaves it {room}; the kernel takes more only when the link is made",
        remedy="Nothing needs doing; whoever makes the link anew gives it its MTU",
    )


def tunnel_first(uplink: Link, wanted: int, tunnel: Tunnel, trap: str) -> Finding:
    """Say that an uplink does not go back below what a tunnel needs that does not go back with it."""
    return Finding(
        id=f"{trap}.tunnel_first",
        severity="medium",
        where=f"link {uplink.name}",
        observed=f"{uplink.mtu}, and {tunnel.link.name} has {tunnel.link.mtu} by now",
        wanted=f"{wanted}, what it was before the first run",
        why="the tunnel would be larger than what the uplink carries, and packets would vanish (incident C)",
        remedy=f"Lower {tunnel.link.name} to {wanted - tunnel.overhead} first ({_SOURCE}), then restore again",
    )


def too_large_again(tunnel: Tunnel, mtu: int, uplink: Link, carried: int, trap: str) -> Finding:
    """Say that a tunnel goes back to what was too large, as it was before the first run."""
    return Finding(
        id=f"{trap}.too_large_again",
        severity="medium",
        where=f"link {tunnel.link.name}",
        observed=f"{mtu} once it is back, as before the first run",
        wanted=f"at most {carried - tunnel.overhead}: {uplink.name} ({carried}) minus its overhead ({tunnel.overhead})",
        why=f"packets above {carried - tunnel.overhead} bytes will vanish again (incident C)",
        remedy=f"Leave {trap} hardened (--skip-tags {trap}), or set the MTU in Calico",
    )


def pods_left(changes: Sequence[Change], trap: str) -> Finding:
    """Say which pods' links do not go back above a tunnel that does not go back either."""
    return Finding(
        id=f"{trap}.pods_left",
        severity="info",
        where=", ".join(dict.fromkeys(change.target for change in changes)),
        observed=" and ".join(sorted({str(change.before) for change in changes})),
        wanted=" and ".join(sorted({str(change.after) for change in changes})) + ", what they were before",
        why="they would be larger than a tunnel that is left as it is, and their packets would vanish (incident C)",
        remedy="Nothing needs doing; a pod that is made anew gets Calico's MTU",
    )


def other_tunnels(tunnels: Sequence[Tunnel], carried: int, trap: str) -> Iterator[Finding]:
    """Find tunnels of others (VPNs, storage) that are larger than what the uplink carries."""
    for tunnel in tunnels:
        room = carried - tunnel.overhead
        if tunnel.link.mtu > room:
            yield Finding(
                id=f"{trap}.other_tunnel",
                severity="low",
                where=f"link {tunnel.link.name}",
                observed=f"{tunnel.link.kind} with MTU {tunnel.link.mtu}",
                wanted=f"{room} or less if it leaves by the uplink, which carries {carried}",
                why="its packets may be fragmented or vanish; it is not Calico's, so it is left alone",
                remedy="See who makes it, and set its MTU there",
            )


def missed_name(uplink: Link, trap: str) -> Iterator[Finding]:
    """Find an uplink whose name Calico's detection of the MTU passes over."""
    missed = missed_by_autodetection(uplink.name)
    if missed:
        yield Finding(
            id=f"{trap}.missed_by_calico",
            severity="medium" if len(missed) == len(PATTERNS) else "info",
            where=f"link {uplink.name}",
            observed=f"a name that the MTU detection of Calico {' and '.join(missed)} does not match",
            wanted="a name that mtuIfacePattern matches",
            why=f"where Calico's MTU is 0 (automatic) it goes by other links, or by {FALLBACK_MTU} if there are none",
            remedy=f"Set mtuIfacePattern of the FelixConfiguration to match {uplink.name}, or give Calico a fixed MTU",
        )


def uplink_too_small(uplink: Link, room: int, tunnel: Tunnel, trap: str) -> Finding:
    """Say that no tunnel that carries IPv6 fits the uplink."""
    return Finding(
        id=f"{trap}.uplink_too_small",
        severity="high",
        where=f"link {uplink.name}",
        observed=f"{tunnel.link.name} has {tunnel.link.mtu}, the uplink leaves it {room}",
        wanted=f"an uplink of {1280 + tunnel.overhead} or more",
        why="the kernel takes IPv6 off a link below 1280 and does not give it back, so nothing was lowered",
        remedy=f"Raise the MTU of {uplink.name} ({trap}_uplink_mtu with harden_allow=uplink_change)",
    )
