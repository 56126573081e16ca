# Private to the collection nodeward.calico: may change in any release.
"""A static pod of the kubelet's, as kubeadm writes it: flags in its manifest.

The kubelet reads every file of the folder whose name does not begin with a dot (pkg/kubelet/config/file.go), and
starts the pod anew when its file changes.
"""

from __future__ import annotations

import posixpath

from ..._core.formats import UnsureError, pod_flags
from ..._core.host import Host
from ..settings import NAMES
from .base import KUBELET, Flavour, Place, Running, Site, flags

FLAVOUR = Flavour(
    "kubeadm",
    restarts=KUBELET,
    upgrade="kubeadm writes the manifest anew at its next upgrade, from ClusterConfiguration.etcd.local.extraArgs in "
    "the ConfigMap kubeadm-config",
)
FOLDER = "/etc/kubernetes/manifests"


def recognise(running: Running, host: Host) -> Site | None:
    """Find the manifest whose pod this is: with the same name and data folder. A pod alone may claim anything."""
    if not running.is_pod:
        return None
    for name in host.list_folder(FOLDER):
        path = posixpath.join(FOLDER, name)
        text = None if name.startswith(".") or host.is_folder(path) else host.read_text(path)
        if text is not None and _is_of(text, running):
            place = Place("pod-flags", path, {name: name for name in NAMES}, text)
            # Env of the pod is not edited: a flag beside a variable would end etcd (pkg/flags verifyEnv).
            obstacles = {
                name: f"{path} sets {variable} in the pod's environment; make it a flag"
                for name in NAMES
                for variable in ["ETCD_" + name.upper().replace("-", "_")]
                if variable in running.environment
            }
            return Site(FLAVOUR, (place,), dict.fromkeys(NAMES, 0), manifest=path, obstacles=obstacles)
    return None


def _is_of(text: str, running: Running) -> bool:
    try:
        given = flags(tuple(pod_flags.words(text)))
    except UnsureError:
        return False
    return all(given.get(name) and given.get(name) == running.flags.get(name) for name in ("name", "data-dir"))
