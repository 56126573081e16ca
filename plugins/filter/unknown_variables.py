# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find variables that look like those of a trap and are none. Documented in unknown_variables.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Callable

from ..module_utils._kube.traps import ACCESS, CLUSTER_TRAPS
from ..module_utils._node.traps import TRAPS

# Those of the playbooks, and of the role report.
OTHER_VARIABLES = (
    "nodeward_hosts",
    "report_folder",
    "report_kind",
    "report_fail_on",
    "report_rules",
    "audit_rules",
    "diagnose_node",
    "audit_fail_on",
    "audit_probe_paths",
    "harden_allow",
    "harden_pause",
    "harden_save_plan",
    "harden_apply_plan",
    "harden_kubeconfig",
    "harden_api_host",
    "harden_api_kubeconfig",
    "harden_api_context",
    "node_allow",
    "node_plan",
    "node_state",
)

# Variables that begin like a trap's and are for the playbooks alone.
PLAYBOOKS = {"etcd_timing": ("snapshot_folder",)}

# How alike a name is to one of ours before it is taken for it; a letter more or less makes about 0.97.
ALIKE = 0.9


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a sentence for every name that was probably meant for this collection and is unknown to it.

    That is a name that begins like the variables of a trap, or is nearly one of ours. Those of the playbooks share
    their beginnings with other people's (githubixx.harden_linux has harden_linux_ssh_port): the latter is for these.
    """
    owned = {f"{trap}_": _variables(trap, [*spec.OPTIONS], spec.ALLOWS) for trap, spec in TRAPS.items()}
    for trap, cluster in CLUSTER_TRAPS.items():
        mine = _variables(trap, [*cluster.options, *ACCESS], cluster.allows)
        owned[f"{trap}_"] = list(dict.fromkeys([*owned.get(f"{trap}_", []), *mine]))
    known = [*OTHER_VARIABLES, *(name for variables in owned.values() for name in variables)]
    return [sentence for name in sorted(set(names) - set(known)) for sentence in _meant(name, owned, known)]


def _meant(name: str, owned: Mapping[str, list[str]], known: list[str]) -> list[str]:
    for prefix, variables in owned.items():
        if name.startswith(prefix):
            close = get_close_matches(name, variables, n=1)
            meant = f"did you mean {close[0]}? " if close else ""
            return [f"{name} is unknown: {meant}With {prefix} begin only {', '.join(variables)}"]
    # Comparing costs, and there may be a thousand variables: only those that begin alike.
    alike = get_close_matches(name, [other for other in known if other[:3] == name[:3]], n=1, cutoff=ALIKE)
    return [f"{name} is no variable that anything reads: did you mean {alike[0]}? If not, rename it"] if alike else []


def _variables(trap: str, options: list[str], allows: tuple[str, ...]) -> list[str]:
    # TRAP_result is what the role registers (TRAP_seen what it looked at); its own begin with an underscore.
    others = ("state", "result", "seen", *PLAYBOOKS.get(trap, ()), *(f"allow_{word}" for word in allows))
    return [f"{trap}_{name}" for name in (*options, *others)]


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unknown_variables": unknown_variables}
