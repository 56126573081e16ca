# Private to the collection nodeward.calico: may change in any release.
"""What one look at this node tells of its members of etcd; reads only, and nothing that costs etcd a write."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .._core import file_age
from .._core.errors import NodewardError
from .._core.formats import UnsureError
from .._core.host import Host
from .._core.host_processes import threads
from . import access, note, running, version
from .api import Etcd, Membership
from .evidence import Evidence
from .flavours import Running, Site, recognise
from .settings import NAMES, Effective, Values, effective


@dataclass(frozen=True)
class Seen:
    """One member. ``unseen`` says why it could not be asked. ``priorities`` are those of its threads, each once.

    ``scheduler`` is that of the disk with its data, '' where it cannot be told. ``is_stale``: the file that it was
    started with was written since, so what it runs with is not known. ``is_unfinished``: a killed run has written for
    it, and has not seen it well. ``errors`` are its alarms and complaints.
    """

    running: Running
    site: Site
    evidence: Evidence = field(default_factory=Evidence)
    membership: Membership | None = None
    unseen: str = ""
    priorities: tuple[int, ...] = ()
    scheduler: str = ""
    is_stale: bool = False
    is_unfinished: bool = False
    errors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.running.options.get("name", "default")

    @property
    def data_dir(self) -> str:
        return self.running.options.get("data-dir", f"{self.name}.etcd")

    @property
    def effective(self) -> Effective:
        return effective(self.running.options, version.parse(self.evidence.version))

    def configured(self) -> Values | None:
        """Return what the next start would give it, None where that cannot be told."""
        if not self.site.flavour.is_ours or any(name not in self.site.homes for name in NAMES):
            return None
        try:
            given = {name: str(value) for name, value in self.site.configured().items()}
        except UnsureError:
            return None
        return effective(given, version.parse(self.evidence.version)).values

    @property
    def runs_on(self) -> bool:
        """Whether a killed run has written for it what it does not run with yet."""
        if not self.is_unfinished:
            return False
        then = self.configured()
        # of one that reads a file nobody can tell what it runs with, once that was written
        return self.is_stale or (then is not None and bool(self.effective.differs(then)))

    @property
    def is_settled(self) -> bool:
        """Whether a killed run has written for it, and it answers and certainly runs with that: no note is needed."""
        is_known = self.configured() is not None
        if self.site.flavour.reads_file:
            is_known = is_known and self.evidence.running_s is not None
        return self.is_unfinished and is_known and not self.unseen and not self.runs_on

    def shown(self, wanted: Values) -> dict[str, Any]:
        """Shape it for results, as `decision.Member.read` takes it; ``wanted`` are the settings that matter."""
        members = self.membership.members if self.membership else ()
        return {
            "name": self.name,
            "member_id": self.membership.asked if self.membership else self.evidence.member_id,
            "cluster_id": self.membership.cluster_id if self.membership else "",
            "peers": [member.id for member in members],
            "peer_names": [member.name for member in members],
            "learners": [member.id for member in members if member.is_learner],
            "flavour": self.site.flavour.name,
            "obstacle": self.site.obstacle(wanted),
            "upgrade": self.site.flavour.upgrade,
            "places": [place.target for place in self.site.places],
            "unit": self.site.unit,
            "manifest": self.site.manifest,
            "values": dict(self.effective.values),
            "given": sorted(self.effective.given),
            "configured": self.configured(),
            "stale": self.is_stale,
            "runs_on": self.runs_on,
            "evidence": self.evidence.shown(),
            "unseen": self.unseen,
            "errors": self.errors,
        }


def look(host: Host) -> list[Seen]:
    """Find and ask every member of this node."""
    return [_seen(host, each) for each in running.find(host)]


def _seen(host: Host, each: Running) -> Seen:
    evidence, membership, unseen = Evidence(), None, ""
    errors: tuple[str, ...] = ()
    try:
        etcd = Etcd(host, access.of(each, host))
        evidence = etcd.evidence()
        membership = etcd.members()
        errors = etcd.status().errors
    except NodewardError as error:
        unseen = f"{error.where}: {error.what}"
    site = recognise(each, host)
    priorities = (host.io_priority(thread) for thread in threads(host, each.pid))
    return Seen(
        each,
        site,
        evidence,
        membership,
        unseen,
        priorities=tuple(sorted({value for value in priorities if value is not None})),
        scheduler=_scheduler(host, each),
        is_stale=site.flavour.reads_file and _is_newer(host, each, evidence),
        is_unfinished=note.names(host, each.options.get("name", "default")),
        errors=errors,
    )


def _is_newer(host: Host, each: Running, evidence: Evidence) -> bool:
    """Tell whether its file was certainly written since the member started."""
    if evidence.running_s is None:
        return False
    started = file_age.started(host, host.wall_clock() - evidence.running_s, each.unit)
    return file_age.is_newer(file_age.written(host, each.config_file), started)


def _scheduler(host: Host, each: Running) -> str:
    """Return the I/O scheduler of the disk below the data, as the process sees its mounts."""
    data = each.options.get("data-dir", "")
    device, longest = "", 0
    for line in (host.read_text(f"/proc/{each.pid}/mountinfo") or "").splitlines():
        words = line.split()
        mount = words[4] if len(words) > 4 else ""
        inside = data == mount or data.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= longest:
            device, longest = words[2], len(mount)
    # a partition has no queue of its own, the disk above it has
    for path in (f"/sys/dev/block/{device}/queue/scheduler", f"/sys/dev/block/{device}/../queue/scheduler"):
        chosen = re.search(r"\[([a-z-]+)\]", host.read_text(path) or "") if device else None
        if chosen:
            return chosen[1]
    return ""
