# Private to the collection nodeward.calico: may change in any release.
"""Those that something else configures and would put back: recognised, and left to it."""

from __future__ import annotations

import re

from ..._core.host import Host
from .base import Flavour, Running, Site

OPENSHIFT = Flavour(
    "OpenShift", remedy="set spec.controlPlaneHardwareSpeed of the cluster's Etcd object (oc edit etcd cluster)"
)
KOPS = Flavour(
    "kOps",
    remedy="set ETCD_HEARTBEAT_INTERVAL and ETCD_ELECTION_TIMEOUT in etcdClusters[].manager.env of the cluster's spec "
    "(kops edit cluster, then kops rolling-update)",
)
TALOS = Flavour("Talos", remedy="set cluster.etcd.extraArgs in the machine configuration (talosctl edit machineconfig)")
UNKNOWN = Flavour("an unknown flavour", remedy="set the values where this etcd is configured")


# OpenShift's documentation of its etcd Operator, "Automatic defragmentation".
DEFRAGS_ITSELF = "OpenShift's etcd Operator defragments the members itself, and knows of no lock of ours"


def defrags_itself(host: Host) -> bool:
    """Tell whether what runs etcd here also defragments it: two at once would leave the cluster without a quorum."""
    return host.is_folder("/etc/kubernetes/static-pod-resources/etcd-certs")


def recognise(running: Running, host: Host) -> Site | None:
    """Tell by the operating system, by what started the process, and by the pod's own files."""
    if re.search(r"^ID=\"?talos\"?$", host.read_text("/etc/os-release") or "", re.MULTILINE):
        return Site(TALOS)
    if running.parent.startswith("etcd-manager"):
        return Site(KOPS)
    if running.is_pod and defrags_itself(host):
        return Site(OPENSHIFT)
    return None


def started_by(unit: str) -> Site:
    """Take what something in a unit starts that is not there for etcd alone: flags and a restart are not for that."""
    return Site(Flavour(f"an etcd that something in {unit} starts", remedy="set the values where that is configured"))


def unknown(_running: Running, _host: Host) -> Site:
    """Take what nobody else has recognised."""
    return Site(UNKNOWN)
