# Private to the collection nodeward.calico: may change in any release.
"""Is the member of this node well again, with which values, and for how long?"""

from __future__ import annotations

import contextlib

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.verbs.units import active_state
from . import access, apiserver, members, seen
from .api import Etcd
from .lock import Lock, LockLostError
from .quorum import Cluster
from .seen import Seen
from .settings import ELECTION, NAMES, Values

# Seconds for the restart, and then again until it has to be well; a database of 8 GiB takes one to two minutes to open.
PATIENCE = 240.0
# How long the cluster has to be steady before the next member, in election timeouts.
SETTLED = 2


class Health:
    """Looks at one member, as it was ``before`` it was touched and as it is now."""

    def __init__(self, host: Host, before: Seen, etcd: Etcd) -> None:
        self._host = host
        self._before = before
        self._etcd = etcd
        # an API server that was not ready before is not made ready by going back
        self._has_api_server = not self._api_server()

    def own(self) -> Seen | None:
        """Return the member as it runs now, None where it does not."""
        alike = (self._before.name, self._before.data_dir)
        return next((each for each in seen.look(self._host) if (each.name, each.data_dir) == alike), None)

    def settle(self, kept: Lock, cluster: Cluster, values: Values) -> None:
        """Wait until it runs with these values, has caught up with what was written before, and stays well."""
        deadline = self._host.clock() + PATIENCE
        steady_since: float | None = None
        leader, need = "", SETTLED * int(values.get(ELECTION) or self._before.effective.values[ELECTION]) / 1000
        while True:
            # a lost lock is no reason to restart a member once more: who holds it tells of it in the end
            with contextlib.suppress(LockLostError):
                kept.keep()
            trouble, now_leader = self._trouble(cluster, values)
            if trouble or now_leader != leader:
                leader, steady_since = now_leader, None
            if not trouble:
                steady_since = self._host.clock() if steady_since is None else steady_since
                if self._host.clock() - steady_since >= need:
                    return
            if self._host.clock() >= deadline:
                why = trouble or "the leader changes again and again"
                raise NodewardError(
                    what=f"is not well {PATIENCE:.0f} s after its restart: {why}",
                    where=f"etcd member {self._before.name}",
                    remedy="See its log",
                )
            if trouble:
                require_no_failure(self._host, self._before.site.unit)
            self._host.sleep(members.INTERVAL)

    def _trouble(self, cluster: Cluster, values: Values) -> tuple[str, str]:
        """Say what is not as it should be yet, '' where all is, and who leads."""
        own = self.own()
        if own is None:
            return "it does not run", ""
        different = list(own.effective.differs({name: values[name] for name in NAMES if name in values}))
        different += [f"{own.running.config_file}, which was written since it started"] * own.is_stale
        if different:
            return f"it runs with other values of {', '.join(different)}", ""
        look = members.asked(self._etcd, cluster.own)
        if look.status is None or look.trouble:
            return look.trouble or "it told no status", ""
        if not look.status.leader:
            return "it knows no leader", ""
        if look.status.applied < cluster.index:
            return f"it is {cluster.index - look.status.applied} entries behind", look.status.leader
        return self._api_server() if self._has_api_server else "", look.status.leader

    def _api_server(self) -> str:
        return apiserver.trouble(self._host, access.parts(self._etcd.url)[1])


def require_no_failure(host: Host, unit: str) -> None:
    """Raise at once where systemd says that a unit will not start: a value that etcd does not take ends it."""
    if unit and active_state(host, unit) == "failed":
        raise NodewardError(what="does not start", where=unit, remedy=f"See journalctl -u {unit}")
