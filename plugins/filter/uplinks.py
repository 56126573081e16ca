# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nodes' uplinks, from what the nodes returned. Documented in uplinks.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

# Where the roles leave what link_mtu saw; the newest last.
_RESULTS = ("calico_mtu_seen", "node_result", "link_mtu_result")


def uplinks(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return name and MTU of the uplink of each host on which one was seen, with the inventory's address.

    The MTU is what it carries: a bridge's is no more than its ports'.
    """
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        given = variables.get(host, {})
        seen = [_uplink(given.get(result) or {}) for result in _RESULTS]
        for uplink in filter(None, seen):
            address = given.get("ansible_host") or host
            found[host] = {"name": uplink["name"], "mtu": uplink["carries"], "address": str(address)}
    return found


def _uplink(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    facts: Mapping[str, Any] = result.get("facts") or {}
    return (facts.get("link_mtu") or {}).get("uplink")


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"uplinks": uplinks}
