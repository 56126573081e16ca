# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which paths to other nodes a node measures, from what the nodes returned. Documented in path_targets.yml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from ..module_utils._core import echo

PEERS = 3  # nodes that one node asks; every node is asked by as many


def path_targets(host: str, hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `node_info` takes as ``paths_to`` on this host: its uplink and tunnels to a sample of the others."""
    seen = {each: facts for each in hosts for facts in [_facts(variables.get(each, {}))] if facts.get("uplink")}
    if host not in seen:
        return []
    return [target for peer in chosen(host, list(seen)) for target in _paths(peer, seen[host], seen[peer])]


def chosen(host: str, hosts: Sequence[str], peers: int = PEERS) -> list[str]:
    """Choose evenly over a ring of all hosts, the next one first: neighbours in an inventory are often one rack."""
    at, others = hosts.index(host), len(hosts) - 1
    count = min(peers, others)
    return [hosts[(at + 1 + others * number // count) % len(hosts)] for number in range(count)]


def _facts(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return ((given.get("node_result") or {}).get("facts") or {}).get("link_mtu") or {}


def _paths(peer: str, own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    tunnels = {tunnel["name"]: tunnel for tunnel in other.get("tunnels", [])}
    pairs = [(own["uplink"], other["uplink"])]
    pairs += [(tunnel, tunnels[tunnel["name"]]) for tunnel in own.get("tunnels", []) if tunnel["name"] in tunnels]
    for link, end in pairs:
        address = (other.get("addresses") or {}).get(end["name"])
        if address:
            yield {
                "node": peer,
                "over": link["name"],
                "address": address,
                "mtu": min(link["mtu"], end["mtu"], echo.LARGEST),
                "carries": min(_room(own, link), _room(other, end)),
            }


def _room(node: Mapping[str, Any], link: Mapping[str, Any]) -> int:
    """Return how large a tunnel, or the uplink itself, may be by what the uplink of its node carries, in bytes."""
    return int(node["uplink"]["carries"]) - int(link.get("overhead", 0))


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"path_targets": path_targets}
