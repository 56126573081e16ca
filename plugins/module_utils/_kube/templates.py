# Private to the collection nodeward.calico: may change in any release.
"""Which pods of a DaemonSet or Deployment have its newest template: those its controller does not replace."""

from __future__ import annotations

from collections.abc import Sequence

from . import objects, places
from .client import allowed
from .objects import Ref
from .port import Api, Item

# Where the controllers keep templates, the number that tells the newest (one that comes back gets a new number), and
# the label by which a pod says which of them it is made of (k8s.io/kubernetes pkg/controller/daemon/update.go,
# pkg/controller/deployment/util).
_KEPT = {
    "DaemonSet": ("controllerrevisions", "/revision", "controller-revision-hash"),
    "Deployment": ("replicasets", "/metadata/annotations/deployment.kubernetes.io~1revision", "pod-template-hash"),
}


def newest(api: Api, ref: Ref, workload: Item, pods: Sequence[Item]) -> list[Item]:
    """Return the pods with the newest template that the controller of ``workload`` has noted; it has to be up to date.

    None where the user may not list the templates: it is no reason to ask for more rights. Raises ApiError.
    """
    collection, number, label = _KEPT[ref.kind]
    path = f"/apis/apps/v1/namespaces/{ref.name.partition('/')[0]}/{collection}"
    selector = objects.selector(places.get(workload, "/spec/selector") or {})
    own = [each for each in allowed(lambda: api.items(path, selector)) or [] if _is_of(workload, each)]
    last = max(own, key=lambda each: int(places.get(each, number) or 0), default=None)
    at = f"/metadata/labels{places.pointer(label)}"
    return [pod for pod in pods if last and places.get(pod, at) == places.get(last, at)]


def _is_of(workload: Item, item: Item) -> bool:
    owners = places.get(item, "/metadata/ownerReferences") or []
    return any(each.get("uid") == places.get(workload, "/metadata/uid") for each in owners)
