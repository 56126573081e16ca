# Private to the collection nodeward.calico: may change in any release.
"""Which hosts of an inventory are which nodes of a cluster, by what each is called; pure.

The same name or address is the same machine. A short name is the same as a full one (node1, node1.example.org) where
no other host and no other node begins with it: node1.a and node1.b are two, and which of them node1 is nobody knows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import places

# What one host or one node is called; what is empty says nothing.
Names = Sequence[str]


def pairs(hosts: Sequence[Names], nodes: Sequence[Mapping[str, Any]]) -> set[tuple[int, int]]:
    """Return the places of hosts and of nodes (as the API server has them) that are the same machine."""
    names = [(str(node["metadata"]["name"]),) for node in nodes]
    called = _places((place, word) for place, node in enumerate(nodes) for word in (*names[place], *_addresses(node)))
    same = {(host, node) for host, words in enumerate(hosts) for word in words for node in called.get(word, ())}
    known_hosts, known_nodes = {host for host, _node in same}, {node for _host, node in same}
    short = _by_short_name(hosts, names)
    return same | {(host, node) for host, node in short if host not in known_hosts and node not in known_nodes}


def _by_short_name(hosts: Sequence[Names], nodes: Sequence[Names]) -> Iterator[tuple[int, int]]:
    of_nodes = _by_label(nodes)
    for label, found in _by_label(hosts).items():
        others = of_nodes.get(label, set())
        if len(found) == len(others) == 1:
            [host], [node] = found, others
            if not (_full(hosts[host], label) and _full(nodes[node], label)):  # two full names are compared whole
                yield host, node


def _by_label(each: Sequence[Names]) -> dict[str, set[int]]:
    return _places((place, _label(word)) for place, words in enumerate(each) for word in words)


def _places(words: Iterable[tuple[int, str]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for place, word in words:
        if word:
            found.setdefault(word, set()).add(place)
    return found


def _label(name: str) -> str:
    """Return the first label of a name; nothing of an address, where it is the same for a whole network."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.partition(".")[0]
    return ""


def _full(names: Names, label: str) -> bool:
    return any(name.startswith(f"{label}.") for name in names)


def _addresses(node: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(each.get("address") or "") for each in places.get(node, "/status/addresses") or [])
