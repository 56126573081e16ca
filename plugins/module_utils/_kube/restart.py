# Private to the collection nodeward.calico: may change in any release.
"""The restart of calico-node that a new veth_mtu needs, whichever module makes it; pure.

The pods read veth_mtu at their start (environment, and the init container that writes the CNI's configuration), so
their template notes the value that they were started with. Where a value of ours differs from that, a restart is due:
also after a run that broke off between the two, and in the same rollout as other changes of the template.
"""

from __future__ import annotations

from . import objects, places
from .install import Calico
from .objects import FieldChange

TRAP = "calico_mtu"
VETH_MTU = "/data/veth_mtu"
NOTE = "/spec/template/metadata/annotations" + places.pointer("nodeward.calico/veth-mtu")

_WHY = "calico-node and the CNI's configuration take a new veth_mtu with the next start of calico-node"


def config_target(namespace: str) -> str:
    """Return what the journal calls veth_mtu."""
    return f"{objects.config_map(namespace, 'calico-config').where} {VETH_MTU}"


def due(calico: Calico, mtu: str | None = None) -> FieldChange | None:
    """Return the change that restarts the pods for ``mtu``, by default for the value of ours that is there already."""
    if mtu is None:
        present = places.get(calico.config, VETH_MTU)
        mtu = present if present is not None and calico.ours.get(config_target(calico.namespace)) == present else None
    noted = places.get(calico.daemon_set, NOTE)
    if mtu is None or noted == mtu:
        return None
    return FieldChange(TRAP, calico.ref, NOTE, noted, mtu, _WHY)
