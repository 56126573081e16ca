# Private to the collection nodeward.calico: may change in any release.
"""The ways in which etcd is run, and where each keeps its settings. To add one, write it and put it into FLAVOURS."""

from __future__ import annotations

from ..._core.host import Host
from . import config_file, foreign, rancher, static_pod, systemd
from .base import KUBELET, UNIT, Flavour, Place, Recognise, Running, Site, flags

__all__ = ["FLAVOURS", "KUBELET", "UNIT", "Flavour", "Place", "Running", "Site", "flags", "recognise"]

# The first that recognises a process is its flavour: those that others would take for theirs come first.
FLAVOURS: tuple[Recognise, ...] = (
    foreign.recognise,
    rancher.recognise,
    config_file.recognise,
    static_pod.recognise,
    systemd.recognise,
)


def recognise(running: Running, host: Host) -> Site:
    """Return where a running etcd is configured. Reads only."""
    for flavour in FLAVOURS:
        site = flavour(running, host)
        if site is not None:
            return site
    return foreign.unknown(running, host)
