# Private to the collection nodeward.calico: may change in any release.
"""What is to be changed in objects of the cluster: the plan that its modules make, show, record and apply; pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.plan import Finding, Refusal
from . import places
from .port import Item

# Before the last part of most places; left out where a person reads.
_CONTAINERS = "/spec/template/spec/containers/"


@dataclass(frozen=True)
class Ref:
    """One object: its kind, its path in the API, and its name as people write it."""

    kind: str
    path: str
    name: str

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def replaces_pods(self) -> bool:
        """Tell whether a change of it has its controller replace pods."""
        return self.kind in ("DaemonSet", "Deployment")


@dataclass(frozen=True)
class FieldChange:
    """One place in one object. ``before`` and ``after`` are as JSON has them, None means absent.

    ``disrupts`` is a word of consent; ``why`` as in Finding.
    """

    trap: str
    ref: Ref
    place: str
    before: Any
    after: Any
    why: str
    disrupts: str = "calico_rollout"

    @property
    def target(self) -> str:
        """Name the place in the journal."""
        return f"{self.ref.where} {self.place}"

    @property
    def inverse(self) -> FieldChange:
        return FieldChange(self.trap, self.ref, self.place, self.after, self.before, self.why, self.disrupts)

    def describe(self) -> dict[str, Any]:
        """Shape the change for results and reports."""
        _head, found, rest = self.place.rpartition(_CONTAINERS)
        shown = ".".join(places.parts(f"/{rest}" if found else self.place))
        return {
            "trap": self.trap,
            "target": f"{self.ref.where} {shown}",
            "before": encoded(self.before),
            "after": encoded(self.after),
            "why": self.why,
            "disrupts": self.disrupts,
        }


@dataclass(frozen=True)
class ClusterPlan:
    """Changes in the order in which they are made, findings, and reasons not to start.

    ``captured`` has every object that a change is in, by its path, as it was read. ``settled`` are places of the
    journal that are back already.
    """

    changes: tuple[FieldChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    captured: dict[str, Item] = field(default_factory=dict)
    settled: tuple[str, ...] = ()

    def split(self, allow: Collection[str]) -> tuple[tuple[FieldChange, ...], tuple[FieldChange, ...]]:
        """Return (what may be done now, what waits for consent)."""
        now = tuple(c for c in self.changes if not c.disrupts or c.disrupts in allow)
        return now, tuple(c for c in self.changes if c not in now)


def refs(changes: Iterable[FieldChange]) -> list[Ref]:
    """Return the objects that are changed, each once, in their order."""
    return list(dict.fromkeys(change.ref for change in changes))


def of(changes: Iterable[FieldChange], ref: Ref) -> list[FieldChange]:
    """Return the changes of one object."""
    return [change for change in changes if change.ref == ref]


def changed(item: Item, changes: Iterable[FieldChange]) -> dict[str, Any]:
    """Return the object with its places as they are after these changes."""
    for change in changes:
        item = places.put(item, change.place, change.after)
    return dict(item)


def selector(given: Mapping[str, Any]) -> str:
    """Return a LabelSelector (k8s.io/apimachinery meta/v1) as a query of the API has it."""
    equal = [f"{key}={value}" for key, value in (given.get("matchLabels") or {}).items()]
    return ",".join([*equal, *map(_expression, given.get("matchExpressions") or [])])


def _expression(given: Mapping[str, Any]) -> str:
    key, values = given["key"], f"({','.join(given.get('values') or [])})"
    texts = {"In": f"{key} in {values}", "NotIn": f"{key} notin {values}", "Exists": key, "DoesNotExist": f"!{key}"}
    return str(texts[given["operator"]])


def encoded(value: Any) -> str | None:
    """Return a value as the journal and results have it: texts as they are, all else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)


def kept(value: Any) -> str | None:
    """Return a value for the journal, from which ``restored`` makes it again."""
    return None if value is None else json.dumps(value, sort_keys=True)


def restored(text: str | None) -> Any:
    """Return the value that ``kept`` wrote. Raises ValueError."""
    return None if text is None else json.loads(text)


def daemon_set(namespace: str, name: str) -> Ref:
    return Ref("DaemonSet", f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}", f"{namespace}/{name}")


def deployment(namespace: str, name: str) -> Ref:
    return Ref("Deployment", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", f"{namespace}/{name}")


def config_map(namespace: str, name: str) -> Ref:
    return Ref("ConfigMap", f"/api/v1/namespaces/{namespace}/configmaps/{name}", f"{namespace}/{name}")


def installation(name: str) -> Ref:
    return Ref("Installation", f"/apis/operator.tigera.io/v1/installations/{name}", name)


def felix_configuration(name: str) -> Ref:
    return Ref("FelixConfiguration", f"/apis/crd.projectcalico.org/v1/felixconfigurations/{name}", name)


def felix_configuration_v3(name: str) -> Ref:
    """Return the same where Calico has it in its own API; the journal tells the two apart by the kind."""
    kind = "FelixConfiguration.projectcalico.org"
    return Ref(kind, f"/apis/projectcalico.org/v3/felixconfigurations/{name}", name)


def ref_of(where: str) -> Ref | None:
    """Return the object that the journal means by ``KIND NAME``, None where it is none of these."""
    kind, _space, name = where.partition(" ")
    namespace, slash, own = name.partition("/")
    if slash and kind in _NAMESPACED:
        return _NAMESPACED[kind](namespace, own)
    return _GLOBAL[kind](name) if not slash and kind in _GLOBAL else None


_NAMESPACED = {"DaemonSet": daemon_set, "Deployment": deployment, "ConfigMap": config_map}
_GLOBAL = {
    "Installation": installation,
    "FelixConfiguration": felix_configuration,
    "FelixConfiguration.projectcalico.org": felix_configuration_v3,
}
