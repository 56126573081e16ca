# Private to the collection nodeward.calico: may change in any release.
"""Flags in the one ExecStart= of a systemd unit, over all its lines."""

from __future__ import annotations

import re

from . import flag_words
from .base import UnsureError

_SHELLS = ("sh", "bash", "dash", "ash")
_START = re.compile(r"[ \t]*ExecStart[ \t]*=")


def get(text: str, key: str) -> str | None:
    """Return the value of a flag, None where it is not given. Raises UnsureError."""
    start, end = _span(text)
    return flag_words.get(_flat(text[start:end]), key)


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with the flag set, or without it. A new one comes last. Raises UnsureError."""
    start, end = _span(text)
    command = text[start:end]
    changed = flag_words.put(_flat(command), key, value)
    if len(changed) == len(command):  # nothing moved: the ends of lines go back to their places
        return text[:start] + _unflat(changed, command) + text[end:]
    common = _common(_flat(command), changed)
    tail = _common(_flat(command)[common:][::-1], changed[common:][::-1])
    middle = changed[common : len(changed) - tail]
    rest = command[len(command) - tail :] if tail else ""
    return text[:start] + command[:common] + middle + rest + text[end:]


def require_plain(text: str) -> None:
    """Refuse a unit to whose one command no flag can be added at its end. Raises UnsureError."""
    _span(text)


def _span(text: str) -> tuple[int, int]:
    """Return where the command begins and ends, line continuations within."""
    found: list[tuple[int, int]] = []
    position, inside = 0, False
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        match = None if inside else _START.match(line)
        if match and not body[match.end() :].strip():
            match = None  # a drop-in takes back what was said before
        if match:
            found.append((position + match.end(), position + len(body)))
        elif inside and found:
            if body.lstrip().startswith(("#", ";")):
                raise UnsureError("a comment stands within ExecStart=", 1)
            found[-1] = (found[-1][0], position + len(body))
        inside = bool(match or inside) and body.endswith("\\")
        position += len(line)
    if len(found) != 1:
        raise UnsureError(f"it has {len(found)} lines ExecStart=", 1)
    _require_plain(_flat(text[slice(*found[0])]).split())
    return found[0]


def _require_plain(words: list[str]) -> None:
    """Refuse what may end before the last word of the line: a shell's text, and a second command."""
    program = words[0].lstrip("-@:+!").rpartition("/")[2] if words else ""
    if program in _SHELLS:
        raise UnsureError("a shell starts the program", 1)
    if ";" in words:
        raise UnsureError("a second command follows in ExecStart=", 1)


def _flat(command: str) -> str:
    """Return the command with each line continuation as blanks of the same length."""
    return re.sub(r"\\\r?\n", lambda found: " " * len(found.group()), command)


def _unflat(changed: str, command: str) -> str:
    letters = list(changed)
    for found in re.finditer(r"\\\r?\n", command):
        letters[found.start() : found.end()] = found.group()
    return "".join(letters)


def _common(one: str, other: str) -> int:
    """Return how many letters both begin with."""
    count = 0
    for first, second in zip(one, other):
        if first != second:
            break
        count += 1
    return count
