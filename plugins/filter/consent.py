# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consent to what disrupts, and when to go no further. Documented in consents.yml and failed_nodes.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._core.plan import CONSENTS
from ..module_utils._node.traps import ON_NODES


def consents(words: str | Iterable[str], on_nodes: bool = False) -> list[str]:
    """Return the words of consent in a list, or in a text with commas. Raises on a word that means nothing.

    With ``on_nodes`` only those that the role node acts on.
    """
    given = words.split(",") if isinstance(words, str) else list(words or ())
    named = [str(word).strip() for word in given if str(word).strip()]
    for word in named:
        if word not in CONSENTS:
            close = get_close_matches(word, CONSENTS, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            words_known = ", ".join(CONSENTS)
            raise AnsibleFilterError(f"harden_allow: {word!r} allows nothing.{meant} The words are {words_known}")
    return [word for word in named if word in ON_NODES] if on_nodes else named


def failed_nodes(
    hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], result: str = "node_result"
) -> list[str]:
    """Return the hosts on which a role failed, or that were not reached by it; ``result`` is what it registers."""
    results = ((host, variables[host].get(result) or {}) for host in hosts)
    return [host for host, each in results if each.get("failed") or each.get("unreachable")]


def reached(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts that the role node saw, those on which it failed included."""
    results = ((host, variables.get(host, {}).get("node_result") or {}) for host in hosts)
    return [host for host, result in results if result and not result.get("unreachable")]


class FilterModule:
    """Makes the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"consents": consents, "failed_nodes": failed_nodes, "reached": reached}
