# Private to the collection nodeward.calico: may change in any release.
"""Items 'name=value' of one top-level list of a YAML file: etcd-arg of k3s and rke2. Keys are 'LIST:name'.

The last item of a name wins. A single item may stand behind the list's name as a word.
"""

from __future__ import annotations

import re

from .base import UnsureError
from .yaml_lines import Entry, parse, unquoted

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@+-]+")


def get(text: str, key: str) -> str | None:
    """Return the value of an item, None where there is none. Raises UnsureError."""
    items = _items(text, key)[1]
    return _parts(items[-1])[1] if items else None


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with the item set, or without it; a list that would be left empty goes too."""
    if value is not None and not _PLAIN.fullmatch(value):
        raise UnsureError(f"{value!r} is no plain word", 1)
    everything, own = _items(text, key)
    lines = text.split("\n")
    if own and value is not None:
        _set(lines, own[-1], value)
    elif own:
        _remove(lines, everything, own)
    elif value is not None:
        _add(lines, text, everything, key, value)
    changed = "\n".join(lines)
    if get(changed, key) != value:
        raise UnsureError(f"{value!r} would not be read back as it is", 1)
    return changed


def _items(text: str, key: str) -> tuple[list[Entry], list[Entry]]:
    """Return the key of the list with all its items, and those items that have this name."""
    name, _colon, item = key.partition(":")
    everything = [entry for entry in parse(text) if entry.path[0] == name] if _is_filled(text) else []
    for entry in everything:
        if entry.is_block or entry.value[:1] in ("[", "{") or len(entry.path) > 2:
            raise UnsureError(f"{entry.name} is no list of one word a line", entry.line + 1)
    own = [entry for entry in everything if entry.value and _parts(entry)[0].lstrip("-") == item]
    return everything, own


def _is_filled(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.split("\n"))


def _parts(entry: Entry) -> tuple[str, str]:
    name, _equals, value = unquoted(entry.value).partition("=")
    return name, value


def _set(lines: list[str], entry: Entry, value: str) -> None:
    quote = entry.value[0] if entry.value[:1] in "\"'" else ""
    new = f"{quote}{_parts(entry)[0]}={value}{quote}"
    line = lines[entry.line]
    lines[entry.line] = line[: entry.start] + new + line[entry.start + len(entry.value) :]


def _remove(lines: list[str], everything: list[Entry], own: list[Entry]) -> None:
    if len(own) > 1:
        raise UnsureError(f"{own[0].name} is given more than once", own[-1].line + 1)
    alone = len(everything) <= 2
    numbers = {own[0].line, *(entry.line for entry in everything if alone)}
    for number in sorted(numbers, reverse=True):
        lines.pop(number)
        if number == len(lines) and lines:
            lines[-1] = lines[-1].removesuffix("\r")


def _add(lines: list[str], text: str, everything: list[Entry], key: str, value: str) -> None:
    name, _colon, item = key.partition(":")
    if everything and everything[0].value:
        raise UnsureError(f"{name} is a single word, and would have to become a list", everything[0].line + 1)
    carriage_return = "\r" if lines[0].endswith("\r") else ""
    if len(everything) > 1:
        last = everything[-1]
        lines.insert(last.line + 1, f"{' ' * last.column}- {item}={value}{carriage_return}")
        return
    if everything:
        raise UnsureError(f"{name} is empty", everything[0].line + 1)
    new = [f"{name}:", f"  - {item}={value}"]
    if lines[-1]:
        if _is_filled(text) and parse(text)[-1].is_block:
            raise UnsureError("the last line, a part of some text, has no line end", len(lines))
        lines[-1] += carriage_return
        lines += [new[0] + carriage_return, new[1]]
    else:
        lines[-1:] = [*(line + carriage_return for line in new), ""]
