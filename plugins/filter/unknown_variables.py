# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find variables that look like those of a trap and are none. Documented in unknown_variables.yml."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Callable

from ..module_utils._node.run import TRAPS


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a sentence for every name that begins like a variable of a trap and is none of them."""
    sentences = []
    for name in sorted(names):
        for trap, known in _known().items():
            if name.startswith(f"{trap}_") and name not in known:
                close = get_close_matches(name, known, n=1)
                meant = f"did you mean {close[0]}? " if close else ""
                sentences.append(f"{name} is no variable of the trap {trap}: {meant}It has {', '.join(known)}")
    return sentences


def _known() -> dict[str, list[str]]:
    # NAME_result is what the role registers; its own variables begin with an underscore.
    return {n: [*(f"{n}_{option}" for option in trap.OPTIONS), f"{n}_result"] for n, trap in TRAPS.items()}


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unknown_variables": unknown_variables}
