# Private to the collection nodeward.calico: may change in any release.
"""Take back what a run has changed and could not finish, the last first, and have the journal as it was before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from .._core.errors import NodewardError
from .._core.journal import Entry
from . import conflict, objects, places, restart
from .client import is_passing
from .cluster_journal import ClusterJournal
from .objects import FieldChange, Ref
from .port import Api
from .rollout import Waiting

# Seconds for which it is tried again.
PATIENCE = 60.0


class UndoneError(NodewardError):
    """What came of a change, its cause; all that the run had changed was put back."""


def undone(
    api: Api, done: Sequence[FieldChange], journal: Mapping[str, Entry], how: Waiting, error: NodewardError
) -> NodewardError:
    """Bring back what was before these changes, and return the error that says so, or what is left.

    ``journal`` is what earlier runs have left in it.
    """
    left: list[str] = []
    known = dict(journal)
    back = [*_veth_mtu_of_before(done, known), *(change.inverse for change in reversed(done))]
    for ref in objects.refs(back):
        try:
            _put_back(api, ref, objects.of(back, ref), how)
        except NodewardError as second:
            left.append(f"{ref.where} ({second.what})")
    try:
        if not left:
            targets = [change.target for change in back]
            conflict.retried(lambda: ClusterJournal(api).revert(targets, known), how.clock.sleep)
    except NodewardError as second:
        left.append(f"{second.where} ({second.what})")
    if left:
        return NodewardError(
            what=f"{error.what}. Going back failed as well, for {', '.join(left)}",
            where=error.where,
            remedy="Run restore as soon as the API server allows that; the journal knows what was before",
        )
    return UndoneError(
        what=f"{error.what}. What this run changed was put back, and the pods go back to it",
        where=error.where,
        remedy=error.remedy,
    )


def _veth_mtu_of_before(done: Sequence[FieldChange], known: dict[str, Entry]) -> Iterator[FieldChange]:
    """Return the way back of veth_mtu, which another module has changed, where the pods' restart for it is undone.

    ``known`` of the journal is made to fit.
    """
    for change in done:
        if change.place != restart.NOTE:
            continue
        ref = objects.config_map(change.ref.name.partition("/")[0], "calico-config")
        here, before = restart.parsed(change.after), restart.parsed(change.before)
        # what this change replaced; and what the journal had for ours then
        values = {
            restart.VETH_MTU: (here and here[2], before and before[0]),
            restart.DEMAND: (change.before, change.before),
        }
        for place, (replaced, ours) in values.items():
            entry = known.get(f"{ref.where} {place}")
            if entry is None:
                continue
            first, now = objects.restored(entry.before), objects.restored(entry.after)
            back = FieldChange(change.trap, ref, place, now, replaced or first, change.why)
            known[back.target] = replace(entry, after=objects.kept(ours or back.after), earlier=None)
            if back.after == first:
                del known[back.target]
            yield back


def _put_back(api: Api, ref: Ref, changes: Sequence[FieldChange], how: Waiting) -> None:
    """Patch until it is done, or the API server has not let us for a minute."""
    deadline = how.clock.now() + PATIENCE
    while True:
        try:
            present = api.get(ref.path)
            ours = [change for change in changes if places.get(present, change.place) == change.before]
            patch = places.json_patch(present, objects.changed(present, ours)) if present else []
            if patch:
                api.patch(ref.path, patch, dry_run=False)
            return
        except NodewardError as error:
            if how.clock.now() >= deadline or not (is_passing(error) or getattr(error, "status", 0) == 409):
                raise
        how.clock.sleep(how.every)
