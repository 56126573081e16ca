# Private to the collection nodeward.calico: may change in any release.
"""extraArgs of the local etcd in kubeadm's ClusterConfiguration, from which its upgrades write the manifest.

A mapping up to v1beta3, a list of name and value from v1beta4 on (kubeadm.k8s.io, Kubernetes 1.31), where the last
one of a name wins.
"""

from __future__ import annotations

from .._core.formats.base import UnsureError
from .._core.formats.yaml_lines import Entry, Path, parse, unquoted

LOCAL: Path = ("etcd", "local")
ARGS: Path = (*LOCAL, "extraArgs")


def get(text: str, key: str) -> str | None:
    """Return the value of an argument, None where it is not given. Raises UnsureError."""
    entry = _value_of(_known(parse(text)), key)
    return None if entry is None else unquoted(entry.value)


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with one argument set to ``value``, or without it; the rest stays. Raises UnsureError."""
    entries, lines = _known(parse(text)), text.split("\n")
    if value is not None:
        _require_no_variable(entries, key)
    entry = _value_of(entries, key)
    if entry is not None and value is not None:
        line = lines[entry.line]
        lines[entry.line] = f'{line[: entry.start]}"{value}"{line[entry.start + len(entry.value) :]}'
    elif entry is not None:
        _remove(lines, entries, entry)
    elif value is not None:
        _add(lines, entries, key, value)
    changed = "\n".join(lines)
    if get(changed, key) != value:
        raise UnsureError(f"{value!r} would not be read back as it is", 1)
    return changed


def _known(entries: list[Entry]) -> list[Entry]:
    """Return the entries, where this is a configuration with an etcd of kubeadm's own."""
    paths = {entry.path: entry for entry in entries}
    if ("etcd", "external") in paths:
        raise UnsureError(
            "its etcd is external, so kubeadm writes no manifest of it", paths["etcd", "external"].line + 1
        )
    for path in (("etcd",), LOCAL, ARGS):
        if path in paths and paths[path].value and not (path == ARGS and paths[path].value == "{}"):
            raise UnsureError(f"{paths[path].name} is no mapping of one key a line", paths[path].line + 1)
    if LOCAL not in paths:
        raise UnsureError("it has no etcd.local", 1)
    return entries


def _require_no_variable(entries: list[Entry], key: str) -> None:
    """Refuse an argument beside its variable in extraEnvs: etcd does not start with both (pkg/flags verifyEnv)."""
    name = "ETCD_" + key.upper().replace("-", "_")
    for entry in entries:
        if entry.path[:3] == (*LOCAL, "extraEnvs") and entry.path[-1] == "name" and unquoted(entry.value) == name:
            raise UnsureError(f"extraEnvs has {name}; make it an argument of extraArgs", entry.line + 1)


def _value_of(entries: list[Entry], key: str) -> Entry | None:
    paths = {entry.path: entry for entry in entries}
    named = [
        entry.path
        for entry in entries
        if len(entry.path) == 5 and entry.path[:3] == ARGS and entry.path[4] == "name" and unquoted(entry.value) == key
    ]
    if named:
        found = paths.get((*named[-1][:4], "value"))
        if found is None or not found.value or found.is_block:
            raise UnsureError(f"{key} has no value on one line", paths[named[-1]].line + 1)
        return found
    return paths.get((*ARGS, key))


def _remove(lines: list[str], entries: list[Entry], entry: Entry) -> None:
    """Take an argument away, and extraArgs where it would be left empty."""
    is_item = len(entry.path) == 5
    own = [each for each in entries if (is_item and each.path[:4] == entry.path[:4]) or each is entry]
    others = [each for each in entries if each.path[:3] == ARGS and len(each.path) > 3 and each not in own]
    gone = {each.line for each in own} | ({each.line for each in entries if each.path == ARGS} if not others else set())
    for number in sorted(gone, reverse=True):
        del lines[number]


def _add(lines: list[str], entries: list[Entry], key: str, value: str) -> None:
    carriage_return = "\r" if lines[0].endswith("\r") else ""
    children = [entry for entry in entries if entry.path[:3] == ARGS and len(entry.path) > 3]
    last = max((entry.line for entry in children), default=None)
    if last is None:
        _add_first(lines, entries, key, value)
        return
    if isinstance(children[0].path[3], int):
        items = [entry for entry in children if len(entry.path) == 4]
        indent = " " * items[0].column
        new = [f"{indent}- name: {key}", f'{indent}  value: "{value}"']
    else:
        new = [f'{" " * children[0].column}{key}: "{value}"']
    lines[last + 1 : last + 1] = [line + carriage_return for line in new]


def _add_first(lines: list[str], entries: list[Entry], key: str, value: str) -> None:
    """Add extraArgs itself: the first key of etcd.local, in the form of the configuration's version."""
    paths = {entry.path: entry for entry in entries}
    if ARGS in paths:
        raise UnsureError("extraArgs is empty: remove it, or give it a key", paths[ARGS].line + 1)
    siblings = [entry for entry in entries if entry.path[:2] == LOCAL and len(entry.path) == 3]
    if not siblings:
        raise UnsureError("etcd.local is no mapping of one key a line", paths[LOCAL].line + 1)
    indent = " " * siblings[0].column
    carriage_return = "\r" if lines[0].endswith("\r") else ""
    version = unquoted(paths["apiVersion",].value) if ("apiVersion",) in paths else ""
    if version.endswith(("v1beta1", "v1beta2", "v1beta3")):
        new = [f"{indent}extraArgs:", f'{indent}  {key}: "{value}"']
    else:
        new = [f"{indent}extraArgs:", f"{indent}- name: {key}", f'{indent}  value: "{value}"']
    place = paths[LOCAL].line + 1
    lines[place:place] = [line + carriage_return for line in new]
