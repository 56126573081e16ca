# Private to the collection nodeward.calico: may change in any release.
"""When a defragmentation pays: what the module etcd_defrag and the timer of the trap go by. Source: etcd's mixin."""

from __future__ import annotations

from typing import Any

LEAST_BYTES, MOST_IN_USE = 100 * 1024**2, 0.5

OPTIONS: dict[str, dict[str, Any]] = {
    "least_bytes": {"type": "int", "default": LEAST_BYTES},
    "most_in_use": {"type": "float", "default": MOST_IN_USE},
    "any_version": {"type": "bool", "default": False},
    "allow_outage": {"type": "bool", "default": False},
}


def wrong(least_bytes: int, most_in_use: float) -> str:
    """Say what makes no sense of bytes to win at least, and the share in use at most; '' where all does."""
    if least_bytes < 0 or not 0 < most_in_use <= 1:
        return "least_bytes must not be below 0, and most_in_use must be above 0 and at most 1"
    return ""
