# Private to the collection nodeward.calico: may change in any release.
"""Versions of etcd, and what depends on them."""

from __future__ import annotations

import re

Version = tuple[int, int, int]

UNKNOWN: Version = (0, 0, 0)

# The first release of each minor that has /livez and /readyz (etcd CHANGELOG-3.4 #17128, CHANGELOG-3.5 #17039).
_READYZ = {(3, 4): 29, (3, 5): 11}

# The first that does not corrupt its database when it is defragmented while it takes a snapshot from the leader
# (#20271: CHANGELOG-3.4 #20659, -3.5 #20653, -3.6 #20650).
_DEFRAG = {(3, 4): 38, (3, 5): 23, (3, 6): 5}


def parse(text: str) -> Version:
    """Read '3.5.21', with anything behind it; UNKNOWN for anything else.

    A pre-release ('3.5.23-rc.0') counts as the release before it: a fix may have come after it.
    """
    found = re.match(r"v?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})(-(?:alpha|beta|rc))?", text.strip())
    if not found:
        return UNKNOWN
    patch = int(found[3])
    return int(found[1]), int(found[2]), max(patch - 1, 0) if found[4] else patch


def has_readyz(version: Version) -> bool:
    """Tell whether it serves /livez and /readyz; before, /health is all there is."""
    return _is_since(version, _READYZ, newer=(3, 6))


def defrag_is_safe(version: Version) -> bool:
    """Tell whether a defragmentation cannot meet a snapshot that is being applied (#20271)."""
    return _is_since(version, _DEFRAG, newer=(3, 7))


def _is_since(version: Version, first: dict[tuple[int, int], int], newer: tuple[int, int]) -> bool:
    minor = version[:2]
    if minor in first:
        return version[2] >= first[minor]
    return minor >= newer


def pre_votes_by_default(version: Version) -> bool:
    """Tell whether a member that comes back asks before it stands for election (embed/config.go, 3.5)."""
    return version >= (3, 5, 0)
