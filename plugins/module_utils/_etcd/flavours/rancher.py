# Private to the collection nodeward.calico: may change in any release.
"""k3s and rke2: etcd-arg in their config.yaml. They write etcd's file (SERVER/db/etcd/config) anew at every start."""

from __future__ import annotations

import posixpath
import re

from ..._core.host import Host
from ..settings import NAMES
from .base import UNIT, Flavour, Place, Running, Site

RKE2 = Flavour("rke2", restarts=UNIT)
K3S = Flavour("k3s", restarts=UNIT)

# By the generated file: the flavour, the file that is edited, and the unit that reads it.
_SERVERS = {
    "/var/lib/rancher/rke2/server/db/etcd/config": (RKE2, "/etc/rancher/rke2/config.yaml", "rke2-server.service"),
    "/var/lib/rancher/k3s/server/db/etcd/config": (K3S, "/etc/rancher/k3s/config.yaml", "k3s.service"),
}
LIST = "etcd-arg"
# Read after the file itself, in the order of their names; each takes the place of a list, or adds to it (etcd-arg+).
_LIST = re.compile(rf"^[\"']?{LIST}\+?[\"']?[ \t]*:", re.MULTILINE)


def recognise(running: Running, host: Host) -> Site | None:
    """Tell by the file that the process reads."""
    found = _SERVERS.get(running.config_file)
    if found is None:
        return None
    flavour, path, unit = found
    text = host.read_text(path)
    if text is None:
        why = f"{path} is not there; make it (an empty file will do)"
        return Site(flavour, unit=unit, obstacles=dict.fromkeys(NAMES, why))
    folder = f"{path}.d"
    also = [
        name
        for name in host.list_folder(folder)
        if name.endswith((".yaml", ".yml")) and _LIST.search(host.read_text(posixpath.join(folder, name)) or "")
    ]
    if also:
        why = f"{posixpath.join(folder, also[0])} has {LIST} too; move it into {path}"
        return Site(flavour, unit=unit, obstacles=dict.fromkeys(NAMES, why))
    place = Place("list-args", path, {name: f"{LIST}:{name}" for name in NAMES}, text)
    return Site(flavour, (place,), dict.fromkeys(NAMES, 0), unit=unit)
