# Private to the collection nodeward.calico: may change in any release.
"""The settings that the trap etcd_timing knows: how etcd calls them, and what it takes when nobody sets them.

Source: etcd server/embed/config.go and etcdmain/config.go of 3.4 to 3.7. None of these names changed between
those; etcd tells of others by its version (`version.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Union

from .version import Version

# A setting's value as a number, or as etcd's own word for it ('periodic', '5m').
Value = Union[int, str]
Values = Mapping[str, Value]

HEARTBEAT, ELECTION = "heartbeat-interval", "election-timeout"
SNAPSHOT_COUNT = "snapshot-count"
COMPACTION_MODE, COMPACTION_RETENTION = "auto-compaction-mode", "auto-compaction-retention"
QUOTA = "quota-backend-bytes"

# Always in this order: journals name places by it.
NAMES = (HEARTBEAT, ELECTION, SNAPSHOT_COUNT, COMPACTION_MODE, COMPACTION_RETENTION, QUOTA)

_WORDS = {COMPACTION_MODE: re.compile("periodic|revision"), COMPACTION_RETENTION: re.compile("[0-9]+[0-9a-zµ.]*")}


@dataclass(frozen=True)
class Effective:
    """What one member runs with, and for which settings somebody said so (the others are etcd's own defaults)."""

    values: Values
    given: frozenset[str] = frozenset()

    def differs(self, wanted: Values) -> dict[str, Value]:
        """Return what is wanted and not so."""
        return {name: value for name, value in wanted.items() if not same(name, self.values.get(name), value)}


def variable(name: str) -> str:
    """Return the environment variable of a flag (etcd pkg/flags FlagToEnv)."""
    return "ETCD_" + name.upper().replace("-", "_")


def defaults(version: Version) -> dict[str, Value]:
    """Return what etcd takes when nothing is given."""
    return {
        HEARTBEAT: 100,
        ELECTION: 1000,
        SNAPSHOT_COUNT: 10000 if version >= (3, 6, 0) else 100000,  # PR #15408
        COMPACTION_MODE: "periodic",
        COMPACTION_RETENTION: "0",
        QUOTA: 0,  # 2 GiB (server/storage/quota.go DefaultQuotaBytes)
    }


def read(name: str, text: str) -> Value | None:
    """Return the value that a text means, None where it means none."""
    text = text.strip()
    if name in _WORDS:
        return text if _WORDS[name].fullmatch(text) else None
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def same(name: str, one: Value | None, other: Value | None) -> bool:
    """Tell whether two values mean the same: a retention of '8' is one of '8h', and both are '480m'.

    With the mode revision it is a bare number in any case, and two of those are the same where they are equal.
    """
    if name == COMPACTION_RETENTION and one is not None and other is not None:
        return one == other or (seconds(str(one)) is not None and seconds(str(one)) == seconds(str(other)))
    return one == other


def seconds(retention: str) -> int | None:
    """Return how long a retention is, in seconds; a bare number is in hours. None where it is none, or finer."""
    if retention.isascii() and retention.isdecimal():
        return 3600 * int(retention)
    found = re.fullmatch(r"(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?", retention)
    if not retention or found is None:
        return None
    return sum(int(number or 0) * unit for number, unit in zip(found.groups(), (3600, 60, 1)))


def effective(given: Mapping[str, str], version: Version) -> Effective:
    """Return what a member runs with, of what it was given by flag, variable or file."""
    read_values = {name: read(name, given[name]) for name in NAMES if name in given}
    told = {name: value for name, value in read_values.items() if value is not None}
    return Effective({**defaults(version), **told}, frozenset(told))


def variables(names: Iterable[str] = NAMES) -> dict[str, str]:
    """Return the environment variables of settings, by the setting."""
    return {name: variable(name) for name in names}
