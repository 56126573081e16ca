# Private to the collection nodeward.calico: may change in any release.
"""What all verbs share: why something is done, and how a verb says that a place is not as it should be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ..errors import NodewardError
from ..files import BYTES_SURVIVE, ENCODING
from ..host import Host

# Bytes on disk that a new small file may take.
BLOCK = 4096

MANAGED_BY = "Managed by nodeward.calico: changes made here are lost at its next run"


@dataclass(frozen=True)
class Reason:
    """Why a change is planned: the trap, a sentence for people, and what it costs.

    ``severity`` is that of the finding which the change mends. ``disrupts`` is the word of consent
    that the change needs, '' when it disrupts nothing; ``way_back`` that of going back, where it needs more.
    """

    trap: str
    why: str
    severity: str = "medium"
    disrupts: str = ""
    way_back: str = ""


Self = TypeVar("Self", bound="FollowUp")


class FollowUp:
    """A verb that makes what was written before it take effect: it has no state of its own."""

    before: ClassVar[None] = None
    after: ClassVar[None] = None
    follows: ClassVar[bool] = True

    def present(self, host: Host) -> None:
        """Return nothing: what takes effect follows the files."""

    def check(self, host: Host) -> None:
        """Nothing can be told before the files are written."""

    def inverse(self: Self) -> Self:
        """Return what to do once everything else was put back: the same again."""
        return self


def still(target: str, present: str | None, expected: str | None) -> None:
    """Raise unless a place is as it was when the plan was made."""
    if present != expected:
        raise NodewardError(
            what="something else changed it since it was read "
            f"(expected {_named(target, expected)}, found {_named(target, present)})",
            where=target,
            remedy="Find out what writes it, then run again",
        )


def took(target: str, present: str | None, wanted: str | None) -> None:
    """Raise unless a place reads back as what was written."""
    if present != wanted:
        raise NodewardError(
            what=f"the value did not take: wanted {_named(target, wanted)}, read back {_named(target, present)}",
            where=target,
            remedy="Find out what else writes it; the value before our change was put back",
        )


def require_writable(host: Host, path: str, size: int) -> None:
    """Raise where ``size`` bytes could not be written to ``path``."""
    obstacle = host.why_not_writable(path, size)
    if obstacle:
        raise NodewardError(
            what=f"cannot be written: {obstacle}",
            where=path,
            remedy="Make it writable and give the disk some room, then run again",
        )


def _named(target: str, state: str | None) -> str:
    """Say what there is; of a file only its sum, since an error is no place for what a file may hold."""
    if state is None:
        return "nothing"
    if not target.startswith("file "):
        return repr(state)
    return f"sha256 {hashlib.sha256(state.encode(ENCODING, BYTES_SURVIVE)).hexdigest()[:12]}"
