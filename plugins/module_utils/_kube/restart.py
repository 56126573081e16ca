# Private to the collection nodeward.calico: may change in any release.
"""The restart of calico-node that a new veth_mtu needs, whichever module makes it; pure.

The pods read veth_mtu at their start (environment, and the init container that writes the CNI's configuration), so
their template notes which change of ours they were started with, and the ConfigMap says which one they have to be. A
restart is due where the two differ: also after a run that broke off in between, in the same rollout as other changes
of the template, and where the value is one of before that somebody else had changed meanwhile.
"""

from __future__ import annotations

from . import objects, places
from .install import Calico
from .objects import FieldChange

TRAP = "calico_mtu"
VETH_MTU = "/data/veth_mtu"
ANNOTATION = places.pointer("nodeward.calico/veth-mtu")
NOTE = f"/spec/template/metadata/annotations{ANNOTATION}"
DEMAND = f"/metadata/annotations{ANNOTATION}"  # of the ConfigMap: the note that its veth_mtu needs

_WHY = "calico-node and the CNI's configuration take a new veth_mtu with the next start of calico-node"


def config_target(namespace: str) -> str:
    """Return what the journal calls veth_mtu."""
    return f"{objects.config_map(namespace, 'calico-config').where} {VETH_MTU}"


def mtu_of(note: str | None) -> str | None:
    """Return the veth_mtu that a note is for."""
    return note and str(note).partition(" ")[0]


def demanded(calico: Calico, mtu: str) -> FieldChange:
    """Return the change of the ConfigMap that goes with this veth_mtu: no note of the template is like it.

    The note is the MTU, and how often it was set where the pods have been started with it before: "1430", "1430 2".
    """
    noted = places.get(calico.daemon_set, NOTE)
    _mtu, _space, count = str(noted or "").partition(" ")
    again = f"{mtu} {int(count) + 1 if count.isdecimal() else 2}"
    ref = objects.config_map(calico.namespace, "calico-config")
    before = places.get(calico.config, DEMAND)
    return FieldChange(TRAP, ref, DEMAND, before, again if mtu_of(noted) == mtu else mtu, _WHY)


def due(calico: Calico, demand: str | None = None) -> FieldChange | None:
    """Return the change that restarts the pods for this note, by default for the value of ours that is there now."""
    if demand is None:
        present = places.get(calico.config, VETH_MTU)
        if present is None or calico.ours.get(config_target(calico.namespace)) != present:
            return None
        known = places.get(calico.config, DEMAND)
        demand = known if mtu_of(known) == present else present
    noted = places.get(calico.daemon_set, NOTE)
    return None if noted == demand else FieldChange(TRAP, calico.ref, NOTE, noted, demand, _WHY)
