# Private to the collection nodeward.calico: may change in any release.
"""The one error that reaches a user."""

from __future__ import annotations


class NodewardError(Exception):
    """Something that a person has to act on: what happened, where, and what to do next.

    Attributes are plain sentences without a full stop; none of them ever carries a secret.
    """

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}."


def of_system(error: OSError) -> NodewardError:
    """Say what the system refused in the same words, such as an input/output error of a disk."""
    return NodewardError(
        what=f"cannot be read or written: {error.strerror or error}",
        where=str(error.filename or "the node"),
        remedy="Mend it (dmesg tells of disks), then run again",
    )
