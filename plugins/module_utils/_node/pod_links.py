# Private to the collection nodeward.calico: may change in any release.
"""The links of running pods: they keep the MTU that they were made with until the pod is made anew."""

from __future__ import annotations

from collections.abc import Iterator

from .._core.links import PODS, Link, Network
from .._core.plan import Finding
from .._core.verbs import Change, Reason, SetLinkMtu
from .uplink import LEAST_MTU

CONSENT = "pod_veth_change"

# cni-plugin/pkg/dataplane/linux/dataplane_linux.go sets it at CNI ADD, and nothing does later.
_WHY = "a pod that sends packets larger than the tunnel carries hangs: they vanish (incident C)"


def too_large(network: Network, limit: int) -> list[Link]:
    """Return the pods' links that are larger than ``limit`` on the node or in the pod."""
    return [
        link
        for link in network.links
        if link.name.startswith(PODS) and link.kind == "veth" and max(_mtus(network, link)) > limit
    ]


def changes(network: Network, limit: int, trap: str) -> Iterator[Change]:
    """Lower both ends. That in the pod comes first: it is what makes the pod's packets smaller."""
    reason = Reason(trap, _WHY, "high", CONSENT)
    if limit < LEAST_MTU:
        return  # the kernel would take IPv6 off the pods, and not give it back
    for link in too_large(network, limit):
        end = network.pod_ends.get(link.name)
        if end is not None and end.mtu > limit:
            yield SetLinkMtu(link.name, str(end.mtu), str(limit), reason, peer=True)
        if link.mtu > limit:
            yield SetLinkMtu(link.name, str(link.mtu), str(limit), reason)


def findings(network: Network, limit: int, trap: str) -> Iterator[Finding]:
    """Say in one word how many pods are concerned."""
    links = too_large(network, limit)
    can_be_lowered = limit >= LEAST_MTU
    if links:
        sizes = sorted({max(_mtus(network, link)) for link in links})
        yield Finding(
            id=f"{trap}.pod_links",
            severity="high",
            where=", ".join(link.name for link in links[:5]) + (", ..." if len(links) > 5 else ""),
            observed=f"{len(links)} links of pods with MTU {' or '.join(map(str, sizes))}",
            wanted=f"{limit} or less, what a tunnel carries",
            why=_WHY,
            remedy="Recreate the pods once Calico's MTU is right, or allow pod_veth_change to lower them as they run"
            if can_be_lowered
            else f"Give the tunnel {LEAST_MTU} or more first: below that the kernel takes IPv6 off a link, so pods are "
            "not lowered to it",
            mended=can_be_lowered,
        )


def _mtus(network: Network, link: Link) -> list[int]:
    end = network.pod_ends.get(link.name)
    return [link.mtu] if end is None else [link.mtu, end.mtu]
