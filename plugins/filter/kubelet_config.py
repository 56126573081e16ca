# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kubeadm's own copy of the kubelet's configuration needs, from what the nodes returned.

Documented in kubelet_config.yml and kubeadm_nodes.yml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from ..module_utils._core.plan import Finding
from ..module_utils._kube.kubelet_config_map import OPTIONS
from ..module_utils._kube.quantity import quantity
from ..module_utils._node.kubelet_file import word_at

_CONSENT = "kubelet_restart"
_ID = "pid_limits.kubelet_config_map"


def kubelet_config(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``values`` for kubelet_config_map and ``held_back_by``, the hosts whose turn comes first.

    A value is what every kubelet of kubeadm's runs with, the largest of them. On a partial view nothing is done:
    a node that was not seen, or still waits for consent, may need more than the others have.
    """
    names = list(hosts)
    seen = dict(_of_kubeadm(names, variables))
    values = {option: _largest_of_all(seen.values(), key) for key, option in OPTIONS.items()}
    held_back_by = [host for host in names if not _is_done(variables.get(host, {}).get("node_result") or {})]
    return {
        "values": {option: value for option, value in values.items() if value > 0},
        "held_back_by": held_back_by,
        "findings": [_finding(held_back_by)] if held_back_by and any(values.values()) else [],
    }


def kubeadm_nodes(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts whose kubelet kubeadm configured, and on which the run did not fail."""
    return [host for host, _result in _of_kubeadm(hosts, variables)]


def _of_kubeadm(
    hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for host in hosts:
        result = variables.get(host, {}).get("node_result") or {}
        facts = result.get("facts") or {}
        if not result.get("failed") and facts.get("pid_limits", {}).get("kubelet", {}).get("kubeadm"):
            yield host, result


def _is_done(result: Mapping[str, Any]) -> bool:
    """Tell whether a node was looked at, and waits for nothing that its kubelet needs."""
    waits = any(change["disrupts"] == _CONSENT for change in result.get("pending", []))
    return "facts" in result and not result.get("failed") and not waits


def _largest_of_all(results: Iterable[Mapping[str, Any]], key: str) -> int:
    """Return the largest value that they have, 0 where one has none: then it is not all nodes' setting."""
    present = [_given(result, key) or _in_force(result, key) for result in results]
    return max(present, default=0) if all(present) else 0


def _in_force(result: Mapping[str, Any], key: str) -> int:
    """Return what the kubelet had before this run."""
    return result["facts"]["pid_limits"]["kubelet"].get("in_force", {}).get(key) or 0


def _given(result: Mapping[str, Any], key: str) -> int:
    """Return what this run gave the kubelet: in a file of ours, or as one key of another's."""
    for change in result.get("changes", []):
        after = change["after"] or ""
        if change["disrupts"] == _CONSENT and change["target"].endswith(f"#{key}"):
            return quantity(after.strip("\"'")) or 0
        if change["disrupts"] == _CONSENT and change["target"].startswith("file "):
            return quantity(word_at(key, after)) or 0
    return 0


def _finding(held_back_by: list[str]) -> dict[str, Any]:
    return Finding(
        id=_ID,
        severity="low",
        where="ConfigMap kube-system/kubelet-config",
        observed=f"not looked at, since these nodes were not, or wait for consent: {', '.join(held_back_by[:5])}",
        wanted="the limits that the kubelets have",
        why="the next kubeadm upgrade writes the nodes' configuration from it",
        remedy="Run harden on all nodes, with harden_allow=kubelet_restart where they wait for it",
    ).describe()


class FilterModule:
    """Makes the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kubelet_config": kubelet_config, "kubeadm_nodes": kubeadm_nodes}
