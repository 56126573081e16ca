# Private to the collection nodeward.calico: may change in any release.
"""All members of a cluster, asked at one moment through one of them, or until all are well."""

from __future__ import annotations

from collections.abc import Sequence

from .._core.errors import NodewardError
from .._core.host import Host
from .api import Etcd, MemberInfo
from .quorum import Cluster, Look, obstacles

# Seconds in which an election has passed, and a restart by another run of a member that starts soon.
PASSES = 15.0
# Seconds that a cluster has to stay well which was not at first: one that flaps is well now and then.
STEADY = 5.0
INTERVAL = 0.5


class NotWellError(NodewardError):
    """The cluster is not well, which may pass: a member that copies answers nothing."""


def whole(own: Etcd, host: Host, name: str) -> Cluster:
    """Return the cluster once all of it is well; ``name`` is that of the own member, for errors.

    One look is enough where it is well. Raises NotWellError where it is not within PASSES, or not steadily.
    """
    deadline = host.clock() + PASSES
    unwell: float | None = None
    while True:
        try:
            cluster = _whole(own, name)
            if unwell is None or host.clock() - unwell >= STEADY:
                return cluster
        except NotWellError:
            unwell = host.clock()
            if unwell >= deadline:
                raise
        host.sleep(INTERVAL)


def _whole(own: Etcd, name: str) -> Cluster:
    try:
        cluster = look(own)
    except NodewardError as error:  # etcdctl lists members only while there is a leader
        raise NotWellError(error.what, error.where, error.remedy) from error
    found = obstacles(cluster)
    if found:
        raise NotWellError(
            what=f"the cluster is not well: {'; '.join(found)}. Nothing was touched",
            where=f"etcd member {name}",
            remedy="Mend that first (etcdctl endpoint status --cluster), then run again",
        )
    return cluster


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
