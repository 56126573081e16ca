"""A cluster as kubeadm leaves it: an API server beside the lab, kubelets that have joined it, and kubeadm's files."""

from __future__ import annotations

import base64
import json

from tests.api import ApiServer
from tests.fleet.fleet import NODES
from tests.lab import Lab

ADMIN_CONF = "/etc/kubernetes/admin.conf"
KUBELET_MAP = "kubelet-config-1.20"  # of the API server's release
KUBELET = """\
# written by kubeadm init
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 110
"""


def join(lab: Lab, server: ApiServer, administered: tuple[str, ...] = ("node1",)) -> None:
    """Have the kubelets' ConfigMap, and all nodes in it and Ready; those with admin.conf are of the control plane."""
    server.create(config_map(KUBELET_MAP, kubelet=KUBELET))
    for node in NODES:
        files = dict(server.kubelet_files(node))
        if node in administered:
            files[ADMIN_CONF] = server.kubeconfig()
        for path, text in files.items():
            coded = base64.b64encode(text.encode()).decode()
            lab.run(node, f"mkdir -p $(dirname {path}); echo {coded} | base64 -d > {path}; chmod 600 {path}")
        lab.run(node, "systemctl start kubelet")
    server.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=30s")


def config_map(name: str, **data: str) -> dict[str, object]:
    """Return a ConfigMap of kubeadm's."""
    metadata = {"name": name, "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def in_config_maps(server: ApiServer) -> dict[str, dict[str, str]]:
    """Return name -> data of all ConfigMaps beside kubeadm's, as kubectl tells."""
    found = json.loads(server.kubectl("get", "configmaps", "--namespace=kube-system", "--output=json"))
    return {item["metadata"]["name"]: item.get("data") or {} for item in found["items"]}
