# Private to the collection nodeward.calico: may change in any release.
"""What a person should know of the way in which bird_watchdog is set; of the BIRDs themselves see birds.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._core.plan import Finding
from .bird_watchdog_decision import Config
from .bird_watchdog_files import UNIT
from .textfile_folder import TEXTFILE_FOLDERS

if TYPE_CHECKING:
    from .bird_watchdog import Facts, Policy

TRAP = "bird_watchdog"


def of_policy(facts: Facts, policy: Policy) -> Iterator[Finding]:
    yield from _reckless(policy)
    yield from _no_metrics(facts, policy)


def _reckless(policy: Policy) -> Iterator[Finding]:
    """Name what is allowed, for drills, and no setting for a fleet."""
    for option, is_reckless, wanted, why in (
        ("window", policy.window < 60, "60 or more", "work of seconds passes for a spin"),
        ("cooldown", policy.cooldown < 300, "300 or more", "peers drop the routes of a BIRD killed as it recovers"),
        ("daily_limit", policy.daily_limit > 10, "10 or less", "the bug takes days: what spins again is another fault"),
    ):
        if is_reckless:
            yield Finding(
                id=f"{TRAP}.reckless",
                severity="medium",
                where=f"{TRAP}_{option}",
                observed=str(getattr(policy, option)),
                wanted=wanted,
                why=f"{why}; such a value is for a drill",
                remedy=f"Leave {TRAP}_{option} at {getattr(Config(), option):.0f}, its default",
            )


def _no_metrics(facts: Facts, policy: Policy) -> Iterator[Finding]:
    if not facts.textfile_folder and policy.textfile_folder is None:
        yield Finding(
            id=f"{TRAP}.no_textfile_folder",
            severity="info",
            where=", ".join(TEXTFILE_FOLDERS),
            observed="none of them is there",
            wanted="the folder of node-exporter's textfile collector",
            why="the watchdog writes no metrics; its events are in the journal of systemd all the same",
            remedy=f"Name the folder in {TRAP}_textfile_folder, or '' for no metrics",
        )
    elif facts.no_folder and facts.no_folder == (policy.textfile_folder or "").rstrip("/"):
        yield Finding(
            id=f"{TRAP}.no_textfile_folder",
            severity="low",
            where=facts.no_folder,
            observed="it is not there",
            wanted="the folder of node-exporter's textfile collector",
            why="the watchdog writes no metrics; it takes the folder up at its next start",
            remedy=f"Make the folder and restart {UNIT}, or name another one in {TRAP}_textfile_folder",
        )
