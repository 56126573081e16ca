# Private to the collection nodeward.calico: may change in any release.
"""Trap calico_probes: calico-node is restarted again and again under load, or before it has started; pure.

Probe timeouts of 1 s (incident A2) and a start that takes longer than the liveness probe waits (incident D). Every
number is a floor: what is there already and enough stays as it is, and so does everything else of a probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import budget, install, objects, places, probe_findings, restart
from .install import Calico
from .objects import ClusterPlan, FieldChange, Ref
from .port import Item

TRAP = "calico_probes"
CONSENT = "calico_rollout"
NODE = "calico-node"
LOGLEVEL = "CALICO_STARTUP_LOGLEVEL"
ABSENT = "absent"

# The API server knows startupProbe by default from Kubernetes 1.18 on (it was alpha in 1.16).
STARTUP_PROBE_SINCE = 18
# Seconds between two startup probes: they end with the start, and delay it by one period at most.
STARTUP_PERIOD = 5
# Where the Installation has what overrides the operator's probes (tigera/operator api/v1/calico_node_types.go).
OVERRIDE = "/spec/calicoNodeDaemonSet/spec/template/spec/containers"
CONTAINERS = "/spec/template/spec/containers"

_WHY_TIMEOUT = "a probe that answers late on a loaded node counts as failed, and calico-node is restarted (incident A2)"
_WHY_START = "calico-node is killed before it has started on a large or distant cluster (incident D)"


@dataclass(frozen=True)
class Policy:
    """Floors in seconds and tries; ``containers`` are the names that the user's JMESPath expression selected."""

    containers: tuple[str, ...] = (NODE,)
    timeout: int = 60
    initial_delay: int = 60
    failure_threshold: int = 10
    other_timeout: int = 10
    startup_probe: bool = True
    round_trip: float | None = None  # seconds, to the datastore; measured where it is not given
    startup_loglevel: str | None = None  # ABSENT removes it

    def seconds(self, calico: Calico) -> int:
        """Return what calico-node needs to start in this cluster."""
        measured = calico.round_trip if self.round_trip is None else self.round_trip
        return budget.startup_seconds(len(calico.nodes), measured)


def plan(calico: Calico, policy: Policy) -> ClusterPlan:
    """Decide what the probes need; pure, so that captured objects give the same plan anywhere."""
    if calico.operator:
        changes = list(_by_operator(calico, policy))
        target: Item = calico.installation or {}
    else:
        due = restart.due(calico)  # of calico_mtu: one rollout for both
        changes = [*_by_manifest(calico, policy), *([due] if due else []), *_others(calico, policy)]
        target = calico.daemon_set
    tools = install.reconcilers(target)
    findings = tuple(
        probe_findings.of(calico, policy.seconds(calico), _short(calico, policy), bool(changes) and not tools)
    )
    if tools and changes:
        return ClusterPlan(findings=(*findings, probe_findings.reconciled(changes, tools)))
    if changes:
        findings += tuple(probe_findings.applied(objects.refs(changes)[0], target))
    read = {calico.ref.path: calico.daemon_set, **calico.workloads}
    if calico.installation:
        read[calico.installation_ref.path] = calico.installation
    return ClusterPlan(tuple(changes), findings, captured={ref.path: read[ref.path] for ref in objects.refs(changes)})


def _short(calico: Calico, policy: Policy) -> list[tuple[str, int]]:
    """Return the containers whose budget for the start is too short, with that budget in seconds."""
    budgets = ((name, budget.present_seconds(container)) for name, container in _selected(calico, policy))
    return [(name, seconds) for name, seconds in budgets if seconds is not None and seconds < policy.seconds(calico)]


def _selected(calico: Calico, policy: Policy) -> list[tuple[str, Item]]:
    return [(each["name"], each) for each in calico.containers if each.get("name") in policy.containers]


# --- manifest ---------------------------------------------------------------------------------------


def _by_manifest(calico: Calico, policy: Policy) -> Iterator[FieldChange]:
    for name, container in _selected(calico, policy):
        within = CONTAINERS + places.pointer(name)
        yield from _floors(calico.ref, within, container, _wanted_of(calico, policy, container))
        yield from _startup(calico, policy, within, container)
        yield from _loglevel(calico.ref, within, container, policy.startup_loglevel)


def _wanted(policy: Policy) -> dict[str, dict[str, int]]:
    """Return the floors by probe, in the order in which they are named."""
    return {
        "livenessProbe": {
            "timeoutSeconds": policy.timeout,
            "initialDelaySeconds": policy.initial_delay,
            "failureThreshold": policy.failure_threshold,
        },
        "readinessProbe": {"timeoutSeconds": policy.timeout},
    }


def _wanted_of(calico: Calico, policy: Policy, container: Item) -> dict[str, dict[str, int]]:
    """Return the floors of one container: without a startup probe the liveness probe has to wait for the start."""
    wanted, needed = _wanted(policy), policy.seconds(calico)
    liveness: dict[str, Any] = container.get("livenessProbe") or {}
    if not container.get("startupProbe") and not _startup_probes(calico, policy):
        raised = {**liveness, **{k: max(budget.value(liveness, k), v) for k, v in wanted["livenessProbe"].items()}}
        if budget.allows(raised) < needed:
            wanted["livenessProbe"]["failureThreshold"] = budget.failures(raised, budget.wanted_seconds(needed))
    return wanted


def _startup_probes(calico: Calico, policy: Policy) -> bool:
    return policy.startup_probe and calico.minor >= STARTUP_PROBE_SINCE


def _floors(ref: Ref, within: str, container: Item, wanted: Mapping[str, Mapping[str, int]]) -> Iterator[FieldChange]:
    """Raise the numbers of probes that are there, at a place of the object that says them."""
    for kind, floors in wanted.items():
        probe: dict[str, Any] = container.get(kind) or {}
        for name, floor in floors.items() if probe else ():
            if budget.value(probe, name) < floor:
                why = _WHY_TIMEOUT if name == "timeoutSeconds" else _WHY_START
                yield FieldChange(TRAP, ref, f"{within}/{kind}/{name}", probe.get(name), floor, why)


def _startup(calico: Calico, policy: Policy, within: str, container: Item) -> Iterator[FieldChange]:
    """Give the start the time it needs by a startup probe, where there can be one."""
    liveness, present, needed = container.get("livenessProbe"), container.get("startupProbe"), policy.seconds(calico)
    if present:
        yield from _longer(calico.ref, f"{within}/startupProbe", present, policy, needed)
    elif liveness and _startup_probes(calico, policy):
        seconds = max(budget.wanted_seconds(needed), policy.initial_delay + 10 * policy.failure_threshold)
        probe = startup_probe(liveness, policy.timeout, seconds)
        yield FieldChange(TRAP, calico.ref, f"{within}/startupProbe", None, probe, _WHY_START)


def _longer(ref: Ref, place: str, probe: dict[str, Any], policy: Policy, needed: int) -> Iterator[FieldChange]:
    if budget.value(probe, "timeoutSeconds") < policy.timeout:
        yield FieldChange(
            TRAP, ref, f"{place}/timeoutSeconds", probe.get("timeoutSeconds"), policy.timeout, _WHY_TIMEOUT
        )
    if budget.allows(probe) < needed:
        tries = budget.failures(probe, budget.wanted_seconds(needed))
        yield FieldChange(TRAP, ref, f"{place}/failureThreshold", probe.get("failureThreshold"), tries, _WHY_START)


def startup_probe(liveness: Item, timeout: int, seconds: int) -> dict[str, Any]:
    """Return a startup probe that runs what the liveness probe runs, and allows these seconds.

    Not what the readiness probe runs: on a cluster that starts cold BIRD has no peer to be ready with, and
    calico-node would be killed for what it waits for.
    """
    numbers = {*budget.DEFAULTS, "terminationGracePeriodSeconds"}
    handler = {key: each for key, each in liveness.items() if key not in numbers}
    tries = {"periodSeconds": STARTUP_PERIOD, "timeoutSeconds": timeout, "successThreshold": 1}
    return {**handler, **tries, "failureThreshold": budget.failures(tries, seconds)}


def _loglevel(ref: Ref, within: str, container: Item, level: str | None) -> Iterator[FieldChange]:
    before = places.get(container, f"/env/{LOGLEVEL}")
    after = None if level == ABSENT else {"name": LOGLEVEL, "value": level}
    if level is not None and before != after:
        why = "the log of the start says what it waits for" if after else "the log of the start is no longer needed"
        yield FieldChange(TRAP, ref, f"{within}/env/{LOGLEVEL}", before, after, why)


def _others(calico: Calico, policy: Policy) -> Iterator[FieldChange]:
    """Raise the timeouts of typha and kube-controllers, to less: nothing on the node waits for them."""
    floor = {kind: {"timeoutSeconds": policy.other_timeout} for kind in ("livenessProbe", "readinessProbe")}
    for item in calico.workloads.values():
        ref = objects.deployment(calico.namespace, item["metadata"]["name"])
        for container in places.get(item, CONTAINERS) or []:
            yield from _floors(ref, CONTAINERS + places.pointer(container["name"]), container, floor)


# --- operator ---------------------------------------------------------------------------------------


def _by_operator(calico: Calico, policy: Policy) -> Iterator[FieldChange]:
    """Override the operator's numbers where the served Installation has a field for it; the DaemonSet is its own."""
    ref = calico.installation_ref
    for name, container in _selected(calico, policy):
        at = OVERRIDE + places.pointer(name)
        wanted = {kind: floors for kind, floors in _wanted(policy).items() if overridable(calico, kind)}
        changes = [*_floors(ref, at, container, wanted)]
        startup = container.get("startupProbe")
        if startup and overridable(calico, "startupProbe"):
            changes += _longer(ref, f"{at}/startupProbe", startup, policy, policy.seconds(calico))
        for change in changes:
            before = places.get(calico.installation, change.place)
            if before is None or before < change.after:  # else it is set, and the operator has not acted yet
                yield replace(change, before=before)


def overridable(calico: Calico, kind: str) -> bool:
    """Tell whether the Installation that the server serves has an override for this probe of calico-node."""
    return install.served_schema(calico.installation_schema, f"{OVERRIDE}/{kind}") is not None


def unknown_containers(calico: Calico, names: Sequence[str]) -> list[str]:
    """Return the selected names that are no container of calico-node's pods."""
    known = [each.get("name") for each in calico.containers]
    return [name for name in names if name not in known]
