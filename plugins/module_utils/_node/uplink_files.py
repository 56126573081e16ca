# Private to the collection nodeward.calico: may change in any release.
"""Whose file sets the uplink's MTU at the next boot.

Nothing is restarted or applied anew: that would drop BIRD's routes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase

from .._core.formats import UnsureError, interfaces
from .._core.formats.interfaces import Stanza
from .._core.host import Host
from .._core.links import Link, Network
from .._core.plan import Finding, Plan
from .._core.verbs import MANAGED_BY, Change, Reason, SetKey, WriteFile
from . import uplink_netplan, uplink_profiles
from .calico_links import PODS
from .uplink_boot import IFUPDOWN, NETPLAN, NETWORK_MANAGER, NETWORKD, OTHERS_TOO, Asked, Boot

OWN = "99-zz-nodeward-link_mtu.conf"

# systemd.network(5): where .network files and their drop-ins are looked for, the first wins a name.
_NETWORK_FOLDERS = (
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)
_INTERFACES = "/etc/network/interfaces"
_FAMILY = "inet"
# The methods of interfaces(5) that take "mtu"; dhcp does not, and its client may set what the server says.
_METHODS = ("static", "manual")
_COMMANDS = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
# Files that include one another for ever.
_DEEPEST = 5


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host, network: Network) -> dict[str, Boot]:
    """Return what configures each link that may be an uplink, by its name; reads only."""
    routed = {route.link for route in network.default_routes}
    addressed = {each.link for each in network.addresses if not each.address.startswith("fe80:")}
    possible = [
        link
        for link in network.links
        if not link.loopback
        and not link.name.startswith(PODS)
        and (link.kind == "" or link.index in routed or link.index in addressed)
    ]
    included = _interfaces_files(host, _INTERFACES)
    states = {
        link.name: _pairs(host.read_text(f"/run/systemd/netif/links/{link.index}") or "") for link in network.links
    }
    asked = Asked(host)
    return {link.name: _boot(asked, link, states, included) for link in possible}


def _boot(asked: Asked, link: Link, states: Mapping[str, Mapping[str, str]], included: Mapping[str, str]) -> Boot:
    host = asked.host
    state = states[link.name]
    path = state.get("NETWORK_FILE", "")
    if path and state.get("ADMIN_STATE") != "unmanaged":
        name = posixpath.basename(path)
        texts = {path: host.read_text(path) or "", **_drop_ins(host, name)}
        others = [other for other, its in states.items() if other != link.name and its.get("NETWORK_FILE") == path]
        shared = _shared(texts, others)
        if uplink_netplan.made(path):
            behind = [(each, mtu_in(text)) for each, text in texts.items() if each != path]
            last, over = next((pair for pair in reversed(behind) if pair[1] is not None), ("", None))
            return uplink_netplan.observe(asked, path, f"{last} sets an MTU over it" if last else shared, over)
        return Boot(path=path) if path.startswith("/run/") else Boot(NETWORKD, path, texts, shared)
    nm = _pairs(host.read_text(f"/run/NetworkManager/devices/{link.index}") or "")
    if nm.get("managed") == "true" or "connection-uuid" in nm:
        boot = uplink_profiles.observe(asked, link.name)
        return uplink_netplan.over_network_manager(asked, boot) if uplink_netplan.made(boot.path) else boot
    return _ifupdown(link.name, included)


def _pairs(text: str) -> dict[str, str]:
    return {key: value for key, _equals, value in (line.partition("=") for line in text.splitlines())}


def _shared(texts: Mapping[str, str], others: list[str]) -> str:
    """Return why a drop-in would set other links too, '' where it would not."""
    if others:
        return f"it configures {', '.join(others)} too"
    matches = [pair for text in texts.values() for pair in _settings(text, "Match")]
    names = _words(matches, "Name")
    single = len(names) == 1 and all(re.fullmatch(r"[A-Za-z0-9._:@-]+", name) for name in names)
    by_address = any(len(_words(matches, key)) == 1 for key in ("MACAddress", "PermanentMACAddress"))
    return "" if single or by_address else OTHERS_TOO


def _words(pairs: list[tuple[str, str]], key: str) -> set[str]:
    """Return the words of a list of systemd.syntax(7): a key adds to it, one without a value empties it."""
    words: set[str] = set()
    for each, value in pairs:
        if each == key:
            words = words | set(value.split()) if value else set()
    return words


def _settings(text: str, section: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a section of a .network file."""
    present = ""
    for line in text.splitlines():
        header = re.fullmatch(r"\s*\[(.*)\]\s*", line)
        pair = re.fullmatch(r"\s*([A-Za-z0-9]+)\s*=\s*(.*?)\s*", line)
        if header:
            present = header.group(1)
        elif pair and present == section:
            yield pair.group(1), pair.group(2)


def _drop_ins(host: Host, name: str) -> dict[str, str]:
    """Return the drop-ins of a .network file in the order of their names, whatever their folder."""
    found: dict[str, str] = {}
    for folder in _NETWORK_FOLDERS:
        for file in host.list_folder(f"{folder}/{name}.d"):
            if file.endswith(".conf"):
                found.setdefault(file, f"{folder}/{name}.d/{file}")
    return {found[file]: host.read_text(found[file]) or "" for file in sorted(found)}


def _interfaces_files(host: Host, path: str, depth: int = 0) -> dict[str, str]:
    """Return interfaces(5) and the files that it includes, each by its path."""
    text = host.read_text(path)
    if text is None or depth > _DEEPEST:
        return {}
    files = {path: text}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("source", "source-directory"):
            for included in _included(host, words[0], posixpath.join("/etc/network", words[1])):
                files.update(_interfaces_files(host, included, depth + 1))
    return files


def _included(host: Host, word: str, pattern: str) -> list[str]:
    if word == "source-directory":
        return [f"{pattern}/{name}" for name in host.list_folder(pattern) if re.fullmatch(r"[A-Za-z0-9_-]+", name)]
    folder, _slash, names = pattern.rpartition("/")
    # As in the shell, only a pattern with a dot in front matches a hidden file.
    return [
        f"{folder}/{name}"
        for name in host.list_folder(folder)
        if fnmatchcase(name, names) and (names.startswith(".") or not name.startswith("."))
    ]


def _ifupdown(name: str, included: Mapping[str, str]) -> Boot:
    own: dict[str, list[Stanza]] = {}
    for path, text in included.items():
        try:
            stanzas = [stanza for stanza in interfaces.stanzas(text) if stanza.name == name]
        except UnsureError as unsure:
            if re.search(rf"^\s*iface\s+{re.escape(name)}\s", text, re.MULTILINE):
                return Boot(IFUPDOWN, path, {path: text}, str(unsure))
            continue
        if stanzas:
            own[path] = stanzas
    fit = (path for path, stanzas in own.items() if any(each.family == _FAMILY or each.inherits for each in stanzas))
    chosen = next(fit, None)
    if chosen is None:
        return Boot()
    others = [path for path in own if path != chosen]
    garbled = f"it is in {', '.join(others)} too" if others else _unfit(included[chosen], own[chosen])
    return Boot(IFUPDOWN, chosen, {chosen: included[chosen]}, garbled)


def _unfit(text: str, own: list[Stanza]) -> str:
    """Return why an mtu of ours would not do in a link's stanzas, '' where it would."""
    lines = text.split("\n")
    for stanza in own:
        if stanza.inherits:
            return "it inherits from another stanza"
        if stanza.family == _FAMILY and stanza.method not in _METHODS:
            return f"the method {stanza.method} takes no mtu"
        for number in stanza.options:
            option = lines[number].split()[0]
            if option == "mtu" and stanza.family != _FAMILY:
                return f"its {stanza.family} stanza sets an mtu, line {number + 1}"
            if option in _COMMANDS and re.search(r"\bmtu\b", lines[number]):
                return f"a command sets an mtu, line {number + 1}"
    return ""


# --- plan -------------------------------------------------------------------------------------------


def plan(boot: Boot, link: Link, mtu: int, trap: str, disrupts: str) -> Plan:
    """Decide what makes the link's MTU last over a boot; pure. Where we have no writer, a finding says so."""
    reason = Reason(trap, f"the next boot would otherwise set another MTU on {link.name}", disrupts=disrupts)
    if boot.manager == NETWORKD:
        changes = tuple(_networkd(boot, mtu, reason))
        if boot.garbled and changes:
            return Plan(findings=(_not_ours(boot, link, mtu, trap, boot.garbled),))
        return Plan(changes, tuple(_overridden(boot, mtu, trap)))
    write = _WRITERS.get(boot.manager)
    if write is None or boot.garbled:
        is_right = boot.at_boot == mtu and not boot.contested
        return Plan() if is_right else Plan(findings=(_not_ours(boot, link, mtu, trap, boot.garbled),))
    try:
        return Plan(tuple(write(boot, link, mtu, reason)))
    except UnsureError as unsure:
        return Plan(findings=(_not_ours(boot, link, mtu, trap, str(unsure)),))


def own_drop_in(path: str) -> str:
    """Return our drop-in for a .network file."""
    return f"{_NETWORK_FOLDERS[0]}/{posixpath.basename(path)}.d/{OWN}"


def render(mtu: int) -> str:
    """Return the text of our drop-in."""
    return f"# {MANAGED_BY}\n[Link]\nMTUBytes={mtu}\n"


def mtu_in(text: str) -> int | None:
    """Return what a .network file sets as MTUBytes= in [Link], None where it does not."""
    found = None
    for key, value in _settings(text, "Link"):
        size = re.fullmatch(r"(?:([0-9]{1,9})([KM]?))?", value)
        if key == "MTUBytes" and size:
            number, unit = size.groups()
            found = int(number) * {"": 1, "K": 1024, "M": 1024**2}[unit] if number else None
    return found


def _networkd(boot: Boot, mtu: int, reason: Reason) -> Iterator[WriteFile]:
    own = own_drop_in(boot.path)
    present = boot.texts.get(own)
    set_by_others = [mtu_in(text) for path, text in boot.texts.items() if path != own]
    at_boot = next((value for value in reversed(set_by_others) if value is not None), None)
    if present != render(mtu) and (present is not None or at_boot != mtu):
        yield WriteFile(own, present, render(mtu), reason)


def _interfaces(boot: Boot, link: Link, mtu: int, reason: Reason) -> Iterator[SetKey]:
    key = f"{link.name}/{_FAMILY}/mtu"
    present = interfaces.get(boot.texts[boot.path], key)
    if present != str(mtu):
        yield SetKey("interfaces", boot.path, key, present, str(mtu), reason)


_WRITERS: Mapping[str, Callable[[Boot, Link, int, Reason], Iterator[Change]]] = {
    IFUPDOWN: _interfaces,
    NETWORK_MANAGER: uplink_profiles.changes,
    NETPLAN: uplink_netplan.changes,
}


def _overridden(boot: Boot, mtu: int, trap: str) -> Iterator[Finding]:
    for path, text in boot.texts.items():
        value = mtu_in(text)
        if posixpath.basename(path) > OWN and path != boot.path and value not in (None, mtu):
            yield Finding(
                id=f"{trap}.overridden",
                severity="high",
                where=path,
                observed=f"MTUBytes={value}",
                wanted=f"MTUBytes={mtu}",
                why=f"this drop-in is read after {OWN}, so it wins at the next boot",
                remedy="Remove the line, or have the tool that writes it set the wanted value",
            )


def _not_ours(boot: Boot, link: Link, mtu: int, trap: str, why: str) -> Finding:
    manager = boot.manager or "a network manager that this release does not know"
    return Finding(
        id=f"{trap}.not_persistent",
        severity="medium",
        where=boot.path or link.name,
        observed=f"{link.name} is configured by {manager}" + (f" ({why})" if why else ""),
        wanted=f"MTU {mtu} after the next boot",
        why="no file was written: this release writes those of systemd-networkd, netplan, NetworkManager (keyfiles) "
        "and ifupdown (static, manual), where they set this link alone and can be understood",
        remedy=f"Set the MTU of {link.name} to {mtu} where {manager} reads it, without applying it anew on a live node",
    )
