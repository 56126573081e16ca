# Private to the collection nodeward.calico: may change in any release.
"""Show or make the changes of a plan: dry run, journal, patch, rollout, and back where that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.errors import NodewardError
from .._core.journal import Entry
from . import conflict, install, objects, places, restart, rollout, undo
from .client import ApiError, is_passing
from .cluster_journal import ClusterJournal
from .objects import ClusterPlan, FieldChange, Ref
from .port import Api, Item
from .rollout import Waiting

# What the server itself keeps in an object, and no change of ours.
_SERVERS_OWN = ("/metadata/resourceVersion", "/metadata/generation", "/metadata/managedFields", "/status")


@dataclass(frozen=True)
class Orders:
    """What the module was told: words of consent, whether only to look, how to wait.

    ``settled`` looks at what was rolled out, and raises PodFailedError where it is not well.
    """

    trap: str
    allow: Collection[str]
    check_mode: bool
    waiting: Waiting
    settled: Callable[[Ref], None] = lambda _ref: None


def act(api: Api, orders: Orders, planned: Callable[[], ClusterPlan], forgets: bool = False) -> dict[str, Any]:
    """Plan, and do what is allowed; plan anew where somebody else wrote in between. Returns the module's result.

    ``forgets`` is for the way back: what is back is taken out of the journal. Raises NodewardError with nothing
    changed, or with what the message says.
    """
    run = _Run(api, orders, forgets)
    plan, pending = _made(run, orders, planned)
    run.roll_out()
    if forgets and not orders.check_mode:
        run.forget(plan.settled)
    return {
        "changed": bool(run.done),
        "changes": [change.describe() for change in run.done],
        "pending": [change.describe() for change in pending],
        "findings": [finding.describe() for finding in plan.findings],
        "diff": run.diffs,
        "rollout": run.told,
    }


def _made(run: _Run, orders: Orders, planned: Callable[[], ClusterPlan]) -> tuple[ClusterPlan, tuple[FieldChange, ...]]:
    """Return the plan by which the changes were made in the end, and what of it waits for consent."""

    def attempt() -> tuple[ClusterPlan, tuple[FieldChange, ...]]:
        run.tidy()  # of a try before: what it noted is nobody's value of before
        plan = planned()
        now, pending = plan.split(orders.allow)
        _raise(plan, run.refusals(now))
        run.make(plan, now)
        return plan, pending

    try:
        made = conflict.retried(attempt, orders.waiting.clock.sleep)
    except NodewardError as error:
        if (told := run.broken_off(error)) is error:
            raise
        raise told from error
    run.tidy()
    return made


class _Run:
    """What one run has done so far."""

    def __init__(self, api: Api, orders: Orders, forgets: bool) -> None:
        self._api = api
        self._orders = orders
        self._forgets = forgets
        self._before: dict[Ref, rollout.Before] = {}  # by what rolls its pods out
        self._noted: list[FieldChange] = []  # in the journal, before they are done
        self._known: dict[str, Entry] | None = None  # the journal as earlier runs have left it
        self.done: list[FieldChange] = []
        self.diffs: list[dict[str, str]] = []
        self.told: list[str] = []

    def refusals(self, now: Sequence[FieldChange]) -> list[str]:
        """Return why these rollouts must not begin."""
        found = []
        # calico-node for a veth_mtu, too: a restart that calico_probes makes afterwards must not be refused only then
        node = [
            objects.daemon_set(change.ref.name.partition("/")[0], "calico-node")
            for change in now
            if change.place == restart.VETH_MTU
        ]
        for ref in dict.fromkeys([*self._rolled(now), *node]):
            workload = self._api.get(ref.path)
            if workload is None:  # nothing is restarted then
                continue
            pods = install.pods_of(self._api, workload)
            found += [str(each) for each in rollout.refusals(self._orders.trap, ref, workload, pods)]
        return found

    def make(self, plan: ClusterPlan, now: Sequence[FieldChange]) -> None:
        """Try all patches, then make them. Raises ApiError, with status 409 where an object is newer than was read."""
        foretold: dict[Ref, Item] = {}
        for ref in objects.refs(now):
            foretold[ref] = self._sent(plan.captured[ref.path], ref, objects.of(now, ref), dry_run=True)
            _require_kept(ref, foretold[ref], objects.of(now, ref))
        for ref, item in foretold.items():
            changes, present = objects.of(now, ref), plan.captured[ref.path]
            self._note(changes)
            made = item if self._orders.check_mode else self._patch(present, ref, changes)
            self.diffs.append(_diff(ref, present, made))
            # as it is there: going back puts back that, too
            self.done += [replace(each, after=places.get(made, each.place)) for each in changes]
            other = [each for each in changes if places.get(made, each.place) != each.after]
            if other:
                raise self.undone(_changed_on_the_way(ref, made, other))

    def _patch(self, present: Item, ref: Ref, changes: Sequence[FieldChange]) -> Item:
        """Make a change, and return the object as it is stored then."""
        for each in self._rolled(changes):
            workload = self._api.get(each.path)
            # with OnDelete a person does it
            if workload is not None and places.get(workload, "/spec/updateStrategy/type") != "OnDelete":
                self._before.setdefault(each, rollout.Before(workload, install.pods_of(self._api, workload)))
        try:
            return self._sent(present, ref, changes, dry_run=False)
        except NodewardError as error:
            # no answer, or one of something in between, is also had of a patch that was stored
            stored = self._api.get(ref.path) if is_passing(error) else None
            if stored is None or any(places.get(stored, each.place) != each.after for each in changes):
                raise
            return stored

    def _note(self, changes: Sequence[FieldChange]) -> None:
        """Write changes down before they are made; in check mode see whether we may.

        Not those of a way back: the journal says what was before until that is there.
        """
        if self._known is None:
            self._known = ClusterJournal(self._api).entries
        if self._forgets:
            return
        for trap in dict.fromkeys(change.trap for change in changes):
            own = [change for change in changes if change.trap == trap]
            kept = {c.target: (objects.kept(c.before), objects.kept(c.after)) for c in own}
            ClusterJournal(self._api).record(trap, kept, dry_run=self._orders.check_mode)
        self._noted += [] if self._orders.check_mode else changes

    def _sent(self, present: Item, ref: Ref, changes: Sequence[FieldChange], dry_run: bool) -> Item:
        """Patch the object that was planned on, also where its status or metadata were written since."""
        try:
            return self._api.patch(ref.path, places.json_patch(present, objects.changed(present, changes)), dry_run)
        except ApiError as error:
            # 422 where somebody took away what is to be replaced: the server looks at versions later
            newer = self._api.get(ref.path) if error.status in (409, 422) else None
            if newer is None or newer["metadata"]["resourceVersion"] == present["metadata"]["resourceVersion"]:
                raise
            if _own(newer) != _own(present):
                raise ApiError(error.what, error.where, 409) from error
        return self._api.patch(ref.path, places.json_patch(newer, objects.changed(newer, changes)), dry_run)

    def tidy(self) -> None:
        """Take out of the journal what was noted and not done: the server said no, or somebody was quicker.

        What is as we wanted it stays in: another run of ours may have done it.
        """
        left = [change for change in self._noted if change.target not in {done.target for done in self.done}]
        items = {ref: self._api.get(ref.path) or {} for ref in objects.refs(left)}
        others = [change.target for change in left if places.get(items[change.ref], change.place) != change.after]
        if others:
            ClusterJournal(self._api).revert(others, self._known or {})
        self._noted = [change for change in self._noted if change.target not in others]

    def forget(self, settled: Sequence[str]) -> None:
        """Take out of the journal what is back, and not what another run has made ours again meanwhile."""

        def attempt() -> None:
            items = {ref: self._api.get(ref.path) or {} for ref in objects.refs(self.done)}
            back = [
                change.target for change in self.done if places.get(items[change.ref], change.place) == change.after
            ]
            ClusterJournal(self._api).forget([*back, *settled])

        conflict.retried(attempt, self._orders.waiting.clock.sleep)

    def roll_out(self) -> None:
        """Wait for the pods of what was changed. Raises NodewardError, with the changes undone where it says so."""
        for ref, before in self._before.items():
            try:
                rollout.wait(self._api, ref, before, self._waiting())
                self._orders.settled(ref)
            except rollout.PodFailedError as error:
                raise self.undone(error) from error

    def _waiting(self) -> Waiting:
        how = self._orders.waiting

        def say(line: str) -> None:
            self.told.append(line)
            how.say(line)

        return replace(how, say=say)

    def undone(self, error: NodewardError) -> NodewardError:
        """Bring back what was before, and return the error that says so, or what is left."""
        done, self.done = self.done, []
        return undo.undone(self._api, done, self._known or {}, self._orders.waiting, error)

    def broken_off(self, error: NodewardError) -> NodewardError:
        """Return what to say where a change could not be made, with what came of those before it."""
        done = [] if self._orders.check_mode else self.done  # in other objects, or by an earlier try
        with contextlib.suppress(NodewardError):  # where the server is away by now the journal keeps what was noted
            if isinstance(error, ApiError):
                self.tidy()
                return self.undone(error) if done else error
        return _staying(error, done) if done else error

    def _rolled(self, changes: Sequence[FieldChange]) -> list[Ref]:
        """Return what replaces its pods for these changes."""
        node = objects.daemon_set(install.OPERATOR, "calico-node")
        specs = [change for change in changes if not change.place.startswith("/metadata/")]
        found = [node if ref.kind == "Installation" else ref for ref in objects.refs(specs)]
        return list(dict.fromkeys(ref for ref in found if ref.replaces_pods))


def _own(item: Item) -> dict[str, Any]:
    """Return what plans are made of: not what controllers write of it, again and again."""
    return {key: each for key, each in item.items() if key not in ("metadata", "status")}


def _raise(plan: ClusterPlan, more: Sequence[str]) -> None:
    told = [*map(str, plan.refusals), *more]
    if told:
        raise RefusedError(told)


class RefusedError(NodewardError):
    """Reasons not to start; each says where and what to do."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons), "", "")
        self.reasons = reasons

    def __str__(self) -> str:
        return " ".join(self.reasons)


def _require_kept(ref: Ref, foretold: Item, changes: Sequence[FieldChange]) -> None:
    """Refuse a change of which the server, or a webhook in it, would leave something out."""
    lost = [change.place for change in changes if places.get(foretold, change.place) != change.after]
    if lost:
        raise NodewardError(
            what=f"the API server leaves out or changes {', '.join(lost)}, so nothing was changed",
            where=ref.where,
            remedy="See which admission webhook or feature gate does that (the dry run says the same as "
            "kubectl patch --dry-run=server)",
        )


def _changed_on_the_way(ref: Ref, made: Item, changes: Sequence[FieldChange]) -> NodewardError:
    """Say what the server has stored instead of what its dry run had said."""
    told = ", ".join(
        f"{each.place} is {objects.encoded(places.get(made, each.place)) or 'absent'} and not "
        f"{objects.encoded(each.after) or 'absent'}"
        for each in changes
    )
    return NodewardError(
        what=f"the API server has stored something else than its dry run said: {told}",
        where=ref.where,
        remedy="See which admission webhook does that to real changes alone (kubectl get "
        "mutatingwebhookconfigurations), then run again",
    )


def _staying(error: NodewardError, done: Sequence[FieldChange]) -> NodewardError:
    """Say what has been changed by then, where nobody answers any more who would put it back."""
    return NodewardError(
        what=f"{error.what}. By then this was changed, and stays so: "
        + ", ".join(str(change.describe()["target"]) for change in done),
        where=error.where,
        remedy=f"{error.remedy}; then run again, which does the rest, or restore",
    )


def _diff(ref: Ref, present: Item, foretold: Item) -> dict[str, str]:
    """Return what differs, and nothing else: the rest may hold what is nobody's business."""
    before, after = (
        {place: value for place, value in places.flat(item).items() if not place.startswith(_SERVERS_OWN)}
        for item in (present, foretold)
    )
    different = [place for place in {**before, **after} if before.get(place) != after.get(place)]
    return {
        "before_header": ref.where,
        "after_header": ref.where,
        "before": "".join(f"{place}: {objects.encoded(before[place])}\n" for place in different if place in before),
        "after": "".join(f"{place}: {objects.encoded(after[place])}\n" for place in different if place in after),
    }
