# Private to the collection nodeward.calico: may change in any release.
"""Flags of a static pod's main container, in the list of its command or arguments. The last one of a name wins.

Known is the form that kubeadm writes, and what people make of it: a list of one word a line. Everything else
(a shell that starts the program, a list in brackets) is for a person to edit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .base import UnsureError
from .yaml_lines import Entry, Path, parse, unquoted

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@+-]+")
_SHELLS = ("sh", "bash", "dash", "ash")


@dataclass(frozen=True)
class _Flag:
    """Where the value of a flag stands: in its own item behind '=', or in the next one."""

    entry: Entry
    value: str
    is_own_item: bool


def get(text: str, key: str) -> str | None:
    """Return the value of a flag, None where it is not given. Raises UnsureError."""
    flags = _flags(_words(text), key)
    return flags[-1].value if flags else None


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with the flag set, or without it. A new one comes behind the last word. Raises UnsureError."""
    if value is not None and not _PLAIN.fullmatch(value):
        raise UnsureError(f"{value!r} is no plain word", 1)
    words, lines = _words(text), text.split("\n")
    flags = _flags(words, key)
    if flags and value is not None:
        _set(lines, flags[-1], value)
    elif flags:
        if len(flags) > 1:
            raise UnsureError(f"--{key} is given more than once", flags[-1].entry.line + 1)
        last = flags[0].entry.line
        del lines[last - 1 if flags[0].is_own_item else last : last + 1]
    elif value is not None:
        behind = words[-1]
        carriage_return = "\r" if lines[behind.line].endswith("\r") else ""
        lines.insert(behind.line + 1, f"{' ' * behind.column}- --{key}={value}{carriage_return}")
    changed = "\n".join(lines)
    if get(changed, key) != value:
        raise UnsureError(f"{value!r} would not be read back as it is", 1)
    return changed


def words(text: str) -> list[str]:
    """Return the command of the main container with its arguments. Raises UnsureError."""
    return [unquoted(entry.value) for entry in _words(text)]


def _words(text: str) -> list[Entry]:
    """Return the items of command, then those of args, of the container 'etcd', or of the only one."""
    entries = parse(text)
    container = _container(entries)
    found = [*_items(entries, (*container, "command")), *_items(entries, (*container, "args"))]
    if not found:
        raise UnsureError("its container has no command that is a list of one word a line", 1)
    program = unquoted(found[0].value).rpartition("/")[2]
    if program in _SHELLS:
        raise UnsureError("a shell starts the program", found[0].line + 1)
    return found


def _container(entries: list[Entry]) -> Path:
    names = {
        entry.path[:3]: unquoted(entry.value)
        for entry in entries
        if len(entry.path) == 4 and entry.path[:2] == ("spec", "containers") and entry.path[3] == "name"
    }
    named = [path for path, name in names.items() if name == "etcd"] or list(names)
    if len(named) != 1:
        raise UnsureError(f"it has {len(names)} containers and none that is the main one", 1)
    return named[0]


def _items(entries: list[Entry], path: Path) -> Iterator[Entry]:
    for entry in entries:
        if entry.path == path and entry.value:
            raise UnsureError(f"{entry.name} is no list of one word a line", entry.line + 1)
        if entry.path[:-1] == path:
            if entry.is_block or not entry.value or entry.value[:1] in "[{":
                raise UnsureError(f"{entry.name} is no single word", entry.line + 1)
            yield entry


def _flags(found: list[Entry], key: str) -> list[_Flag]:
    flags = []
    for entry, following in zip(found, [*found[1:], None]):
        name, equals, value = unquoted(entry.value).partition("=")
        if name not in (f"--{key}", f"-{key}"):
            continue
        if equals:
            flags.append(_Flag(entry, value, is_own_item=False))
        elif following is None or unquoted(following.value).startswith("-"):
            raise UnsureError(f"--{key} has no value", entry.line + 1)
        else:
            flags.append(_Flag(following, unquoted(following.value), is_own_item=True))
    return flags


def _set(lines: list[str], flag: _Flag, value: str) -> None:
    entry = flag.entry
    line, end = lines[entry.line], entry.start + len(entry.value)
    quote = entry.value[0] if entry.value[:1] in "\"'" else ""
    if flag.is_own_item:
        new = f"{quote}{value}{quote}" if quote else f'"{value}"'  # a bare number is no string to the kubelet
    else:
        new = f"{quote}{unquoted(entry.value).partition('=')[0]}={value}{quote}"
    lines[entry.line] = line[: entry.start] + new + line[end:]
