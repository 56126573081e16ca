# Private to the collection nodeward.calico: may change in any release.
"""All node traps in one run: observe, plan, and for the module that may, apply."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from typing import Any, Protocol

from .._core.apply import apply, check
from .._core.errors import NodewardError
from .._core.files import BYTES_SURVIVE, ENCODING
from .._core.host import Host, LocalHost
from .._core.plan import Plan, Refusal
from .._core.verbs import describe, diff
from . import pid_limits

# Words that Ansible puts into ansible_run_tags and ansible_skip_tags for more than one tag.
ALL_TAGS = {"all", "tagged"}

# What the code that runs on nodes is written for.
PYTHON = (3, 9)

# How alike a tag is to the name of a trap before it is taken for a mistake; other tags are other people's.
ALIKE = 0.8


class Trap(Protocol):
    """What the Python module of a node trap holds."""

    OPTIONS: dict[str, dict[str, Any]]
    Policy: Any  # a dataclass whose fields are the options

    def observe(self, host: Host, /) -> Any: ...

    def plan(self, facts: Any, policy: Any, /) -> Plan: ...

    def shown(self, facts: Any, /) -> dict[str, Any]: ...


TRAPS: dict[str, Trap] = {pid_limits.TRAP: pid_limits}


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the options of node and node_info; the traps' defaults stand here and nowhere else."""
    traps = {name: {"type": "dict", "options": trap.OPTIONS} for name, trap in TRAPS.items()}
    return {
        **traps,
        "tags": {"type": "list", "elements": "str", "default": ["all"]},
        "skip_tags": {"type": "list", "elements": "str", "default": []},
    }


def inform(params: Mapping[str, Any], host: LocalHost) -> dict[str, Any]:
    """Observe and plan, and phrase the plan as findings. Never writes. Raises NodewardError."""
    _require_usable(host)
    with _reading():
        plan, facts = _plan(params, host)
        plan += _obstacles(plan, host)
    return _displayable(
        {
            "changed": False,
            "findings": [finding.describe() for finding in plan.audit()],
            "changes": [describe(change) for change in plan.changes],
            "facts": facts,
        }
    )


def harden(params: Mapping[str, Any], host: LocalHost, check_mode: bool) -> dict[str, Any]:
    """Observe, plan, and apply what disrupts nothing; the rest is returned as pending.

    Raises NodewardError with nothing changed when a trap refuses the node or a change fails.
    """
    _require_usable(host)
    with _reading(), nullcontext() if check_mode else host.lock():
        plan, facts = _plan(params, host)
        if plan.refusals:
            raise NodewardError(
                what="; ".join(f"{refusal.what} ({refusal.where})" for refusal in plan.refusals),
                where=", ".join(sorted({refusal.trap for refusal in plan.refusals})),
                remedy=". ".join(dict.fromkeys(refusal.remedy for refusal in plan.refusals)),
            )
        now, pending = plan.split(allow=())
        check(now, host) if check_mode else apply(now, host)
    return _displayable(
        {
            "changed": bool(now),
            "changes": [describe(change) for change in now],
            "pending": [describe(change) for change in pending],
            "findings": [finding.describe() for finding in plan.findings if not finding.mended],
            "facts": facts,
            "diff": [diff(change) for change in now],
        }
    )


def selected(given: Collection[str], tags: Collection[str], skip_tags: Collection[str]) -> list[str]:
    """Return the traps that a run with these tags is about, in the order of TRAPS."""
    wanted = given if ALL_TAGS & set(tags) else set(given) & set(tags)
    left_out = set(TRAPS) if ALL_TAGS & set(skip_tags) else set(skip_tags)
    return [name for name in TRAPS if name in wanted and name not in left_out]


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
            what=f"cannot be read: {error.strerror}",
            where=str(error.filename),
            remedy="Mend it, then run again; nothing was changed",
        ) from error


def _obstacles(plan: Plan, host: LocalHost) -> Plan:
    """Return what would stop harden before its first change, as a refusal, so that an audit tells it too."""
    now, _pending = plan.split(allow=())
    try:
        if not plan.refusals:
            check(now, host)
    except NodewardError as error:
        return Plan(refusals=(Refusal(now[0].reason.trap, error.what, error.where, error.remedy),))
    return Plan()


def _plan(params: Mapping[str, Any], host: LocalHost) -> tuple[Plan, dict[str, Any]]:
    given = [name for name in TRAPS if params[name] is not None]
    names = selected(given, params["tags"], params["skip_tags"])
    _require_tags_that_say_something(names, given, params["tags"], params["skip_tags"])
    plan, facts = Plan(), {}
    for name in names:
        trap = TRAPS[name]
        observed = trap.observe(host)
        plan += trap.plan(observed, trap.Policy(**params[name]))
        facts[name] = trap.shown(observed)
    return plan, facts


def _require_tags_that_say_something(
    names: Sequence[str], given: Sequence[str], tags: Sequence[str], skip_tags: Sequence[str]
) -> None:
    """Refuse tags that leave nothing, or are nearly a trap's name: neither may pass for a run as it was meant."""
    mistyped = [
        word for word in (*tags, *skip_tags) if word not in TRAPS and get_close_matches(word, TRAPS, cutoff=ALIKE)
    ]
    if mistyped or not names:
        without = f", without {', '.join(skip_tags)}" if skip_tags else ""
        raise NodewardError(
            what=f"no trap is called {', '.join(mistyped)}" if mistyped else "no trap is left to run",
            where=f"tags {', '.join(tags)}{without}",
            remedy=f"Name one of {', '.join(given)} with --tags, or leave the tags out",
        )


def _displayable(result: dict[str, Any]) -> dict[str, Any]:
    """Replace bytes that are no text, which a result cannot carry."""
    return {key: _displayable_item(item) for key, item in result.items()}


def _displayable_item(item: Any) -> Any:
    if isinstance(item, str):
        return item.encode(ENCODING, BYTES_SURVIVE).decode(ENCODING, "replace")
    if isinstance(item, dict):
        return _displayable(item)
    return [_displayable_item(each) for each in item] if isinstance(item, (list, tuple)) else item
