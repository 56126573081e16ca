# Private to the collection nodeward.calico: may change in any release.
"""How Calico was installed, who would put back what is changed in it, and which version it is; all but capture() pure.

Two kinds: from the manifest (DaemonSet calico-node in kube-system), where the DaemonSet is the source; and by the
operator (calico-system, owner Installation), which reverts what is changed in the DaemonSet within minutes
(tigera/operator pkg/controller/installation/core_controller.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.errors import NodewardError
from . import objects, places
from .client import allowed
from .cluster_journal import ClusterJournal
from .objects import Ref
from .port import Api, Item

MANIFEST = "kube-system"
OPERATOR = "calico-system"
INSTALLATION_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/installations.operator.tigera.io"
CRD = "/apis/crd.projectcalico.org/v1"
# Where Calico's datastore is etcd, through its own API server, or where v3 itself is a CRD (Calico 3.32).
V3 = "/apis/projectcalico.org/v3"

# What tools that put their own state back, again and again, leave on the objects they made: labels and annotations.
RECONCILERS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "objectset.rio.cattle.io/id": "Rancher Fleet or k3s",
}
# The same as values of the label app.kubernetes.io/managed-by.
RECONCILING_OWNERS = {"cluster-monitoring-operator": "OpenShift's cluster-monitoring-operator"}
# The same as managers of fields.
RECONCILING_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux or k3s",
    "fleetagent": "Rancher Fleet",
}


@dataclass(frozen=True)
class Calico:
    """What was read of Calico and its cluster; everything plan() goes by. ``minor`` is of the API server."""

    daemon_set: Item
    workloads: Mapping[str, Item] = field(default_factory=dict)  # Deployments, by path
    installation: Item | None = None
    installation_schema: Item | None = None
    config: Item | None = None  # ConfigMap calico-config
    felix: Item | None = None  # FelixConfiguration default
    bgp: Item | None = None  # BGPConfiguration default
    pools: tuple[Item, ...] = ()
    group: str = CRD  # where these three were read
    nodes: tuple[Item, ...] = ()
    pods: tuple[Item, ...] = ()  # of calico-node
    told_version: str = ""  # what ClusterInformation says
    minor: int = 0
    round_trip: float = 0.0  # seconds
    ours: Mapping[str, Any] = field(default_factory=dict)  # what the journal says that we set, by target
    earlier: Mapping[str, Any] = field(default_factory=dict)  # and what was set before that, where it is another value

    @property
    def operator(self) -> bool:
        return self.installation is not None

    @property
    def namespace(self) -> str:
        return str(self.daemon_set["metadata"]["namespace"])

    @property
    def ref(self) -> Ref:
        return objects.daemon_set(self.namespace, str(self.daemon_set["metadata"]["name"]))

    @property
    def installation_ref(self) -> Ref:
        return objects.installation(str((self.installation or {})["metadata"]["name"]))

    @property
    def felix_ref(self) -> Ref:
        named = objects.felix_configuration_v3 if self.group == V3 else objects.felix_configuration
        return named("default")

    @property
    def containers(self) -> list[dict[str, Any]]:
        return list(places.get(self.daemon_set, "/spec/template/spec/containers") or [])

    @property
    def version(self) -> tuple[int, int, int] | None:
        """Calico's version as the image's tag or its own ClusterInformation says, None where neither does."""
        images = [str(each.get("image", "")) for each in self.containers if each.get("name") == "calico-node"]
        # mirrors call it calico-node (rancher/mirrored-calico-node); Enterprise's cnx-node has versions of its own
        pattern = r"(?<!cnx)[/-]node:v?(\d+)\.(\d+)(?:\.(\d+))?"
        found = re.search(pattern, f"/{images[0]}") if images and "tigera/" not in images[0] else None
        found = found or re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", self.told_version)
        return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def capture(api: Api) -> Calico:
    """Read everything. Raises NodewardError where there is no Calico, or twice."""
    daemon_set = find(api)
    namespace = daemon_set["metadata"]["namespace"]
    owner = _owner(daemon_set)
    installation = api.get(objects.installation(owner).path) if owner else None
    if installation is None and (owner or namespace == OPERATOR):
        raise NodewardError(
            what=f"the operator made it, and its Installation {owner or 'default'} cannot be read",
            where=f"DaemonSet {namespace}/calico-node",
            remedy="Nothing was changed: the operator reverts what is changed here. Give the user the right to get "
            "installations.operator.tigera.io, or finish removing the operator",
        )
    # what may not be read here is no reason to ask for more rights: the plan says what it does not know
    pools, group = api.items(f"{CRD}/ippools"), CRD
    if not pools and (found := allowed(lambda: api.items(f"{V3}/ippools"))):
        pools, group = found, V3
    information = allowed(lambda: api.get(f"{group}/clusterinformations/default")) or {}
    journal = {target: entry for target, entry in ClusterJournal(api).entries.items() if " /" in target}
    return Calico(
        daemon_set=daemon_set,
        workloads=_workloads(api, namespace),
        installation=installation,
        installation_schema=api.get(INSTALLATION_CRD) if installation else None,
        config=api.get(objects.config_map(namespace, "calico-config").path),
        felix=_own(api, group, "felixconfigurations"),
        bgp=_own(api, group, "bgpconfigurations"),
        pools=tuple(pools),
        group=group,
        nodes=tuple(api.items("/api/v1/nodes")),
        pods=tuple(pods_of(api, daemon_set)),
        told_version=str(places.get(information, "/spec/calicoVersion") or ""),
        minor=api.minor(),
        round_trip=api.round_trip(),
        ours={target: objects.restored(entry.after) for target, entry in journal.items()},
        earlier={target: objects.restored(entry.earlier) for target, entry in journal.items()},
    )


def _own(api: Api, group: str, kind: str) -> dict[str, Any] | None:
    """Return Calico's own configuration of a kind; in v3 None as well where the user may not read it."""
    path = f"{group}/{kind}/default"
    return allowed(lambda: api.get(path)) if group == V3 else api.get(path)


def find(api: Api) -> dict[str, Any]:
    """Return the DaemonSet calico-node. Raises NodewardError where there is none, or two."""
    found = [item for item in (api.get(_daemon_set_path(ns)) for ns in (OPERATOR, MANIFEST)) if item]
    if len(found) != 1:
        raise _not_one(len(found))
    return found[0]


def pods_of(api: Api, workload: Item) -> list[dict[str, Any]]:
    """Return the pods of a DaemonSet or Deployment; of one that selects nothing none, and not all of its namespace."""
    selector = objects.selector(places.get(workload, "/spec/selector") or {})
    return api.items(f"/api/v1/namespaces/{workload['metadata']['namespace']}/pods", selector) if selector else []


def _daemon_set_path(namespace: str) -> str:
    return objects.daemon_set(namespace, "calico-node").path


def _workloads(api: Api, namespace: str) -> dict[str, Item]:
    paths = (objects.deployment(namespace, name).path for name in ("calico-typha", "calico-kube-controllers"))
    read = ((path, api.get(path)) for path in paths)
    return {path: item for path, item in read if item}


def _owner(item: Item) -> str | None:
    """Return the name of the Installation that owns an object."""
    owners = places.get(item, "/metadata/ownerReferences") or []
    return next((str(each["name"]) for each in owners if each.get("kind") == "Installation"), None)


def _not_one(number: int) -> NodewardError:
    where = f"DaemonSet calico-node in {OPERATOR} and {MANIFEST}"
    if number:
        return NodewardError(
            what="it is in both, as while an installation moves to the operator",
            where=where,
            remedy="Finish that first, then run again",
        )
    return NodewardError(
        what="it is in neither, so this is no cluster with Calico that this collection knows",
        where=where,
        remedy="Name the right cluster (kubeconfig, context), or leave this out (--skip-tags)",
    )


def reconcilers(item: Item) -> list[str]:
    """Return what would put an object back at once, whatever is changed in it."""
    metadata = item["metadata"]
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    found = [tool for mark, tool in RECONCILERS.items() if mark in marks]
    if marks.get("addonmanager.kubernetes.io/mode") == "Reconcile":
        found.append("the addon manager")
    found += [tool for owner, tool in RECONCILING_OWNERS.items() if marks.get("app.kubernetes.io/managed-by") == owner]
    owners = metadata.get("ownerReferences") or []
    found += [f"{each.get('kind')} {each.get('name')}, which owns it" for each in owners if each.get("controller")]
    managers = [each.get("manager") for each in metadata.get("managedFields") or []]
    found += [tool for manager, tool in RECONCILING_MANAGERS.items() if manager in managers]
    return list(dict.fromkeys(found))


def appliers(item: Item) -> list[str]:
    """Return what puts an object back when somebody runs it next."""
    metadata = item["metadata"]
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    found = []
    if "meta.helm.sh/release-name" in marks or marks.get("app.kubernetes.io/managed-by") == "Helm":
        found.append(f"the next helm upgrade of {marks.get('meta.helm.sh/release-name', 'its release')}")
    if "kubectl.kubernetes.io/last-applied-configuration" in marks:
        found.append("the next kubectl apply of its manifest")
    return found


def managers(item: Item, leaf: str) -> list[str]:
    """Return who set a field of this name, as managedFields tell (``leaf`` is ``livenessProbe`` for example)."""
    entries = item["metadata"].get("managedFields") or []
    return sorted({str(each["manager"]) for each in entries if f"f:{leaf}" in set(_keys(each.get("fieldsV1")))})


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield str(key)
            yield from _keys(child)


def served_schema(crd: Item | None, place: str) -> Mapping[str, Any] | None:
    """Return the schema at a place of a custom resource as the server serves it, None where it has none."""
    versions = places.get(crd or {}, "/spec/versions") or []
    served = [each for each in versions if each.get("served") and each.get("name") == "v1"]
    node: Any = places.get(served[0], "/schema/openAPIV3Schema") if served else None
    for part in places.parts(place):
        node = places.get(node or {}, f"/properties{places.pointer(part)}")
        node = node.get("items") if isinstance(node, Mapping) and node.get("type") == "array" else node
    return node if isinstance(node, Mapping) else None
