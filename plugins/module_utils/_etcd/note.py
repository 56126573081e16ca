# Private to the collection nodeward.calico: may change in any release.
"""The note that a run leaves on the node before it writes, until the member is well: a killed run leaves it behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from .._core import journal
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.verbs import SetKey

PATH = f"{journal.FOLDER}/etcd-unfinished.json"
MODE = 0o600


def leave(host: Host, name: str, unit: str, changes: Sequence[SetKey]) -> None:
    """Keep what is about to be written for the member ``name``; ``unit`` is '' for the kubelet's. Raises OSError."""
    kept = [{**asdict(change), "reason": change.reason.disrupts} for change in changes]
    host.write_file(PATH, json.dumps({"name": name, "unit": unit, "changes": kept}) + "\n", MODE)


def remove(host: Host) -> None:
    """Forget it: the member is well. Raises NodewardError."""
    try:
        if host.read_text(PATH) is not None:
            host.remove_file(PATH)
    except OSError as error:
        raise NodewardError(
            what=f"cannot be removed: {error.strerror}",
            where=PATH,
            remedy="Remove it by hand: else a member that is stopped may be started with older values",
        ) from error


def names(host: Host, name: str) -> bool:
    """Tell whether a killed run has left the member ``name`` unfinished."""
    try:
        told = json.loads(host.read_text(PATH) or "null")
    except ValueError:  # `unfinished.find` tells of it
        return False
    return isinstance(told, dict) and told.get("name") == name
