# Private to the collection nodeward.calico: may change in any release.
"""Whether a node is one of the control plane, by the API server that it runs: these are done last, one by one."""

from __future__ import annotations

from .._core.host import Host
from . import processes

# The static pod of kubeadm and kubespray, and of rke2; the units of what is installed on servers only. They tell of an
# API server that is down, too.
FILES = (
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml",
    "/etc/systemd/system/kube-apiserver.service",
    "/etc/systemd/system/k3s.service",
    "/etc/systemd/system/k0scontroller.service",
)

# Itself, or what has it inside (kubelite: microk8s' workers have it too, and are done one by one for it).
NAMES = ("kube-apiserver", "k3s-server", "kubelite")


def is_here(host: Host) -> bool:
    """Tell whether a node runs an API server; one in a pod of somebody's (vcluster) is none of its own. Reads only."""
    if any(host.read_text(path) for path in FILES):  # a masked unit is empty
        return True
    return bool(processes.called(host, processes.names(host), NAMES))
