# Private to the collection nodeward.calico: may change in any release.
"""One member of etcd gets the values that were decided for all of them, without the cluster losing a write.

    the whole cluster is well -> the lock -> a snapshot -> the leader hands over -> write, restart -> well and settled

and back again, where any of it fails after the writing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from .._core import journal
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.verbs import Reason, SetIoPriority, SetKey
from .._node import etcd_io
from . import access, decision, lock, members, note, quorum, snapshot, timing
from .api import Etcd, Membership
from .health import Health
from .lock import Lock
from .quorum import Cluster
from .restart import Configuration, told
from .seen import Seen
from .settings import ELECTION, HEARTBEAT, Values

TRAP = "etcd_timing"
RESTART, OUTAGE = "etcd_restart", "etcd_outage"
BACK = "back to what it was before the first run"
WHY = "heartbeats that come too late make elections, and each stalls the cluster (incident A1)"


@dataclass(frozen=True)
class Wanted:
    """What is asked for: the values, or for the way back those of the journal; and what may be done."""

    cluster_id: str
    values: Values
    allow: Collection[str] = ()
    restore: bool = False
    with_snapshot: bool = True
    snapshot_folder: str = ""


class Member:
    """The member of one cluster on this node."""

    def __init__(self, host: Host, found: Seen, wanted: Wanted) -> None:
        self.host = host
        self.seen = found
        self.wanted = wanted
        self.access = access.of(found.running, host)
        self.etcd = Etcd(host, self.access)

    # --- what is to be done ---------------------------------------------------------------------------

    def plan(self) -> tuple[list[SetKey], bool]:
        """Return the writes, and whether a restart is due: also where a killed run has written and not restarted."""
        if self.wanted.restore:
            changes = self._back()
            if changes:
                self._require_way_back()
            return changes, bool(changes or self.seen.runs_on)
        self._require_values()
        reason = Reason(TRAP, WHY, disrupts=RESTART)
        changes = self.seen.site.changes(self.wanted.values, reason)
        if changes:
            self._require_way_back()
        return changes, bool(changes or self.seen.is_stale or self.seen.effective.differs(self.wanted.values))

    def word(self) -> str:
        """Return the consent that this needs: the others have to be a quorum without it."""
        return _word(self.etcd.members())

    def _require_values(self) -> None:
        for problem in decision.value_problems(self.wanted.values):
            if problem.refused:
                raise NodewardError(problem.what, "etcd_member", "Mend the variables etcd_timing_*")
        obstacle = self.seen.site.obstacle(self.wanted.values)
        if obstacle:
            raise NodewardError(obstacle, f"etcd member {self.seen.name}", "Mend that, or set the values by hand")

    def _require_way_back(self) -> None:
        """Refuse where etcd would not start with its files as they are now: they are what a failure goes back to."""
        before = self.seen.configured() or self.seen.effective.values
        problems = timing.problems(int(before[HEARTBEAT]), int(before[ELECTION]))
        refused = [problem.what for problem in problems if problem.refused]
        for why in filter(None, [self.seen.site.broken, *refused]):
            raise NodewardError(
                what=f"would not start with its configuration as it is, so there is no way back: {why}",
                where=f"etcd member {self.seen.name} ({self._place()})",
                remedy="Mend that first, then run again",
            )

    def _back(self) -> list[SetKey]:
        entries = dict(journal.decode(self.host.read_text(journal.PATH)).entries)
        changes = []
        for place in self.seen.site.places:
            entry = entries.get(place.target)
            if entry is None or entry.trap != TRAP:
                continue
            back = SetKey(
                place.format, place.path, place.key, entry.after, entry.before, Reason(TRAP, BACK, disrupts=RESTART)
            )
            present = back.present(self.host)
            if entry.is_ours(present):
                changes.append(replace(back, before=present))
        return changes

    # --- looking --------------------------------------------------------------------------------------

    def look(self) -> Cluster:
        """Ask all members how they are."""
        return members.look(self.etcd)

    def others(self, cluster: Cluster) -> list[Etcd]:
        """Return the other members, to keep the lock through, and the own one."""
        return members.others(self.etcd, cluster)

    # --- doing ----------------------------------------------------------------------------------------

    def check(self, changes: list[SetKey]) -> tuple[Configuration, Cluster]:
        """Raise NodewardError for all that can be known to fail by looking alone: check mode ends here."""
        configuration = Configuration(self.host, self.seen, changes, forget=self.wanted.restore)
        configuration.check()
        return configuration, self._require_consent(self.well())

    def change(self, changes: list[SetKey]) -> dict[str, Any]:
        """Do it, all or nothing. Raises NodewardError with everything put back, or with what could not be."""
        configuration, before = self.check(changes)
        name = (self.host.read_text("/proc/sys/kernel/hostname") or "").strip()
        with lock.held(self.host, self.others(before), lock.holder(name, f"restart of etcd {self.seen.name}")) as kept:
            with kept.alive():  # members on a slow disk take seconds for each answer
                cluster = self._require_consent(self.well())  # what held the lock before may have changed it
                saved = self._save(cluster)
            kept.keep()
            with kept.alive():
                # minutes may have gone by since: what is done now goes by how the cluster is now
                cluster = self._require_consent(self.well()) if saved else cluster
                moved = self.hand_over(cluster)
            began = self.host.clock()
            self._act(configuration, Health(self.host, self.seen, self.etcd), kept, cluster)
            trouble = self._done()
            if kept.is_lost:
                raise NodewardError(
                    what="has its new configuration and is well, but the lock was lost meanwhile, so another run may "
                    "have changed other members at the same time",
                    where=f"etcd member {self.seen.name}",
                    remedy="See that no other run goes on and all members are well, then run again for the others",
                )
            if trouble:
                raise NodewardError(
                    what=f"has its new configuration and is well, but {trouble}",
                    where=f"etcd member {self.seen.name}",
                    remedy="Mend that, then run again for the others",
                )
            return {"snapshot": saved, "moved_leader_to": moved, "seconds": round(self.host.clock() - began, 1)}

    def well(self) -> Cluster:
        """Return the cluster once it is well. Raises NotWellError."""
        return members.whole(self.etcd, self.host, self.seen.name)

    def _require_consent(self, cluster: Cluster) -> Cluster:
        """Return it where what this member needs is consented to. Raises NodewardError."""
        word = _word(cluster.membership)
        if word not in self.wanted.allow:
            raise NodewardError(
                what=f"needs the consent {word}",
                where=f"etcd member {self.seen.name}",
                remedy=f"Allow it (harden_allow={word})",
            )
        return cluster

    def _save(self, cluster: Cluster) -> str:
        if not self.wanted.with_snapshot:
            return ""
        status = cluster.looks[cluster.own].status
        size = status.db_size if status else 0
        data_dir = self.seen.running.path(self.seen.data_dir)
        return snapshot.take(self.host, self.etcd, self.seen.name, size, data_dir, self.wanted.snapshot_folder)

    def hand_over(self, cluster: Cluster) -> str:
        """Move the leader away, so that nobody has to miss it; returns to whom."""
        to = cluster.successor()
        if cluster.leader != cluster.own or not to:
            return ""
        self.etcd.move_leader(to)
        deadline = self.host.clock() + 10
        while self.etcd.status().leader != to:
            if self.host.clock() >= deadline:
                raise NodewardError(
                    what=f"{cluster.name(to)} did not become the leader within 10 s",
                    where=f"etcd member {self.seen.name}",
                    remedy="See the logs of both members; nothing was changed",
                )
            self.host.sleep(0.1)
        return cluster.name(to)

    def _act(self, configuration: Configuration, health: Health, kept: Lock, cluster: Cluster) -> None:
        configuration.require_same()  # before all that goes back: minutes have gone by since it was read
        kept.keep()  # the last thing before the writing: without the lock another run may restart another member
        try:
            configuration.write()
            with kept.alive():
                configuration.start()
            health.settle(kept, cluster, self._wanted_values(health))
        except (NodewardError, OSError) as error:
            if not configuration.writes:
                raise NodewardError(
                    what=f"{told(error)}; nothing was written, so there is nothing to put back",
                    where=f"etcd member {self.seen.name} ({self._place()})",
                    remedy="See its log, and that of the kubelet for a static pod",
                ) from error
            raise self._gone_back(configuration, health, kept, cluster, told(error)) from error
        except BaseException:  # interrupted, or a fault of ours
            with contextlib.suppress(NodewardError, OSError):
                is_touched = configuration.is_touched()
                configuration.put_back()
                if is_touched:
                    configuration.start()
            raise

    def _gone_back(
        self, configuration: Configuration, health: Health, kept: Lock, cluster: Cluster, failed: str
    ) -> NodewardError:
        """Put everything back, and return what to say of it and of what ``failed``.

        A member that was not touched is not restarted: what failed is a note, the journal, or a full disk.
        """
        back = "its configuration is that of before, and it was not restarted"
        try:
            is_touched = configuration.is_touched()
            configuration.put_back()
            if is_touched:
                with kept.alive():
                    configuration.start()
                health.settle(kept, cluster, self.seen.configured() or self.seen.effective.values)
                back = "its configuration was put back and it is well again"
        except (NodewardError, OSError) as second:
            return NodewardError(
                what=f"{failed}; and going back failed as well: {told(second)}",
                where=f"etcd member {self.seen.name}",
                remedy=self._by_hand(configuration),
            )
        trouble = self._done()
        return NodewardError(
            what=f"{failed}; {back}" + (f", but {trouble}" if trouble else ""),
            where=f"etcd member {self.seen.name}",
            remedy="Mend the cause, then run again",
        )

    def _by_hand(self, configuration: Configuration) -> str:
        """Say what is left to do, by what the files hold now."""
        left = configuration.not_back()
        if left:
            return f"Its configuration is NOT that of before: bring back {', '.join(left)} by hand, then start it"
        return f"Start it by hand; its configuration is that of before ({self._place()})"

    def _done(self) -> str:
        """Do what is left where the member is well; return what failed of it, which is no reason to touch it again."""
        try:
            note.remove(self.host)
            if self.host.read_text(etcd_io.SCRIPT) is not None:
                # not with the timer's next turn: until then a second run would find threads without it
                SetIoPriority(etcd_io.SCRIPT, Reason("etcd_timing", "the process is a new one")).act(self.host)
        except (NodewardError, OSError) as error:
            return told(error)
        return ""

    def _wanted_values(self, health: Health) -> Values:
        """Return what it is to run with; on the way back what its files say now."""
        if not self.wanted.restore:
            return self.wanted.values
        now = health.own()
        return (now.configured() if now else None) or {}

    def _place(self) -> str:
        return self.seen.site.unit or self.seen.site.manifest


def _word(membership: Membership) -> str:
    return RESTART if quorum.is_spare(len(membership.voters)) else OUTAGE
