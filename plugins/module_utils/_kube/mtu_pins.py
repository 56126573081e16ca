# Private to the collection nodeward.calico: may change in any release.
"""Environment of calico-node that says an MTU by itself, where Calico's manifest has it read veth_mtu; pure.

kubespray has no veth_mtu: there such variables are the setting, and told only where a tunnel gets too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .._core.plan import Finding
from . import mtu_findings, places, restart
from .install import Calico
from .port import Item

_VETH_MTU = {"name": "calico-config", "key": "veth_mtu"}
# What the init container install-cni writes into the CNI's configuration, for the links of pods.
_PODS = "CNI_MTU"
_TOO_LARGE = "full packets are larger than the uplink carries (incident C)"


def of(calico: Calico, pods: int | None, most: Mapping[str, int]) -> Iterator[Finding]:
    """Say which variables veth_mtu does not reach, and what that does.

    ``pods`` is the MTU of pods as veth_mtu says it, 0 for automatic, None where nothing tells. ``most`` is what an
    enabled tunnel may have at most, by its variable.
    """
    if calico.operator:
        return
    has_veth_mtu = places.get(calico.config, restart.VETH_MTU) is not None
    limits = {**most, _PODS: min(most.values(), default=0)}
    for container in _containers(calico):
        for variable, limit in limits.items():
            own = places.get(container, f"/env/{variable}")
            where = f"{calico.ref.where} {container['name']} {variable}"
            if own and has_veth_mtu:
                yield from _of_one(where, own, limit, pods)
            elif own and not own.get("valueFrom"):
                yield from (_in_its_source(each, limit) for each in _of_one(where, own, limit, None))


def _containers(calico: Calico) -> list[Item]:
    return [*calico.containers, *(places.get(calico.daemon_set, "/spec/template/spec/initContainers") or [])]


def _of_one(where: str, own: Item, limit: int, pods: int | None) -> Iterator[Finding]:
    refers, value = own.get("valueFrom"), str(own.get("value") or "0")
    if refers:
        reference: dict[str, Any] = refers.get("configMapKeyRef") or {}
        if {key: reference.get(key) for key in _VETH_MTU} != _VETH_MTU:
            yield _finding(where, "another source than veth_mtu", limit, "medium", "veth_mtu does not reach it")
    elif not value.isdecimal() or int(value) == 0:
        return  # automatic, or nothing that Felix takes
    elif limit and int(value) > limit:
        yield _finding(where, value, limit, "high", _TOO_LARGE)
    elif pods and int(value) != pods:
        why = "the tunnel and the pods have different MTUs"
        yield _finding(where, value, limit, "medium" if int(value) < pods else "info", why)


def _finding(where: str, observed: str, limit: int, severity: str, why: str) -> Finding:
    return Finding(
        id=f"{mtu_findings.TRAP}.pinned",
        severity=severity,
        where=where,
        observed=observed,
        wanted="veth_mtu of calico-config" + (f", or {limit} or less" if limit else ""),
        why=f"{why}; changing veth_mtu does not help, since the environment wins",
        remedy="Let it read veth_mtu (valueFrom.configMapKeyRef, as Calico's manifest has it) in the DaemonSet and its "
        "source",
    )


def _in_its_source(finding: Finding, limit: int) -> Finding:
    """Say the same where there is no veth_mtu that it could read."""
    return replace(
        finding,
        wanted=f"{limit} or less",
        why=_TOO_LARGE,
        remedy=f"Set {limit} in the source of the DaemonSet (with kubespray calico_mtu, and calico_veth_mtu for the "
        "links of pods), and apply that",
    )
