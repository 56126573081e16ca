# Private to the collection nodeward.calico: may change in any release.
"""A static pod of the kubelet's, as kubeadm writes it: flags in its manifest.

The kubelet reads every file of the folder whose name does not begin with a dot (pkg/kubelet/config/file.go), and
starts the pod anew when its file changes.
"""

from __future__ import annotations

import posixpath
import re

from ..._core.formats import UnsureError, pod_flags
from ..._core.host import Host
from ..settings import NAMES, variable
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
    paths = [posixpath.join(FOLDER, name) for name in host.list_folder(FOLDER) if not name.startswith(".")]
    texts = {path: host.read_text(path) or "" for path in paths if not host.is_folder(path)}
    manifests = {path: text for path, text in texts.items() if _is_of(text, running)}
    if not manifests:
        return None
    path, text = next(iter(manifests.items()))
    broken = ""
    if len(manifests) > 1:
        broken = f"{' and '.join(manifests)} are manifests of this same member, and the kubelet runs any: leave one"
    set_there = set(re.findall(r"\bname:[ \t]*[\"']?(ETCD_[A-Z0-9_]+)", text))
    twice = sorted(set_there & {variable(flag) for flag in flags(tuple(pod_flags.words(text)))})
    if twice and not broken:
        broken = (
            f"{path} gives etcd both {twice[0]} and its flag, with which it does not start again: leave one of them"
        )
    # Env of the pod is not edited: a flag beside a variable would end etcd (pkg/flags verifyEnv).
    obstacles = {
        name: f"{path} sets {variable(name)} in the pod's environment; make it a flag"
        for name in NAMES
        if variable(name) in {*running.environment, *set_there}
    }
    place = Place("pod-flags", path, {name: name for name in NAMES}, text)
    return Site(FLAVOUR, (place,), dict.fromkeys(NAMES, 0), manifest=path, obstacles=obstacles, broken=broken)


def _is_of(text: str, running: Running) -> bool:
    try:
        given = flags(tuple(pod_flags.words(text)))
    except UnsureError:
        return False
    return all(given.get(name) and given.get(name) == running.flags.get(name) for name in ("name", "data-dir"))
