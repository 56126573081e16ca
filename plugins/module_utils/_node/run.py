# Private to the collection nodeward.calico: may change in any release.
"""All node traps in one run: observe, plan, and for the module that may, apply."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from .._core import journal, saved_plan
from .._core.apply import JOURNAL, ObstacleError, Settled, apply, check, check_restore
from .._core.apply import restore as put_back
from .._core.errors import NodewardError
from .._core.files import BYTES_SURVIVE, ENCODING
from .._core.host import Host, LocalHost
from .._core.links import MissingPackageError
from .._core.plan import Plan, Refusal
from .._core.verbs import Change, describe, diff
from . import control_plane, health, house_folders, journal_findings, link_mtu, paths, surroundings
from . import restore as way_back
from .traps import ALL_TAGS, ON_NODES, TRAPS, TRIED, chosen

# What of a node such a trap has to know, by its tag.
NEEDED = {"calico_mtu": "link_mtu"}

# What the code that runs on nodes is written for.
PYTHON = (3, 9)


def inform(params: Mapping[str, Any], host: LocalHost) -> dict[str, Any]:
    """Observe and plan, and phrase the plan as findings. Never writes. Raises NodewardError."""
    _require_usable(host)
    with _reading():
        plan, facts = _plan(params, host, (surroundings.NAME,))
        plan += _obstacles(plan, host)
        if _asks_rules(params["tags"], params["skip_tags"]):
            facts = {**facts, surroundings.NAME: surroundings.observe(host)}
    return _displayable(
        {
            "changed": False,
            "findings": [finding.describe() for finding in plan.audit()],
            "changes": [describe(change) for change in plan.changes],
            "facts": facts,
            "missing": list(plan.missing),
        }
    )


def probe(params: Mapping[str, Any], host: LocalHost) -> dict[str, Any]:
    """Measure the paths to other nodes, and nothing else. Sends packets, never writes. Raises NodewardError."""
    _require_usable(host)
    with _reading():
        measured, left = paths.measure(host, params["paths_to"] or [])
    return {
        "changed": False,
        "findings": [finding.describe() for finding in paths.findings(measured, left)],
        "changes": [],
        "facts": {paths.NAME: paths.shown(measured, left)},
        "missing": [],
    }


def harden(params: Mapping[str, Any], host: LocalHost, check_mode: bool) -> dict[str, Any]:
    """Observe, plan, and apply what disrupts nothing or is allowed; the rest is returned as pending.

    Raises NodewardError with nothing changed when a trap refuses the node, a saved plan would come out otherwise now,
    or a change fails.
    """
    _require_usable(host)
    name, text = saved_plan.asked(params)
    saved = None if text is None else saved_plan.read(text, name)
    if saved:
        params = {**params, **dict.fromkeys(TRAPS), **saved.policies, "tags": ["all"], "skip_tags": []}
    with _reading(), nullcontext() if check_mode else host.lock():
        plan, facts = _plan(params, host)
        _raise(plan.refusals)
        if saved:
            saved_plan.require_same(saved, plan.changes, _known(host))
        now, pending = plan.split(_allowed(params))
        settled = health.gate(now, host)
        check(now, host)
        done = Plan(now) if check_mode else _applied(now, params, host, settled)
    result = _result(plan + Plan(findings=done.findings), done.changes, pending, facts, host)
    if name and not saved:
        policies = {trap: params[trap] for trap in chosen(params)}
        result["plan"] = saved_plan.to_save(name, policies, plan.changes, plan.missing)
    return result


def _known(host: Host) -> journal.Journal:
    """Return what the journal tells was done; of one that cannot be read a finding tells."""
    try:
        return journal.decode(host.read_text(journal.PATH))
    except journal.UnreadableJournalError:
        return journal.Journal()


def restore(params: Mapping[str, Any], host: LocalHost, check_mode: bool) -> dict[str, Any]:
    """Bring back what was before the first run, as far as that disrupts nothing or is allowed.

    Raises NodewardError with nothing changed when the journal cannot be read, a trap refuses or a change fails.
    """
    _require_usable(host)
    if any(saved_plan.asked(params)):
        raise NodewardError("a way back has no saved plan", "plan", "Leave it out: the journal is what restore goes by")
    with _reading(), nullcontext() if check_mode else host.lock():
        names = chosen(params)
        try:
            known = way_back.observe(journal.decode(host.read_text(journal.PATH)), host, names)
        except MissingPackageError as error:
            return _result(link_mtu.without((error.package,)), (), (), {}, host)
        plan, facts = way_back.plan(known, names), {}
        seen = {name: (TRAPS[name].observe(host), TRAPS[name].Policy(**params[name])) for name in names}
        for name, (observed, policy) in seen.items():
            plan = Plan(findings=plan.findings) + TRAPS[name].going_back(observed, plan.changes, policy)
        now, pending = plan.split(_allowed(params))
        for name, (observed, policy) in seen.items():
            facts[name] = TRAPS[name].shown(observed, policy)
            refusals = tuple(TRAPS[name].guard(observed, now, policy, pending))
            waiting = [change.reason.disrupts for change in pending if change.reason.trap == name]
            if refusals and waiting:  # only together with what waits is it no harm
                pending += tuple(_waiting_too(change, waiting[0]) for change in now if change.reason.trap == name)
                now = tuple(change for change in now if change.reason.trap != name)
            else:
                plan += Plan(refusals=refusals)
        _raise(plan.refusals)
        forget = way_back.forgotten(known, plan, now)
        settled = health.gate(now, host, is_way_back=True)
        check_restore(now, host) if check_mode else put_back(now, forget, host, settled)
    return _result(plan + Plan(findings=tuple(journal_findings.kept(host))), now, pending, facts, host)


def _applied(now: Sequence[Change], params: Mapping[str, Any], host: Host, settled: Settled) -> Plan:
    """Make the changes, those that are tried after all others; return what was done and what there is to say of it."""
    done = Plan(tuple(change for change in now if change.reason.trap not in TRIED))
    apply(done.changes, host, settled)
    for name, attempt in TRIED.items():
        mine = [change for change in now if change.reason.trap == name]
        if mine:
            done += attempt(mine, host, TRAPS[name].Policy(**params[name]))
    return done


def _allowed(params: Mapping[str, Any]) -> list[str]:
    return [word for word in params["allow"] if word in ON_NODES]


def _waiting_too(change: Change, word: str) -> Change:
    return replace(change, reason=replace(change.reason, disrupts=word))


def _result(
    plan: Plan, now: Sequence[Change], pending: Sequence[Change], facts: Mapping[str, Any], host: Host
) -> dict[str, Any]:
    return _displayable(
        {
            "changed": bool(now),
            "changes": [describe(change) for change in now],
            "pending": [describe(change) for change in pending],
            "findings": [finding.describe() for finding in plan.findings if not finding.mended],
            "facts": facts,
            "diff": [diff(change) for change in now],
            "missing": list(plan.missing),
            "control_plane": control_plane.is_here(host),
        }
    )


def _raise(refusals: Sequence[Refusal]) -> None:
    if refusals:
        raise NodewardError(
            what="; ".join(f"{refusal.what} ({refusal.where})" for refusal in refusals),
            where=", ".join(sorted({refusal.trap for refusal in refusals})),
            remedy=". ".join(dict.fromkeys(refusal.remedy for refusal in refusals)),
        )


def _asks_rules(tags: Collection[str], skip_tags: Collection[str]) -> bool:
    return bool({*ALL_TAGS, surroundings.NAME} & set(tags)) and not {*ALL_TAGS, surroundings.NAME} & set(skip_tags)


def _require_usable(host: LocalHost) -> None:
    if host.python() < PYTHON:
        raise NodewardError(
            what="Python {}.{} is too old, {}.{} or newer is needed".format(*host.python(), *PYTHON),
            where="nodeward.calico",
            remedy="Install a newer python3 on the node and name it in ansible_python_interpreter",
        )
    if not host.is_root():
        raise NodewardError(
            what="this needs root on the node",
            where="nodeward.calico",
            remedy="Log in as root or run with --become (-b)",
        )


@contextmanager
def _reading() -> Iterator[None]:
    """Say what could not be read, here or when the changes are checked; apply() tells its own errors itself."""
    try:
        yield
    except OSError as error:
        raise NodewardError(
            what=f"cannot be read: {error.strerror or error}",
            where=str(error.filename or "the node"),
            remedy="Mend it, then run again; nothing was changed",
        ) from error


def _obstacles(plan: Plan, host: LocalHost) -> Plan:
    """Return what would stop harden before its first change, as a refusal, so that an audit tells it too."""
    now, _pending = plan.split(allow=())
    try:
        if not plan.refusals:
            check(now, host)
    except NodewardError as error:
        # what the journal meets is no trap's own: it stops the first change
        trap = error.trap if isinstance(error, ObstacleError) and error.trap != JOURNAL else now[0].reason.trap
        return Plan(refusals=(Refusal(trap, error.what, error.where, error.remedy),))
    return Plan()


def _plan(params: Mapping[str, Any], host: LocalHost, beside: Sequence[str] = ()) -> tuple[Plan, dict[str, Any]]:
    plan, facts = Plan(findings=(*journal_findings.unreadable(host), *journal_findings.kept(host))), {}
    for name in chosen(params, beside):
        trap = TRAPS[name]
        observed = trap.observe(host)
        policy = trap.Policy(**params[name])
        plan += trap.plan(observed, policy)
        facts[name] = trap.shown(observed, policy)
    plan += Plan(tuple(house_folders.left_empty(plan.changes, host)))
    for tag, name in NEEDED.items():
        if tag in params["tags"] and name not in facts and params[name] is not None:
            facts[name] = TRAPS[name].shown(TRAPS[name].observe(host), TRAPS[name].Policy(**params[name]))
    return plan, facts


def _displayable(result: dict[str, Any]) -> dict[str, Any]:
    """Replace bytes that are no text, which a result cannot carry."""
    return {key: _displayable_item(item) for key, item in result.items()}


def _displayable_item(item: Any) -> Any:
    if isinstance(item, str):
        return item.encode(ENCODING, BYTES_SURVIVE).decode(ENCODING, "replace")
    if isinstance(item, dict):
        return _displayable(item)
    return [_displayable_item(each) for each in item] if isinstance(item, (list, tuple)) else item
