# Private to the collection nodeward.calico: may change in any release.
"""What Calico's own detection of the MTU sees: the smallest of the links whose names match a pattern; pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from .._node.calico_links import PATTERNS
from . import places
from .install import Calico

PATTERN = "/spec/mtuIfacePattern"
# Calico finds the MTU itself from here on (felix #2511).
SINCE = (3, 17, 0)
NEWER_PATTERN_SINCE = (3, 27, 0)


def is_known(calico: Calico) -> bool:
    """Tell whether this Calico finds the MTU itself where nothing is set; not where its version is unknown."""
    return calico.version is not None and calico.version >= SINCE


def missed(calico: Calico, names: Collection[str]) -> list[str]:
    """Return the names of uplinks that are not seen, as it is set up now."""
    given = pinned(calico, "FELIX_MTUIFACEPATTERN") or places.get(calico.felix, PATTERN)
    if calico.version and not is_known(calico):
        return sorted(names)
    try:
        pattern = re.compile(given or default_pattern(calico))
    except re.error:  # Go's syntax is not Python's: nobody can tell here
        return []
    return [name for name in sorted(names) if not pattern.search(name)]  # as Go's MatchString


def default_pattern(calico: Calico) -> str:
    """Return the pattern of this release (see calico_links)."""
    newest, older = (pattern for _versions, pattern in PATTERNS)
    return older if calico.version and calico.version < NEWER_PATTERN_SINCE else newest


def pinned(calico: Calico, name: str) -> str | None:
    """Return what the environment of calico-node says, "" where it refers to something else, None where it does not."""
    values = (places.get(each, f"/env/{name}") for each in calico.containers)
    found = next((each for each in values if each), None)
    return None if found is None else str(found.get("value") or "")
