# Private to the collection nodeward.calico: may change in any release.
"""The few things a plan may do to a node. Traps only plan; verbs act.

Every verb knows the state before and after, so that it can be shown (check and diff mode), verified,
journalled and turned round. A verb that ``follows`` makes what was written before it take effect (a unit
that is reloaded or restarted): it has no state of its own to go back to, so it is turned round by doing it
again after everything else was put back.
"""

from __future__ import annotations

import hashlib
from typing import Callable, Union

from ..formats import FORMATS
from .base import MANAGED_BY, Reason, require_writable
from .files import RemoveFile, WriteFile, file_change
from .folders import MakeFolder, RemoveFolder, folder_change
from .keys import SetKey, key_change
from .link_files import KINDS as LINK_FILES
from .link_files import GenerateNetplan, LoadProfile, link_file_change
from .links import LINK, PEER, SetLinkMtu
from .packages import PACKAGE, SetPackage
from .priorities import IO_PRIORITY, SetIoPriority
from .sysctls import SetSysctl, sysctl_path
from .units import KINDS, RUN, ReloadUnit, RestartUnit, RunUnit, StartUnit, unit_change

__all__ = [
    "FOLLOW_UPS",
    "MANAGED_BY",
    "Change",
    "GenerateNetplan",
    "LoadProfile",
    "MakeFolder",
    "Reason",
    "ReloadUnit",
    "RemoveFile",
    "RemoveFolder",
    "RestartUnit",
    "RunUnit",
    "SetIoPriority",
    "SetKey",
    "SetLinkMtu",
    "SetPackage",
    "SetSysctl",
    "StartUnit",
    "WriteFile",
    "change_at",
    "describe",
    "diff",
    "require_writable",
    "sysctl_path",
]

Change = Union[
    SetSysctl,
    SetKey,
    SetLinkMtu,
    SetIoPriority,
    WriteFile,
    RemoveFile,
    MakeFolder,
    RemoveFolder,
    SetPackage,
    RunUnit,
    ReloadUnit,
    RestartUnit,
    StartUnit,
    LoadProfile,
    GenerateNetplan,
]


# Kinds of targets that have no state of their own.
FOLLOW_UPS = (*KINDS, *LINK_FILES, IO_PRIORITY)


def change_at(target: str, before: str | None, after: str | None, reason: Reason) -> Change | None:
    """Return the verb that brings a place from one state to another, None for a target that no verb has.

    ``target`` as ``Change.target`` names it; this is how restore reads the journal.
    """
    kind, _space, place = target.partition(" ")
    verbs: dict[str, Callable[[], Change]] = {
        "sysctl": lambda: SetSysctl(place, before or "", after or "", reason),
        "file": lambda: file_change(place, before, after, reason),
        "folder": lambda: folder_change(place, after, reason),
        LINK: lambda: SetLinkMtu(place, before, after, reason),
        PEER: lambda: SetLinkMtu(place, before, after, reason, peer=True),
        PACKAGE: lambda: SetPackage(place, before, after, reason),
        RUN: lambda: RunUnit(place, before, after, reason),
        IO_PRIORITY: lambda: SetIoPriority(place, reason),
        **{name: lambda: unit_change(kind, place, before, reason) for name in KINDS},
        **{name: lambda: link_file_change(kind, place, reason) for name in LINK_FILES},
        **{name: lambda: key_change(kind, place, before, after, reason) for name in FORMATS},
    }
    return verbs[kind]() if kind in verbs else None


# Characters of a state in results and reports; a program is longer, and is what it is on every node.
LONGEST_SHOWN = 10_000


def describe(change: Change) -> dict[str, str | None]:
    """Shape a change for results and reports: what, from, to, and why. A follow-up has no states to show.

    Of a text that is too long only its size and sum are told; the diff has all of it.
    """
    return {
        "trap": change.reason.trap,
        "target": change.target,
        "before": None if change.follows else _shown(change.before),
        "after": None if change.follows else _shown(change.after),
        "why": change.reason.why,
        "disrupts": change.reason.disrupts,
    }


def _shown(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST_SHOWN:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return f"{len(text)} characters, SHA-256 {digest}"


def diff(change: Change) -> dict[str, str]:
    """Shape a change for Ansible's diff mode."""
    return {
        "before_header": change.target,
        "after_header": change.target,
        "before": "" if change.follows else _with_newline(change.before),
        "after": "done\n" if change.follows else _with_newline(change.after),
    }


def _with_newline(text: str | None) -> str:
    if not text:
        return ""
    return text if text.endswith("\n") else text + "\n"
