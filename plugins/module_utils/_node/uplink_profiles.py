# Private to the collection nodeward.calico: may change in any release.
"""The profile of NetworkManager by which it brings the uplink up: its file is edited, and read by it, no more.

By file and not by 'nmcli connection modify', which writes all of the file anew: without its comments, in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .._core import network_manager
from .._core.errors import NodewardError
from .._core.formats import UnsureError, keyfile
from .._core.host import Host
from .._core.links import Link
from .._core.network_manager import SECTIONS, Profile
from .._core.verbs import Change, LoadProfile, Reason, SetKey
from .uplink_boot import NETWORK_MANAGER, OTHERS_TOO, Asked, Boot
from .uplink_netplan import made

_DISPATCHERS = tuple(
    f"{folder}/NetworkManager/dispatcher.d{below}"
    for folder in ("/etc", "/usr/lib")
    for below in ("", "/pre-up.d", "/no-wait.d")
)


def observe(asked: Asked, link: str) -> Boot:
    """Return what brings a link of NetworkManager's up at boot; reads only."""
    try:
        active = [each for each in asked.profiles if link in each.links]
        if len(active) != 1:
            return Boot(NETWORK_MANAGER, garbled=f"{len(active) or 'no'} profiles are active on it")
        return _boot(asked.host, link, active[0], asked.profiles)
    except NodewardError as error:
        return Boot(NETWORK_MANAGER, garbled=f"nmcli does not tell its profile: {error.what}")


def _boot(host: Host, link: str, profile: Profile, every: Sequence[Profile]) -> Boot:
    path = profile.path
    if profile.kind not in SECTIONS:
        return Boot(NETWORK_MANAGER, path, garbled=f"a profile of type {profile.kind} sets no MTU that we know")
    text = host.read_text(path) if path else None
    if text is None:
        return Boot(NETWORK_MANAGER, path, garbled="its profile has no file")
    if _is_ifcfg(path):
        return Boot(NETWORK_MANAGER, path, garbled="no keyfile; nmcli connection migrate makes one of it")
    try:
        key, at_boot = network_manager.key_in(text, profile.kind), network_manager.mtu_in(text, profile.kind)
        instead = _instead(host, link, profile, every)
        garbled = instead or _not_ours(host, link, profile, text)
    except UnsureError as unsure:
        return Boot(NETWORK_MANAGER, path, {path: text}, str(unsure))
    loaded = network_manager.loaded(host, profile)
    return Boot(NETWORK_MANAGER, path, {path: text}, garbled, at_boot, bool(instead), loaded=loaded, key=key)


def _is_ifcfg(path: str) -> bool:
    return "/network-scripts/" in path


def _not_ours(host: Host, link: str, profile: Profile, text: str) -> str:
    """Return why a file that decides at boot is not ours to edit, '' where it is."""
    target = host.link_target(profile.path)
    if target is not None:
        return f"it is a link to {target}"
    if profile.path.startswith("/usr/"):
        return "its profile belongs to a package"
    return "" if _is_for(text, link, profile.kind) else OTHERS_TOO


def _instead(host: Host, link: str, profile: Profile, every: Sequence[Profile]) -> str:
    """Return what may decide at boot instead of the profile's file, '' where nothing does.

    Of two profiles that fit NetworkManager takes the one of the higher priority, of equal ones that which was up last.
    One without autoconnect somebody brought up by hand; a bond's or bridge's may come up with its ports, or not.
    """
    if profile.path.startswith("/run/") and not made(profile.path):
        return "its profile is gone after a boot, so something else makes it or configures the link"
    if not profile.autoconnect:
        return "its profile does not come up by itself: autoconnect is off"
    rivals = [
        each
        for each in every
        if each.uuid != profile.uuid
        and each.kind == profile.kind
        and each.autoconnect
        and each.priority >= profile.priority
        and _may_take(host.read_text(each.path) or "", link)
    ]
    return f"{', '.join(each.path for each in rivals)} may be taken instead at boot" if rivals else _dispatched(host)


def _is_for(text: str, link: str, kind: str) -> bool:
    named = keyfile.get(text, "connection/interface-name")
    return named == link or (named is None and any(keyfile.get(text, f"{name}/mac-address") for name in SECTIONS[kind]))


def _may_take(text: str, link: str) -> bool:
    """Tell whether a profile may be for a link; one that is not understood may."""
    try:
        return keyfile.get(text, "connection/interface-name") in (link, None)
    except UnsureError:
        return True


def _dispatched(host: Host) -> str:
    """Return which script of NetworkManager's dispatcher has to do with MTUs, '' where none has."""
    for folder in _DISPATCHERS:
        for name in host.list_folder(folder):
            if re.search(r"^[^#\n]*\bmtu\b", host.read_text(f"{folder}/{name}") or "", re.MULTILINE):
                return f"{folder}/{name} may set an MTU"
    return ""


def changes(boot: Boot, _link: Link, mtu: int, reason: Reason) -> Iterator[Change]:
    """Yield what makes an MTU last; pure. A run that was killed between the two leaves the second to the next one."""
    if boot.at_boot != mtu:
        before = keyfile.get(boot.texts[boot.path], boot.key)
        yield SetKey("keyfile", boot.path, boot.key, before, str(mtu), reason)
    if boot.at_boot != mtu or boot.loaded != mtu:
        yield LoadProfile(boot.path, reason)
