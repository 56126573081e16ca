# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nodes whose CNI token is refused, or accepted and about to expire. Documented in stale_tokens.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..module_utils._kube.cni_token import is_due

# Where the roles leave what the trap saw; the newest first.
_RESULTS = ("cni_token_seen", "node_result")


def stale_tokens(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return ``due``, the hosts that need a new token, ``refused``, those of them whose token is refused now, and
    ``untried``, those of which no run has tried it.
    """
    seen = [(host, token_facts(variables.get(host, {}))) for host in hosts]
    refused = [host for host, facts in seen if facts.get("answer") == "refused"]
    return {
        "due": [host for host, facts in seen if is_due(facts)],
        "refused": refused,
        "untried": [host for host, facts in seen if not facts],
    }


def token_facts(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the trap saw on a host, from the variables of that host; nothing where it saw nothing."""
    for name in _RESULTS:
        facts = ((variables.get(name) or {}).get("facts") or {}).get("cni_token")
        if facts:
            return dict(facts)
    return {}


class FilterModule:
    """Makes the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stale_tokens": stale_tokens, "token_facts": token_facts}
