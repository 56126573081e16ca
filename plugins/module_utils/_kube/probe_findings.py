# Private to the collection nodeward.calico: may change in any release.
"""What a person should know of calico-node's probes and their surroundings; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._core.plan import Finding
from . import budget, install, objects, places
from .install import Calico
from .objects import FieldChange, Ref
from .port import Item

TRAP = "calico_probes"
NODE = "calico-node"

# Felix's own watchdog of its dataplane loop was fixed at 20 s before, and is 90 s since (projectcalico/calico #5484).
WATCHDOG_SINCE = (3, 23, 0)
# Above this, a full mesh of BGP and a Felix for each node at the API server are what Calico advises against.
FULL_MESH_NODES = 100
# The first releases with calicoNodeDaemonSet probe overrides (tigera/operator #4612).
OVERRIDE_SINCE = "operator v1.44 (Calico v3.33), or v1.43 (Calico Enterprise)"
NODE_IP_CHECK = "DISABLE_NODE_IP_CHECK"


@dataclass(frozen=True)
class Short:
    """A container whose budget for the start is too short; ``rough``: it has its floor, the need is measured."""

    name: str
    seconds: int
    mended: bool
    rough: bool


def of(calico: Calico, needed: int, short: Sequence[Short]) -> Iterator[Finding]:
    """Return all findings; ``short`` have budgets below ``needed`` seconds."""
    for each in short:
        yield _startup_budget(calico, each, needed)
    if short and not _on(calico, NODE_IP_CHECK):
        yield _node_ip_check(calico)
    yield from _watchdog(calico)
    yield from _large(calico)
    yield from _by_readiness(calico)
    yield from _operator(calico)
    yield from not_rolled_out(TRAP, calico.ref, calico.daemon_set, "older probes")


def _startup_budget(calico: Calico, short: Short, needed: int) -> Finding:
    remedy = "Lengthen the probe where it is written, or shorten the start (DISABLE_NODE_IP_CHECK)"
    if short.mended:
        remedy = f"ansible-playbook nodeward.calico.harden --tags {TRAP} -e harden_allow=calico_rollout"
    elif short.rough:
        remedy = (
            f"Give {TRAP}_round_trip, in milliseconds from the most distant node: one that was measured where this ran "
            "raises no budget that has its floor"
        )
    return Finding(
        id=f"{TRAP}.startup_budget",
        severity="medium" if short.rough and not short.mended else "high",
        where=f"{calico.ref.where} {short.name}",
        observed=f"{short.seconds} s from the start until it is killed",
        wanted=f"{needed} s or more ({len(calico.nodes)} nodes)",
        why="a node that joins or reboots is killed before calico-node has started, again and again (incident D)",
        remedy=remedy,
        mended=short.mended,
    )


def _node_ip_check(calico: Calico) -> Finding:
    return Finding(
        id=f"{TRAP}.node_ip_check",
        severity="info",
        where=f"{calico.ref.where} {NODE}",
        observed=f"{NODE_IP_CHECK} is not true",
        wanted="true, where node addresses are known to be unique",
        why="the check for double addresses reads every node at the start; leaving it out is the other remedy for "
        "incident D (Calico, configure-calico-node)",
        remedy=f"Set {NODE_IP_CHECK}=true in the environment of calico-node, if no two nodes can have one address",
    )


def _watchdog(calico: Calico) -> Iterator[Finding]:
    version = calico.version
    if version and version < WATCHDOG_SINCE:
        yield Finding(
            id=f"{TRAP}.watchdog",
            severity="medium",
            where=f"{calico.ref.where} {NODE}",
            observed="Calico v" + ".".join(map(str, version)),
            wanted="Calico v" + ".".join(map(str, WATCHDOG_SINCE)) + " or newer",
            why="Felix itself says that it is not live when its dataplane stands still for 20 s, whatever timeout the "
            "probe has; no probe setting mends that (90 s since v3.23)",
            remedy="Upgrade Calico to v3.23.0 or newer",
        )


def _large(calico: Calico) -> Iterator[Finding]:
    count = len(calico.nodes)
    if count <= FULL_MESH_NODES:
        return
    if _bgp(calico) and places.get(calico.bgp or {}, "/spec/nodeToNodeMeshEnabled") is not False:
        yield Finding(
            id=f"{TRAP}.full_mesh",
            severity="medium",
            where="BGPConfiguration default",
            observed=f"a full mesh of {count} nodes",
            wanted=f"route reflectors above {FULL_MESH_NODES} nodes",
            why="every node keeps a session with every other one, and calico-node is slow to start and to be ready",
            remedy="Set up route reflectors, then nodeToNodeMeshEnabled: false (Calico, Configure BGP peering)",
        )
    if not calico.operator and not _typha(calico):
        yield Finding(
            id=f"{TRAP}.no_typha",
            severity="medium",
            where=f"Deployment {calico.namespace}/calico-typha",
            observed=f"no typha for {count} nodes",
            wanted=f"typha above {FULL_MESH_NODES} nodes",
            why="every Felix reads and watches the whole datastore itself",
            remedy="Install Calico's manifest with typha",
        )


def _bgp(calico: Calico) -> bool:
    """Tell whether nodes speak BGP with each other."""
    if calico.operator:
        return bool(places.get(calico.installation or {}, "/spec/calicoNetwork/bgp") != "Disabled")
    return (places.get(calico.config or {}, "/data/calico_backend") or "bird") == "bird"


def _typha(calico: Calico) -> bool:
    return any(
        item["metadata"]["name"] == "calico-typha" and places.get(item, "/spec/replicas") != 0
        for item in calico.workloads.values()
    )


def _by_readiness(calico: Calico) -> Iterator[Finding]:
    for container in calico.containers:
        if _asks_readiness(container.get("startupProbe") or {}):
            yield Finding(
                id=f"{TRAP}.startup_by_readiness",
                severity="medium",
                where=f"{calico.ref.where} {container['name']}",
                observed="its startup probe asks whether it is ready",
                wanted="a startup probe that asks whether it is live",
                why="in a cluster that starts cold no BGP peer is there to be ready with, and all nodes are restarted "
                f"after {budget.allows(container['startupProbe'])} s",
                remedy="Let the startup probe run what the liveness probe runs, where it is written",
            )


def startup_handlers(calico: Calico, after: Calico) -> Iterator[Finding]:
    """Tell of startup probes that ask something else than the liveness probe; ``after`` has the plan's changes made.

    Not of those that ask whether it is ready: that is a finding of its own.
    """
    for before, then in zip(calico.containers, after.containers):
        if not _asks_differently(before):
            continue
        mended = not _asks_differently(then)
        yield Finding(
            id=f"{TRAP}.startup_handler",
            severity="high",
            where=f"{calico.ref.where} {before['name']}",
            observed="its startup probe asks something else than its liveness probe",
            wanted="a startup probe that asks what the liveness probe asks",
            why="where a newer manifest has changed the liveness command alone, the one of before fails, and every new "
            f"calico-node is killed after {budget.allows(before['startupProbe'])} s",
            remedy=f"ansible-playbook nodeward.calico.harden --tags {TRAP} -e harden_allow=calico_rollout"
            if mended
            else "It is not this collection's, or a tool keeps it, so it was not changed: let it run what the liveness "
            "probe runs, where it is written, or remove it there and harden",
            mended=mended,
        )


def _asks_differently(container: Item) -> bool:
    startup, liveness = container.get("startupProbe"), container.get("livenessProbe")
    if not startup or not liveness or _asks_readiness(startup):
        return False
    return budget.handler(startup) != budget.handler(liveness)


def _asks_readiness(startup: Item) -> bool:
    return any("ready" in str(word) for word in places.get(startup, "/exec/command") or [])


def _operator(calico: Calico) -> Iterator[Finding]:
    at = "/spec/calicoNodeDaemonSet/spec/template/spec/containers/livenessProbe"
    if calico.operator and install.served_schema(calico.installation_schema, at) is None:
        nodes = [each for each in calico.containers if each.get("name") == NODE]
        given = [f"; the operator gives {'; '.join(_shown(node))}" for node in nodes]
        yield Finding(
            id=f"{TRAP}.operator_too_old",
            severity="medium",
            where=calico.installation_ref.where,
            observed="no field for probes" + "".join(given),
            wanted=OVERRIDE_SINCE,
            why="the operator puts the DaemonSet's probes back within minutes, so nothing was changed",
            remedy=f"Upgrade to {OVERRIDE_SINCE}, then run again",
        )


def loglevel_untouched(calico: Calico, level: str, change: FieldChange) -> Finding:
    return Finding(
        id=f"{TRAP}.loglevel_untouched",
        severity="info",
        where=calico.installation_ref.where,
        observed=f"no field for the environment of {NODE}, so nothing was changed",
        wanted=f"{places.parts(change.place)[-1]} {level}",
        why="the operator puts the environment of the DaemonSet back within minutes",
        remedy="Leave calico_probes_startup_loglevel out with this operator",
    )


def _shown(container: Item) -> Iterator[str]:
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(kind):
            numbers = ", ".join(f"{name} {budget.value(container[kind], name)}" for name in budget.DEFAULTS)
            yield f"{kind} {numbers}"


def not_rolled_out(trap: str, ref: Ref, daemon_set: Item, older: str) -> Iterator[Finding]:
    """Tell of pods that still have ``older`` things than the template."""
    kind = places.get(daemon_set, "/spec/updateStrategy/type")
    status = daemon_set.get("status") or {}
    updated, all_of_them = status.get("updatedNumberScheduled", 0), status.get("desiredNumberScheduled", 0)
    if updated < all_of_them:
        namespace, _slash, name = ref.name.partition("/")
        yield Finding(
            id=f"{trap}.not_rolled_out",
            severity="medium",
            where=ref.where,
            observed=f"{updated} of {all_of_them} pods have its present template",
            wanted="all of them",
            why=f"the others still run with {older}" + (" (its updateStrategy is OnDelete)" * (kind == "OnDelete")),
            remedy="Delete the old pods, one node at a time"
            if kind == "OnDelete"
            else f"kubectl --namespace {namespace} rollout status daemonset {name}",
        )


def _on(calico: Calico, name: str) -> bool:
    values = (places.get(each, f"/env/{name}/value") for each in calico.containers)
    return any(str(value).lower() == "true" for value in values)


def reconciled(trap: str, changes: Sequence[FieldChange], tools: Sequence[str]) -> Finding:
    """Say that nothing was changed, since a tool would put it back at once, and what it is."""
    wanted = ", ".join(
        f"{place.rpartition('/containers/')[2]}={objects.encoded(change.after)}"
        for change in changes
        for place in [change.place]
    )
    return Finding(
        id=f"{trap}.put_back_by",
        severity="high",
        where=changes[0].ref.where,
        observed=f"it will be put back by {' and '.join(tools)}, so nothing was changed",
        wanted=wanted,
        why="what such a tool manages is changed at its source",
        remedy=f"Set this in the source that {' and '.join(tools)} applies",
    )


def kept_by_tools(
    trap: str, read: Mapping[str, Item], changes: Sequence[FieldChange]
) -> tuple[list[FieldChange], list[Finding]]:
    """Leave out what a tool would put back at once, object by object; say so, and what would be put back later.

    ``read`` has every object that is changed, by its path.
    """
    left, told = list[FieldChange](), list[Finding]()
    for ref in objects.refs(changes):
        own = [change for change in changes if change.ref == ref]
        tools = install.reconcilers(read[ref.path])
        if tools:
            told.append(reconciled(trap, own, tools))
        else:
            left += own
            told += _applied(trap, ref, read[ref.path])
    return left, told


def _applied(trap: str, ref: Ref, target: Item) -> Iterator[Finding]:
    """Say what would take a change back later."""
    for tool in install.appliers(target):
        yield Finding(
            id=f"{trap}.put_back_by",
            severity="low",
            where=ref.where,
            observed=f"what is changed here will be put back by {tool}",
            wanted="the same values in its source",
            why="it writes what its source says",
            remedy="Set them there too, or run harden after it",
        )
