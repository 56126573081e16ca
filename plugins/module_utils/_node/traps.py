# Private to the collection nodeward.calico: may change in any release.
"""The node traps, their options, and which of them a run is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import CONSENTS, Plan, Refusal
from .._core.verbs import Change
from . import bird_watchdog, cni_token, etcd_defrag, etcd_timing, link_mtu, pid_limits, process_metrics

# Traps of the cluster, which have nothing to do on a node: a run for them alone is none that was mistyped.
CLUSTER_TAGS = ("calico_mtu", "calico_probes")

# Words that Ansible puts into ansible_run_tags and ansible_skip_tags for more than one tag.
ALL_TAGS = {"all", "tagged"}

# What a node does where it is allowed; the other words are for modules that look at a whole cluster.
ON_NODES = ("kubelet_restart", "uplink_change", "pod_veth_change", "exporter_install")

# How alike a tag is to the name of a trap before it is taken for a mistake; other tags are other people's.
ALIKE = 0.8


class Trap(Protocol):
    """What the Python module of a node trap holds."""

    OPTIONS: dict[str, dict[str, Any]]
    ALLOWS: tuple[str, ...]  # the words of consent that its changes may need
    Policy: Any  # a dataclass whose fields are the options

    def observe(self, host: Host, /) -> Any: ...

    def plan(self, facts: Any, policy: Any, /) -> Plan: ...

    def shown(self, facts: Any, policy: Any = None, /) -> dict[str, Any]:
        """Shape the facts for results; no ``policy`` where nothing is wanted, as in a restore."""

    def guard(
        self, facts: Any, changes: Sequence[Change], policy: Any = None, pending: Sequence[Change] = (), /
    ) -> Iterable[Refusal]:
        """Name the changes of a restore that would harm what runs now, while those of ``pending`` wait."""

    def going_back(self, facts: Any, changes: Sequence[Change], policy: Any, /) -> Plan:
        """Plan these changes of a restore in the order in which none harms, without what is no longer ours to set."""


TRAPS: dict[str, Trap] = {
    pid_limits.TRAP: pid_limits,
    link_mtu.TRAP: link_mtu,
    bird_watchdog.TRAP: bird_watchdog,
    cni_token.TRAP: cni_token,
    etcd_timing.TRAP: etcd_timing,
    etcd_defrag.TRAP: etcd_defrag,
    process_metrics.TRAP: process_metrics,
}

# Traps that look whether a thing which is no part of the cluster does worse after their changes. Then these are put
# back with a finding, which is no error: everything else is done.
TRIED = {process_metrics.TRAP: process_metrics.attempt}


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the options of node and node_info; the traps' defaults stand here and nowhere else."""
    traps = {name: {"type": "dict", "options": trap.OPTIONS} for name, trap in TRAPS.items()}
    return {
        **traps,
        "tags": {"type": "list", "elements": "str", "default": ["all"]},
        "skip_tags": {"type": "list", "elements": "str", "default": []},
    }


def acting_spec() -> dict[str, dict[str, Any]]:
    """Return the options that only node has."""
    return {
        "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
        "allow": {"type": "list", "elements": "str", "choices": list(CONSENTS), "default": []},
        "plan": {
            "type": "dict",
            "default": {},
            "options": {"node": {"type": "str"}, "saved": {"type": "raw"}},
        },
    }


def selected(given: Collection[str], tags: Collection[str], skip_tags: Collection[str]) -> list[str]:
    """Return the traps that a run with these tags is about, in the order of TRAPS."""
    wanted = given if ALL_TAGS & set(tags) else set(given) & set(tags)
    left_out = set(TRAPS) if ALL_TAGS & set(skip_tags) else set(skip_tags)
    return [name for name in TRAPS if name in wanted and name not in left_out]


def chosen(params: Mapping[str, Any], beside: Sequence[str] = ()) -> list[str]:
    """Return the traps of a run with these options, ``beside`` being other tags that it knows. Raises NodewardError."""
    given = [name for name in TRAPS if params.get(name) is not None]
    names = selected(given, params["tags"], params["skip_tags"])
    _require_tags_that_say_something(names, given, params["tags"], params["skip_tags"], (*CLUSTER_TAGS, *beside))
    return names


def _require_tags_that_say_something(
    names: Sequence[str], given: Sequence[str], tags: Sequence[str], skip_tags: Sequence[str], beside: Sequence[str]
) -> None:
    """Refuse tags that leave nothing, or are nearly a trap's name: neither may pass for a run as it was meant."""
    known = (*TRAPS, *beside)
    mistyped = [
        word for word in (*tags, *skip_tags) if word not in known and get_close_matches(word, known, cutoff=ALIKE)
    ]
    if mistyped or (not names and not set(tags) & set(beside)):
        without = f", without {', '.join(skip_tags)}" if skip_tags else ""
        raise NodewardError(
            what=f"no trap is called {', '.join(mistyped)}" if mistyped else "no trap is left to run",
            where=f"tags {', '.join(tags)}{without}",
            remedy=f"Name one of {', '.join(given or TRAPS)} with --tags, or leave the tags out",
        )
