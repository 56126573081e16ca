# Private to the collection nodeward.calico: may change in any release.
"""One scalar of a block-style YAML file, read and set without a YAML library: a node need not have one."""

from __future__ import annotations

from collections.abc import Sequence

from .base import UnsureError
from .yaml_lines import Entry, Path, parse


def get(text: str, key: str) -> str | None:
    """Return the scalar at 'name' or 'mapping.name' as it is written, None where there is none. Raises UnsureError."""
    entry = _at(parse(text), _path(key))
    return None if entry is None else entry.value


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with one scalar set to ``value`` (as YAML writes it), or without it. Raises UnsureError.

    A mapping that would be left without a key goes too; a new top-level key comes last.
    """
    entries, path = parse(text), _path(key)
    entry = _at(entries, path)
    lines = text.split("\n")
    if entry is None and value is not None:
        _add(lines, entries, path, value)
    elif entry is not None and value is not None:
        line = lines[entry.line]
        lines[entry.line] = line[: entry.start] + value + line[entry.start + len(entry.value) :]
    elif entry is not None:
        for each in _with_emptied_mapping(entries, entry):
            _remove(lines, each.line)
    changed = "\n".join(lines)
    if get(changed, key) != value:
        raise UnsureError(f"{value!r} would not be read back as it is", entry.line + 1 if entry else len(lines))
    return changed


def _path(key: str) -> tuple[str, ...]:
    """Split 'mapping.name' at its first dot; names below may hold more of them."""
    mapping, dot, name = key.partition(".")
    return (mapping, name) if dot else (mapping,)


def _at(entries: Sequence[Entry], path: tuple[str, ...]) -> Entry | None:
    """Return the scalar at a path, None where it can be added. Raises UnsureError where something else stands there."""
    by_path = {entry.path: entry for entry in entries}
    if not entries:
        raise UnsureError("it holds nothing", 1)
    parent = by_path.get(path[:-1])
    if parent is not None and not _children(entries, parent.path):
        raise UnsureError(f"{parent.name} is no mapping of one key a line", parent.line + 1)
    if parent is not None and not isinstance(_children(entries, parent.path)[0].path[-1], str):
        raise UnsureError(f"{parent.name} is a list", parent.line + 1)
    entry = by_path.get(path)
    if entry is not None and (not entry.value or entry.is_block or entry.value[0] in "[{"):
        raise UnsureError(f"{entry.name} has no value that is one word", entry.line + 1)
    return entry


def _children(entries: Sequence[Entry], path: Path) -> list[Entry]:
    return [entry for entry in entries if entry.path[:-1] == path and len(entry.path) == len(path) + 1]


def _add(lines: list[str], entries: Sequence[Entry], path: tuple[str, ...], value: str) -> None:
    """Add a key: the first of its mapping, so that no comment or text below it is torn apart; else at the end."""
    parent = next((entry for entry in entries if entry.path == path[:-1]), None)
    carriage_return = "\r" if lines[0].endswith("\r") else ""
    if parent is not None:
        indent = " " * _children(entries, parent.path)[0].column
        lines.insert(parent.line + 1, f"{indent}{path[-1]}: {value}{carriage_return}")
        return
    new = [f"{path[0]}: {value}"] if len(path) == 1 else [f"{path[0]}:", f"  {path[1]}: {value}"]
    if lines[-1]:
        if entries[-1].is_block:
            raise UnsureError("the last line, a part of some text, has no line end", len(lines))
        lines[-1] += carriage_return
        lines += [*(line + carriage_return for line in new[:-1]), new[-1]]
    else:
        lines[-1:] = [*(line + carriage_return for line in new), ""]


def _with_emptied_mapping(entries: Sequence[Entry], entry: Entry) -> list[Entry]:
    """Return what goes with a key, from the bottom up: the key, and its mapping where nothing else is in it."""
    alone = len(_children(entries, entry.path[:-1])) == 1
    return [entry, *(other for other in entries if alone and entry.path[:-1] and other.path == entry.path[:-1])]


def _remove(lines: list[str], number: int) -> None:
    lines.pop(number)
    if number == len(lines) and lines:  # it had no line end, so what is the last line now has none either
        lines[-1] = lines[-1].removesuffix("\r")
