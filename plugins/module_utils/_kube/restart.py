# Private to the collection nodeward.calico: may change in any release.
"""The restart of calico-node that a new veth_mtu needs, whichever module makes it; pure.

The pods read veth_mtu at their start (environment, and the init container that writes the CNI's configuration), so
their template notes which change of ours they were started with, and the ConfigMap says which one they have to be. A
restart is due where the two differ: also after a run that broke off in between, in the same rollout as other changes
of the template, and where the value is one of before that somebody else had changed meanwhile.
"""

from __future__ import annotations

import re
from typing import Any

from . import objects, places
from .install import Calico
from .objects import FieldChange

TRAP = "calico_mtu"
VETH_MTU = "/data/veth_mtu"
ANNOTATION = places.pointer("nodeward.calico/veth-mtu")
NOTE = f"/spec/template/metadata/annotations{ANNOTATION}"
DEMAND = f"/metadata/annotations{ANNOTATION}"  # of the ConfigMap: the note that its veth_mtu needs

_NUMBER = "[0-9]{1,5}"
_NOTE = re.compile(rf"({_NUMBER})(?: ([0-9]{{1,6}}))?(?: was ({_NUMBER}))?")
_WHY = "calico-node and the CNI's configuration take a new veth_mtu with the next start of calico-node"


def config_target(namespace: str) -> str:
    """Return what the journal calls veth_mtu."""
    return f"{objects.config_map(namespace, 'calico-config').where} {VETH_MTU}"


def parsed(note: Any) -> tuple[str, int, str | None] | None:
    """Return what a note says: its veth_mtu, how often that was set, and the value before; None for one of others."""
    found = _NOTE.fullmatch(note) if isinstance(note, str) else None
    return (found[1], int(found[2] or 1), found[3]) if found else None


def demanded(calico: Calico, mtu: str) -> FieldChange:
    """Return the change of the ConfigMap that goes with this veth_mtu: no note of the template is like it.

    "1430 was 1450"; "1430 2 was 1500" where the pods have been started with 1430 before.
    """
    noted = parsed(places.get(calico.daemon_set, NOTE))
    count = f" {noted[1] + 1}" if noted and noted[0] == mtu else ""
    replaced = places.get(calico.config, VETH_MTU)
    was = f" was {replaced}" if re.fullmatch(_NUMBER, str(replaced)) else ""
    ref = objects.config_map(calico.namespace, "calico-config")
    return FieldChange(TRAP, ref, DEMAND, places.get(calico.config, DEMAND), f"{mtu}{count}{was}", _WHY)


def due(calico: Calico, demand: str | None = None) -> FieldChange | None:
    """Return the change that restarts the pods for this note, by default for the value of ours that is there now."""
    noted = places.get(calico.daemon_set, NOTE)
    if demand is None:
        present = places.get(calico.config, VETH_MTU)
        if present is None or calico.ours.get(config_target(calico.namespace)) != present:
            return None
        known = places.get(calico.config, DEMAND)
        if not _is_for(known, present):  # somebody has replaced the ConfigMap: the value alone tells
            known = noted if _is_for(noted, present) else present
        demand = known
    return None if noted == demand else FieldChange(TRAP, calico.ref, NOTE, noted, demand, _WHY)


def _is_for(note: Any, mtu: str) -> bool:
    said = parsed(note)
    return said is not None and said[0] == mtu
