# Private to the collection nodeward.calico: may change in any release.
"""All members of a cluster, asked at one moment through one of them."""

from __future__ import annotations

from collections.abc import Sequence

from .._core.errors import NodewardError
from .api import Etcd, MemberInfo
from .quorum import Cluster, Look


def look(own: Etcd) -> Cluster:
    """Ask all members how they are. Raises NodewardError where the own one does not tell the list of them."""
    listing = own.members()
    looks = {
        each.id: _asked_at(each, [own] if each.id == listing.asked else [own.other(url) for url in each.client_urls])
        for each in listing.members
    }
    return Cluster(listing, listing.asked, looks)


def others(own: Etcd, cluster: Cluster) -> list[Etcd]:
    """Return those of the other members that answered, to keep the lock through, and then the own one."""
    urls = [look.url for member, look in cluster.looks.items() if member != cluster.own and look.status]
    return [*(own.other(url) for url in urls), own]


def asked(etcd: Etcd, member: str = "") -> Look:
    """Ask one member how it is; an answer of any other than ``member`` is none.

    A member may tell 'localhost' or 0.0.0.0 as its address for clients: there our own one answers.
    """
    try:
        status = etcd.status()
        if member and status.id != member:
            return Look(trouble=f"{etcd.url} is answered by another member ({status.id or 'it tells no id'})")
        return Look(status, etcd.evidence(), etcd.trouble(status.version), etcd.url)
    except NodewardError as error:
        return Look(trouble=f"{error.where}: {error.what}")


def _asked_at(member: MemberInfo, addresses: Sequence[Etcd]) -> Look:
    """Ask a member at each of its addresses until it answers itself."""
    found = Look(trouble="it tells no address for clients")
    for number, etcd in enumerate(addresses):
        told = asked(etcd, member.id)
        if told.status is not None:
            return told
        found = Look(trouble=f"{found.trouble}; {told.trouble}") if number else told
    return found
