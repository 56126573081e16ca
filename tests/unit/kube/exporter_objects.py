"""DaemonSets of node-exporter as kube-prometheus-stack's chart makes them, after the API server has filled them in."""

from __future__ import annotations

from typing import Any

MONITORING = "monitoring"
NAME = "stack-prometheus-node-exporter"
HOST = {"proc": "/proc", "sys": "/sys", "root": "/"}

# The words of prometheus-community's chart prometheus-node-exporter, without those of its extraArgs.
ARGS = (
    "--path.procfs=/host/proc",
    "--path.sysfs=/host/sys",
    "--path.rootfs=/host/root",
    "--path.udev.data=/host/root/run/udev/data",
    "--web.listen-address=[$(HOST_IP)]:9100",
)
HELM = {"meta.helm.sh/release-name": "stack", "meta.helm.sh/release-namespace": MONITORING}


def daemon_set(*more: str, name: str = NAME, host_pid: bool = False, **container: Any) -> dict[str, Any]:
    """One with ``more`` words; ``container`` is laid over the container's own fields."""
    labels = {"app.kubernetes.io/instance": "stack", "app.kubernetes.io/name": "prometheus-node-exporter"}
    exporter = {
        "name": "node-exporter",
        "image": "quay.io/prometheus/node-exporter:v1.8.2",
        "imagePullPolicy": "IfNotPresent",
        "args": [*ARGS, *more],
        "env": [{"name": "HOST_IP", "value": "192.0.2.7"}],
        "ports": [{"name": "http-metrics", "containerPort": 9100, "hostPort": 9100, "protocol": "TCP"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": each, "mountPath": f"/host/{each}", "readOnly": True} for each in HOST],
        **container,
    }
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "containers": [exporter],
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"effect": each, "operator": "Exists"} for each in ("NoSchedule", "NoExecute")],
        "volumes": [{"name": each, "hostPath": {"path": path, "type": ""}} for each, path in HOST.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": name,
            "namespace": MONITORING,
            "labels": {**labels, "app.kubernetes.io/managed-by": "Helm", "jobLabel": "node-exporter"},
            "annotations": dict(HELM),
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": labels}, "spec": {**pod, **({"hostPID": True} if host_pid else {})}},
        },
    }


# As kube-prometheus has it: behind a proxy, and all of the node's processes by hostPID alone.
def kube_prometheus() -> dict[str, Any]:
    item = daemon_set(name="node-exporter", host_pid=True, args=["--web.listen-address=127.0.0.1:9100", *ARGS[1:3]])
    proxy = {"name": "kube-rbac-proxy", "image": "quay.io/brancz/kube-rbac-proxy:v0.14.2", "args": ["--upstream=x"]}
    item["spec"]["template"]["spec"]["containers"].append(proxy)
    item["metadata"] |= {"annotations": {}, "labels": {"app.kubernetes.io/name": "node-exporter"}}
    return item
