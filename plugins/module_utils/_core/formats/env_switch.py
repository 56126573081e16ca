# Private to the collection nodeward.calico: may change in any release.
"""Flags without a value in a variable of a file that systemd reads (EnvironmentFile=): 'on', or nothing.

Keys are 'NAME:flag'. A program whose flags are kingpin's ends at once on a switch that has a value, is given twice or
is turned off too (seen with node-exporter 1.5.0), so such a one is never written.
"""

from __future__ import annotations

from . import env
from .base import UnsureError

ON = "on"


def get(text: str, key: str) -> str | None:
    """Return ON where the variable has the switch, else None. Raises UnsureError."""
    name, _colon, flag = key.partition(":")
    words = env.unquoted(env.get(text, name) or "").split()
    if f"--no-{flag}" in words:
        raise UnsureError(f"--no-{flag} turns it off", 1)
    return ON if f"--{flag}" in words else None


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with the switch, which comes last, or without it. Raises UnsureError."""
    name, _colon, flag = key.partition(":")
    old, word = env.get(text, name), f"--{flag}"
    if value not in (ON, None):
        raise UnsureError(f"{value!r} is nothing that a switch can be", 1)
    if get(text, key) == value:
        return text
    if old is None:
        raise UnsureError("there is no such variable, and nothing says that one would be used", 1)
    inner = env.unquoted(old)
    quote = old[: (len(old) - len(inner)) // 2]
    kept = f"{inner.rstrip()} {word}".lstrip() if value else _without(inner, word)
    quote = quote or '"' * (" " in kept)
    changed = env.put(text, name, f"{quote}{kept}{quote}")
    if get(changed, key) != value:
        raise UnsureError(f"{word} does not stand by itself in {name}", 1)
    return changed


def _without(line: str, word: str) -> str:
    """Return the line without a word and the blanks before it, as those came with it."""
    if line.split().count(word) > 1:
        raise UnsureError(f"{word} is given more than once", 1)
    before, _word, after = f" {line} ".partition(f" {word} ")
    return f"{before} {after}".strip()
