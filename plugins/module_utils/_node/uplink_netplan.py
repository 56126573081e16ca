# Private to the collection nodeward.calico: may change in any release.
"""netplan's definition of the uplink: a file of ours adds the MTU to it, by the id that it has.

netplan merges mappings of all its files; another id for the same link would be a second definition of it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .._core import netplan
from .._core.errors import NodewardError
from .._core.formats import UnsureError
from .._core.formats.yaml_lines import Path
from .._core.host import Host
from .._core.links import Link
from .._core.verbs import MANAGED_BY, Change, GenerateNetplan, LoadProfile, Reason, WriteFile
from .uplink_boot import NETPLAN, Asked, Boot, Definition

OWN = "/etc/netplan/99-zz-nodeward-link_mtu.yaml"
MODE = 0o600  # netplan warns of files that others can read

# Where netplan reads files: all by the order of their names, of one name the first (netplan(5)).
_FOLDERS = ("/run/netplan", "/etc/netplan", "/lib/netplan")
# Mappings whose links may be an uplink of nodes.
_KINDS = ("ethernets", "bonds", "bridges", "vlans")
# What netplan makes of a definition for systemd-networkd, and for NetworkManager.
_MADE = re.compile(
    r"/run/(?:systemd/network/10-netplan-(.+)\.network|NetworkManager/system-connections/netplan-(.+)\.nmconnection)"
)


def made(path: str) -> bool:
    """Tell whether netplan made a file for its backend."""
    return _MADE.fullmatch(path) is not None


def observe(asked: Asked, path: str, shared: str, over: int | None = None) -> Boot:
    """Return what configures a link at boot whose backend reads ``path``; ``shared`` says why not it alone.

    ``over`` is the MTU that the backend has from elsewhere and takes instead of netplan's.
    """
    host, found = asked.host, _MADE.fullmatch(path)
    texts = {name: text for name in (path, OWN) if (text := host.read_text(name)) is not None}
    boot = Boot(NETPLAN, path, texts)
    if found is None or not netplan.is_there(host):
        return replace(boot, garbled="netplan itself is not installed, so nothing makes this file at boot")
    try:
        definition, at_boot = _definition(asked.netplan, found.group(1) or found.group(2))
    except NodewardError as error:
        return replace(boot, garbled=error.what)
    except UnsureError as unsure:
        return replace(boot, garbled=f"netplan get prints what we do not know, {unsure}")
    garbled = shared if definition else "netplan has no Ethernet, bond, bridge or VLAN of this id"
    return replace(boot, garbled=garbled or _place(host), at_boot=over or at_boot, definition=definition)


def over_network_manager(asked: Asked, boot: Boot) -> Boot:
    """Return the same for a profile that netplan made for NetworkManager, as that has it."""
    found = observe(asked, boot.path, boot.garbled)
    return replace(found, contested=boot.contested, loaded=boot.loaded, key=boot.key)


def _definition(values: Mapping[Path, str], its_id: str) -> tuple[Definition | None, int | None]:
    kinds = [kind for kind in _KINDS if ("network", kind, its_id) in values]
    if len(kinds) != 1:
        return None, None
    mtu = values.get(("network", kinds[0], its_id, "mtu"), "")
    return Definition(kinds[0], its_id), int(mtu) if re.fullmatch(r"[0-9]{1,9}", mtu) else None


def _place(host: Host) -> str:
    """Return why a file of ours would not do, '' where it would."""
    target = host.link_target(OWN)
    if target is not None:
        return f"{OWN} is a link to {target}"
    files: dict[str, str] = {}
    for folder in _FOLDERS:
        for name in host.list_folder(folder):
            if name.endswith(".yaml"):
                files.setdefault(name, f"{folder}/{name}")
    for name in sorted(files):
        text = host.read_text(files[name]) or ""
        if name > posixpath.basename(OWN) and re.search(r"^[^#\n]*\bmtu\b", text, re.MULTILINE):
            return f"{files[name]} is read after {posixpath.basename(OWN)} and sets an MTU"
    return ""


def render(definition: Definition, mtu: int) -> str:
    """Return the text of our file."""
    return f"""# {MANAGED_BY}
network:
  version: 2
  {definition.kind}:
    "{definition.id}":
      mtu: {mtu}
"""


def changes(boot: Boot, _link: Link, mtu: int, reason: Reason) -> Iterator[Change]:
    """Yield what makes an MTU last; pure. A run that was killed in between leaves the rest to the next one."""
    if boot.definition is None:
        return
    present, wanted = boot.texts.get(OWN), render(boot.definition, mtu)
    written = present != wanted and (present is not None or boot.at_boot != mtu)
    generated = written or netplan.generated_mtu(boot.texts.get(boot.path, "")) != mtu
    if written:
        yield WriteFile(OWN, present, wanted, reason, MODE)
    if generated:
        yield GenerateNetplan(boot.path, reason, mtu)
    if boot.key and (generated or boot.loaded != mtu):
        yield LoadProfile(boot.path, reason)
