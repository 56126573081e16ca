"""Objects of Calico as its manifests and its operator make them, after the API server has filled them in."""

from __future__ import annotations

from typing import Any

HTTP = {"httpGet": {"path": "/liveness", "port": 9099, "scheme": "HTTP"}}
LIVE = {"exec": {"command": ["/bin/calico-node", "-felix-live", "-bird-live"]}}
READY = {"exec": {"command": ["/bin/calico-node", "-felix-ready", "-bird-ready"]}}


def numbers(timeout: int = 1, failures: int = 3, delay: int = 0, period: int = 10) -> dict[str, int]:
    """The numbers of a probe, as the API server has them: a delay of 0 is left out."""
    rest = {"timeoutSeconds": timeout, "periodSeconds": period, "successThreshold": 1, "failureThreshold": failures}
    return {**rest, **({"initialDelaySeconds": delay} if delay else {})}


# The probes of calico-node by release (manifests at the tags; see the page of the trap).
PROBES: dict[str, dict[str, Any]] = {
    "v2.6.5": {"livenessProbe": {**HTTP, **numbers(1, 6, 10)}, "readinessProbe": {**HTTP, **numbers()}},
    "v3.19.0": {"livenessProbe": {**LIVE, **numbers(1, 6, 10)}, "readinessProbe": {**READY, **numbers()}},
    "v3.20.0": {"livenessProbe": {**LIVE, **numbers(10, 6, 10)}, "readinessProbe": {**READY, **numbers(10)}},
    "v3.30.0": {"livenessProbe": {**LIVE, **numbers(10, 6, 10)}, "readinessProbe": {**READY, **numbers(10)}},
}
# What the operator gives (v1.34, Calico v3.28).
OPERATED = {"livenessProbe": {**HTTP, **numbers(10, 3, 0, 60)}, "readinessProbe": {**READY, **numbers(10, 3, 0, 30)}}


def daemon_set(version: str = "v3.19.0", namespace: str = "kube-system", **container: Any) -> dict[str, Any]:
    """The DaemonSet calico-node; ``container`` is laid over the container's own fields."""
    labels = {"k8s-app": "calico-node"}
    # the manifests leave some defaults out, the API server does not
    node = {
        "name": "calico-node",
        "image": f"docker.io/calico/node:{version}",
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "env": [
            {"name": "CALICO_NETWORKING_BACKEND", "value": "bird"},
            {"name": "FELIX_LOGSEVERITYSCREEN", "value": "info"},
        ],
        **PROBES.get(version, PROBES["v3.30.0"]),
        **container,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "calico-node", "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": True,
                    "tolerations": [{"effect": each, "operator": "Exists"} for each in ("NoSchedule", "NoExecute")],
                    "serviceAccountName": "calico-node",
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [node],
                },
            },
        },
    }


def operated(namespace: str = "calico-system", owner_uid: str = "1", **container: Any) -> dict[str, Any]:
    """The DaemonSet as the operator makes it."""
    item = daemon_set("v3.28.0", namespace, **{**OPERATED, **container})
    owner = {"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default", "uid": owner_uid}
    item["metadata"]["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    return item


def installation(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "operator.tigera.io/v1",
        "kind": "Installation",
        "metadata": {"name": "default"},
        "spec": {"variant": "Calico", **spec},
    }


def installation_crd(*probes: str) -> dict[str, Any]:
    """The CRD of Installation, whose calico-node has overrides for these probes (none: operator v1.42 and older)."""
    override = _object(
        **{
            n: {"type": "integer"}
            for n in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold")
        }
    )
    container = _object(name={"type": "string"}, **dict.fromkeys(probes, override))
    pod = _object(spec=_object(containers={"type": "array", "items": container}))
    spec = _object(
        variant={"type": "string"},
        calicoNetwork=_object(mtu={"type": "integer"}, bgp={"type": "string"}),
        calicoNodeDaemonSet=_object(spec=_object(template=pod)),
    )
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": _object(spec=spec)}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "installations.operator.tigera.io"},
        "spec": {
            "group": "operator.tigera.io",
            "names": {"kind": "Installation", "listKind": "InstallationList", "plural": "installations"},
            "scope": "Cluster",
            "versions": [version],
        },
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def deployment(name: str, timeout: int = 1) -> dict[str, Any]:
    """calico-typha or calico-kube-controllers."""
    probes = {"livenessProbe": {**LIVE, **numbers(timeout, 6, 10)}, "readinessProbe": {**READY, **numbers(timeout)}}
    labels = {"k8s-app": name}
    container = {"name": name, "image": f"docker.io/calico/{name}:v3.19.0", **probes}
    pod = {"automountServiceAccountToken": False, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def pod(node_name: str, uid: str, ready: bool = True, **status: Any) -> dict[str, Any]:
    """A pod of calico-node."""
    condition = {"type": "Ready", "status": str(ready)}
    return {
        "metadata": {"name": f"calico-node-{uid}", "namespace": "kube-system", "uid": uid},
        "spec": {"nodeName": node_name},
        "status": {"conditions": [condition], **status},
    }


def config(veth_mtu: str) -> dict[str, Any]:
    """The ConfigMap calico-config of the manifest."""
    metadata = {"name": "calico-config", "namespace": "kube-system"}
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "data": {"calico_backend": "bird", "typha_service_name": "none", "veth_mtu": veth_mtu},
    }  # fmt: skip


def crd(kind: str, plural: str) -> dict[str, Any]:
    """A CRD of Calico's own, with no schema to speak of."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    group = "crd.projectcalico.org"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Cluster", "versions": [version],
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
        },
    }  # fmt: skip


def custom(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
