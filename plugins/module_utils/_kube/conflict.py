# Private to the collection nodeward.calico: may change in any release.
"""Try again where somebody else wrote an object between our read and our write (HTTP 409)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .client import ApiError

_Made = TypeVar("_Made")

TRIES = 5
# Seconds before the second try; each further one waits twice as long.
BACK_OFF = 0.1


def retried(attempt: Callable[[], _Made], sleep: Callable[[float], None] = time.sleep) -> _Made:
    """Return what an attempt makes that reads, plans and writes anew each time. Raises what the last one raises."""
    for number in range(TRIES - 1):
        try:
            return attempt()
        except ApiError as error:
            if error.status != 409:
                raise
        sleep(BACK_OFF * 2**number)
    try:
        return attempt()
    except ApiError as error:
        if error.status != 409:
            raise
        raise ApiError(
            f"{error.what}; somebody else wrote it before each of {TRIES} tries",
            error.where,
            error.status,
            remedy="See who keeps writing it (kubectl get --show-managed-fields, its field managers), stop that for "
            "the time, then run again",
        ) from error
