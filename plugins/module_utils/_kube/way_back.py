# Private to the collection nodeward.calico: may change in any release.
"""The plan that brings back what the journal in the cluster knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.journal import Entry
from .._core.plan import Finding
from . import objects, places, restart
from .cluster_journal import ClusterJournal
from .objects import ClusterPlan, FieldChange, Ref
from .port import Api, Item


def planned(api: Api, trap: str, rollout: bool = True, *, consent: str = "calico_rollout") -> ClusterPlan:
    """Return the plan that brings back what the journal knows of a trap; what someone else changed since is left.

    ``consent`` is the word that this needs. Without ``rollout`` calico_mtu leaves the restart to calico_probes, as on
    the way there: one rollout for both.
    """
    known = ClusterJournal(api).entries
    changes, findings, settled = [], [], []
    captured: dict[str, Item] = {}
    for target, entry in known.items():
        where, _space, place = target.rpartition(" ")
        ref = objects.ref_of(where)
        if ref is None:
            continue
        is_restart = place == restart.NOTE
        if not (_restart_is_meant(api, trap, rollout, ref, known) if is_restart else entry.trap == trap):
            continue
        present = captured.get(ref.path) or api.get(ref.path)
        before = objects.restored(entry.before)
        value = places.get(present, place)
        if present is None or value == before:
            settled.append(target)
        elif value in ours(entry):
            captured[ref.path] = present
            why = "back to what it was before the first run"
            changes.append(FieldChange(trap, ref, place, value, before, why, consent))
        else:
            findings.append(_changed_since(FieldChange(trap, ref, place, value, before, "")))
    # pods read the ConfigMap when they start: what replaces them comes last, whatever the journal's order
    changes.sort(key=lambda change: change.ref.replaces_pods)
    return ClusterPlan(tuple(changes), tuple(findings), captured=captured, settled=tuple(settled))


def _restart_is_meant(api: Api, trap: str, rollout: bool, ref: Ref, known: Mapping[str, Entry]) -> bool:
    """Tell whether this run undoes the restart: for a veth_mtu that stays, the next run would make it again."""
    config = objects.config_map(ref.name.partition("/")[0], "calico-config")
    entry = known.get(restart.config_target(ref.name.partition("/")[0]))
    if entry is None:
        return rollout or trap != restart.TRAP
    if trap != restart.TRAP or not rollout:
        return False
    present = api.get(config.path)
    return present is None or places.get(present, restart.VETH_MTU) in (objects.restored(entry.before), *ours(entry))


def ours(entry: Entry) -> list[Any]:
    """Return the values that are ours: the last one, and the one before where a run was killed in between."""
    return [objects.restored(text) for text in entry.ours]


def _changed_since(change: FieldChange) -> Finding:
    shown = change.describe()
    return Finding(
        id=f"{change.trap}.changed_since",
        severity="medium",
        where=shown["target"],
        observed="absent" if shown["before"] is None else shown["before"],
        wanted="absent" if shown["after"] is None else shown["after"],
        why="someone else changed it after we did, so it is left as it is",
        remedy="See who set it; if it is not wanted, set it back by hand",
    )
