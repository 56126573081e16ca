# Private to the collection nodeward.calico: may change in any release.
"""Trap calico_probes: calico-node is restarted again and again under load, or before it has started; pure.

Probe timeouts of 1 s (incident A2) and a start that takes longer than the liveness probe waits (incident D). Every
number is a floor: what is there already and enough stays as it is, and so does everything else of a probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.plan import Finding
from . import budget, install, objects, places, probe_findings, restart
from .install import Calico
from .objects import ClusterPlan, FieldChange, Ref
from .port import Item
from .probe_findings import Short

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
KINDS = ("livenessProbe", "readinessProbe", "startupProbe")

_WHY_TIMEOUT = "a probe that answers late on a loaded node counts as failed, and calico-node is restarted (incident A2)"
_WHY_START = "calico-node is killed before it has started on a large or distant cluster (incident D)"
_WHY_HANDLER = (
    "the liveness command has changed since, and every new calico-node is killed if it fails the one of before"
)


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

    @property
    def start(self) -> int:
        """Return the seconds that a startup probe allows at least, in whichever cluster."""
        return self.initial_delay + 10 * self.failure_threshold

    def least(self, calico: Calico) -> int:
        """Return the budget of a startup probe below which it is raised.

        A need that was only measured is different with each run and machine, and raises none that has its floor: that
        would be a rollout each time.
        """
        return self.start if self.round_trip is None else max(self.start, self.seconds(calico))

    def wanted(self, calico: Calico) -> int:
        """Return the budget that is given where the present one is raised."""
        wanted = budget.wanted_seconds(self.seconds(calico))
        return max(self.start, min(wanted, budget.MEASURED_MOST) if self.round_trip is None else wanted)


def plan(calico: Calico, policy: Policy) -> ClusterPlan:
    """Decide what the probes need; pure, so that captured objects give the same plan anywhere."""
    if calico.operator:
        wanted = list(_by_operator(calico, policy))
    else:
        due = restart.due(calico)  # of calico_mtu: one rollout for both
        wanted = [*_by_manifest(calico, policy), *([due] if due else []), *_others(calico, policy)]
    read = {calico.ref.path: calico.daemon_set, **calico.workloads}
    if calico.installation:
        read[calico.installation_ref.path] = calico.installation
    changes, told = probe_findings.kept_by_tools(TRAP, read, wanted)
    findings = [*probe_findings.of(calico, policy.seconds(calico), _short(calico, policy, changes)), *told]
    findings += probe_findings.startup_handlers(calico, _after(calico, changes))
    if calico.operator:
        findings += _loglevel_of_the_operator(calico, policy)
    captured = {ref.path: read[ref.path] for ref in objects.refs(changes)}
    return ClusterPlan(tuple(changes), tuple(findings), captured=captured)


def _short(calico: Calico, policy: Policy, changes: Sequence[FieldChange]) -> list[Short]:
    """Return the containers whose budget for the start is too short, and whether these changes mend that."""
    needed, after = policy.seconds(calico), dict(_budgets(_after(calico, changes), policy))
    is_measured = policy.round_trip is None
    return [
        Short(name, seconds, after.get(name, needed) >= needed, is_measured and after.get(name, 0) >= policy.start)
        for name, seconds in _budgets(calico, policy)
        if seconds < needed
    ]


def _budgets(calico: Calico, policy: Policy) -> Iterator[tuple[str, int]]:
    for name, container in _selected(calico, policy):
        seconds = budget.present_seconds(container)
        if seconds is not None:
            yield name, seconds


def _after(calico: Calico, changes: Sequence[FieldChange]) -> Calico:
    daemon_set, installation = (
        item and objects.changed(item, [change for change in changes if change.ref.kind == kind])
        for kind, item in (("DaemonSet", calico.daemon_set), ("Installation", calico.installation))
    )
    return replace(calico, daemon_set=daemon_set or calico.daemon_set, installation=installation)


def _selected(calico: Calico, policy: Policy) -> list[tuple[str, Item]]:
    """Return the containers as they are, and with the operator as the Installation wants them to be."""
    return [
        (each["name"], _overridden(calico, each)) for each in calico.containers if each.get("name") in policy.containers
    ]


def _overridden(calico: Calico, container: Item) -> Item:
    override = places.get(calico.installation, OVERRIDE + places.pointer(container["name"])) or {}
    probes = {
        kind: {**container[kind], **override[kind]} for kind in KINDS if container.get(kind) and override.get(kind)
    }
    return {**container, **probes}


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
    wanted = _wanted(policy)
    liveness: dict[str, Any] = container.get("livenessProbe") or {}
    if not container.get("startupProbe") and not _startup_probes(calico, policy):
        raised = {**liveness, **{k: max(budget.value(liveness, k), v) for k, v in wanted["livenessProbe"].items()}}
        # as with startup probes, a need that was only measured raises none that has its floors
        counts = policy.round_trip is not None or budget.allows(liveness) < budget.allows(raised)
        if counts and budget.allows(raised) < policy.seconds(calico):
            tries = budget.failures(raised, policy.wanted(calico))
            wanted["livenessProbe"]["failureThreshold"] = max(policy.failure_threshold, tries)
    return wanted


def _startup_probes(calico: Calico, policy: Policy) -> bool:
    # the operator has one or has none: an override gives numbers only
    return policy.startup_probe and calico.minor >= STARTUP_PROBE_SINCE and not calico.operator


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
    liveness, present = container.get("livenessProbe"), container.get("startupProbe")
    place = f"{within}/startupProbe"
    if present and liveness and _is_ours(calico, place, present):
        yield from _own(calico, policy, place, liveness, present)
    elif present:
        yield from _longer(calico, policy, calico.ref, place, present)
    elif liveness and _startup_probes(calico, policy):
        probe = startup_probe(liveness, policy.timeout, policy.wanted(calico))
        yield FieldChange(TRAP, calico.ref, place, None, probe, _WHY_START)


def _is_ours(calico: Calico, place: str, present: Item) -> bool:
    """Tell whether what this startup probe asks is what we have it ask; its numbers may be anybody's."""
    target = f"{calico.ref.where} {place}"
    # the one of before counts, too: a run may have been killed between the journal and its patch
    known = [each for each in (calico.ours.get(target), calico.earlier.get(target)) if each]
    return any(budget.handler(each) == budget.handler(present) for each in known)


def _own(calico: Calico, policy: Policy, place: str, liveness: Item, present: Item) -> Iterator[FieldChange]:
    """Have our startup probe ask what the liveness probe asks by now, and give it its numbers.

    It is changed as a whole, as it was made: so the journal takes it back as a whole.
    """
    asked = budget.handler(liveness)
    probe = {**{key: each for key, each in present.items() if key not in budget.handler(present)}, **asked}
    for change in _longer(calico, policy, calico.ref, place, dict(present)):
        probe[places.parts(change.place)[-1]] = change.after
    if probe != present:
        why = _WHY_START if asked == budget.handler(present) else _WHY_HANDLER
        yield FieldChange(TRAP, calico.ref, place, present, probe, why)


def _longer(calico: Calico, policy: Policy, ref: Ref, place: str, probe: dict[str, Any]) -> Iterator[FieldChange]:
    if budget.value(probe, "timeoutSeconds") < policy.timeout:
        yield FieldChange(
            TRAP, ref, f"{place}/timeoutSeconds", probe.get("timeoutSeconds"), policy.timeout, _WHY_TIMEOUT
        )
    if budget.allows(probe) < policy.least(calico):
        tries = budget.failures(probe, policy.wanted(calico))
        yield FieldChange(TRAP, ref, f"{place}/failureThreshold", probe.get("failureThreshold"), tries, _WHY_START)


def startup_probe(liveness: Item, timeout: int, seconds: int) -> dict[str, Any]:
    """Return a startup probe that runs what the liveness probe runs, and allows these seconds.

    Not what the readiness probe runs: on a cluster that starts cold BIRD has no peer to be ready with, and
    calico-node would be killed for what it waits for.
    """
    tries = {"periodSeconds": STARTUP_PERIOD, "timeoutSeconds": timeout, "successThreshold": 1}
    return {**budget.handler(liveness), **tries, "failureThreshold": budget.failures(tries, seconds)}


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
        floors = _wanted_of(calico, policy, container)
        wanted = {kind: numbers for kind, numbers in floors.items() if overridable(calico, kind)}
        changes = [*_floors(ref, at, container, wanted)]
        startup = container.get("startupProbe")
        if startup and overridable(calico, "startupProbe"):
            changes += _longer(calico, policy, ref, f"{at}/startupProbe", startup)
        for change in changes:
            yield replace(change, before=places.get(calico.installation, change.place))
        if overridable(calico, "env"):
            yield from _loglevel(ref, at, places.get(calico.installation, at) or {}, policy.startup_loglevel)


def _loglevel_of_the_operator(calico: Calico, policy: Policy) -> Iterator[Finding]:
    """Say where the level that is asked for has no field in the Installation."""
    for name, container in _selected(calico, policy) if not overridable(calico, "env") else ():
        for change in _loglevel(calico.ref, CONTAINERS + places.pointer(name), container, policy.startup_loglevel):
            yield probe_findings.loglevel_untouched(calico, str(policy.startup_loglevel), change)


def overridable(calico: Calico, kind: str) -> bool:
    """Tell whether the Installation that the server serves has an override for this field of calico-node."""
    return install.served_schema(calico.installation_schema, f"{OVERRIDE}/{kind}") is not None


def unknown_containers(calico: Calico, names: Sequence[str]) -> list[str]:
    """Return the selected names that are no container of calico-node's pods."""
    known = [each.get("name") for each in calico.containers]
    return [name for name in names if name not in known]
