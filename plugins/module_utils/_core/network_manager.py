# Private to the collection nodeward.calico: may change in any release.
"""NetworkManager's profiles: which there are, as nmcli tells it, and the MTU in their files and in its memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import NodewardError
from .formats import UnsureError, keyfile
from .host import Host

# systemd keeps this link while the service is not down
_RUNNING = "/run/systemd/units/invocation:NetworkManager.service"

# How a profile may be called for the kind of its link (nmcli's TYPE), and in which section of its file its MTU is. A
# bond's, bridge's, team's or VLAN's is that of Ethernet (src/core/devices: get_configured_mtu of each).
SECTIONS = {
    "802-3-ethernet": ("ethernet", "802-3-ethernet"),
    "vlan": ("ethernet", "802-3-ethernet"),
    "bond": ("ethernet", "802-3-ethernet"),
    "bridge": ("ethernet", "802-3-ethernet"),
    "team": ("ethernet", "802-3-ethernet"),
    "infiniband": ("infiniband",),
}

_FIELDS = "UUID,TYPE,AUTOCONNECT,AUTOCONNECT-PRIORITY,DEVICE,FILENAME"


@dataclass(frozen=True)
class Profile:
    """A profile as nmcli lists it: ``kind`` is its type, ``links`` those that it is active on, ``path`` its file."""

    uuid: str
    kind: str
    autoconnect: bool
    priority: int
    links: tuple[str, ...]
    path: str


def runs(host: Host) -> bool:
    """Tell whether NetworkManager runs; where it does not, it reads all files anew at its start."""
    return host.link_target(_RUNNING) is not None


def profiles(host: Host) -> list[Profile]:
    """Return all that NetworkManager knows. Raises NodewardError."""
    told = _nmcli(host, "--terse", "--escape", "yes", "--fields", _FIELDS, "connection", "show")
    rows = (_row(line) for line in told.splitlines())
    return [
        Profile(row[0], row[1], row[2] == "yes", int(row[3]), tuple(filter(None, row[4].split(","))), row[5])
        for row in rows
        if len(row) == 6 and re.fullmatch(r"-?[0-9]+", row[3])
    ]


def _row(line: str) -> list[str]:
    """Split a line at its colons; one that belongs to a name has a backslash in front."""
    return [re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"(?:^|:)((?:\\.|[^:\\])*)", line)]


def loaded(host: Host, profile: Profile) -> int | None:
    """Return the MTU that NetworkManager has in memory for a profile, None for none of its own."""
    key = f"{SECTIONS[profile.kind][-1]}.mtu"
    return _number(_nmcli(host, "--get-values", key, "connection", "show", "uuid", profile.uuid).strip())


def key_in(text: str, kind: str) -> str:
    """Return the key of the MTU in the file of a profile: in the section that is there. Raises UnsureError."""
    names = SECTIONS[kind]
    there = [name for name in names if keyfile.has_section(text, name)]
    if len(there) > 1:
        raise UnsureError(f"it has the sections {' and '.join(there)}, which are one", 1)
    return f"{(there or names)[0]}/mtu"


def mtu_in(text: str, kind: str) -> int | None:
    """Return the MTU in the file of a profile, None where it has none of its own. Raises UnsureError."""
    return _number(keyfile.get(text, key_in(text, kind)) or "")


def _number(value: str) -> int | None:
    """Read an MTU; 'auto', as nmcli says it, and 0 are none."""
    return int(value) or None if re.fullmatch(r"[0-9]{1,9}", value) else None


def load(host: Host, path: str) -> None:
    """Have NetworkManager read one file anew, for the next time that it brings a link up. Raises NodewardError.

    What is up stays as it is: 'nmcli device reapply' would take addresses and routes off a link that are not in the
    profile (those of keepalived, of kube-vip), 'nmcli connection reload' reads files that others are about to write.
    """
    _nmcli(host, "connection", "load", path)


def require_loaded(host: Host, path: str) -> None:
    """Raise NodewardError where the MTU in memory is not that of the file; nmcli ends with 0 also when it failed."""
    text = host.read_text(path) or ""
    found = [profile for profile in profiles(host) if profile.path == path and profile.kind in SECTIONS]
    try:
        if found and loaded(host, found[0]) == mtu_in(text, found[0].kind):
            return
    except UnsureError as unsure:
        raise _not_loaded(path, str(unsure)) from unsure
    raise _not_loaded(path, "it has another MTU in memory" if found else "it does not know the file")


def _nmcli(host: Host, *words: str) -> str:
    return host.run(["nmcli", *words])


def _not_loaded(path: str, why: str) -> NodewardError:
    return NodewardError(
        what=f"NetworkManager did not take it: {why}",
        where=path,
        remedy=f"Run nmcli connection load {path} on the node and see journalctl -u NetworkManager",
    )
