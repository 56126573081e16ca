# Private to the collection nodeward.calico: may change in any release.
"""Limits that are nearly hit, and who holds the threads that count against them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .._core.plan import Finding
from . import top
from .pid_use import Limit

# Shares of a limit in use from which on they are worth a word.
USE_MEDIUM = 0.5
USE_HIGH = 0.8

# Holders of threads that a finding names.
NAMED = 3


def findings(
    limits: Iterable[Limit], holders: Sequence[top.Holder], raised: Mapping[str, int], trap: str, why: str
) -> Iterator[Finding]:
    """Find limits that are nearly hit; ``raised`` are the new values of those that the plan raises."""
    for limit in limits:
        if limit.share >= USE_MEDIUM:
            yield Finding(
                id=f"{trap}.in_use",
                severity="high" if limit.share >= USE_HIGH else "medium",
                where=limit.name,
                observed=f"{limit.used} of {limit.limit} threads ({limit.share:.0%}){_held_by(holders, limit.name)}",
                wanted=f"below {USE_MEDIUM:.0%}",
                why=why,
                remedy="Stop what holds the threads (by process: ps -eLo pid,comm | sort | uniq -c | sort -n)",
                mended=limit.used < USE_MEDIUM * raised.get(limit.name, limit.limit),
            )


def _held_by(holders: Sequence[top.Holder], limit: str) -> str:
    """Name the largest of those that count against a limit: a parameter of the node, or a cgroup's."""
    counted = top.within(holders, limit) if limit.startswith("/") else holders
    named = ", ".join(f"{holder.name} {holder.threads:,}" for holder in counted[:NAMED])
    return f", held by {named}" if named else ""
