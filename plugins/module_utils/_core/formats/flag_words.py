# Private to the collection nodeward.calico: may change in any release.
"""Flags in a line of words, as Go's package flag reads them: -name value, --name=value; the last one of a name wins."""

from __future__ import annotations

import re

from .base import UnsureError

# What a value may hold without anybody unquoting or expanding it.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@+-]+")
_SPECIAL = re.compile(r"[\"'$`\\%]")


def get(line: str, name: str) -> str | None:
    """Return the value of the last flag of this name as it is written, None where there is none. Raises UnsureError."""
    found = _last(line, name)
    return None if found is None else found.group("value")


def put(line: str, name: str, value: str | None) -> str:
    """Return the line with the flag set, or without it. A new one comes last. Raises UnsureError."""
    if value is not None and not _PLAIN.fullmatch(value):
        raise UnsureError(f"{value!r} is no plain word", 1)
    found = _last(line, name)
    if found is None:
        if value is None:
            return line
        body, end = line.rstrip(), line[len(line.rstrip()) :]
        return f"{body} --{name}={value}{end}" if body else f"--{name}={value}{end}"
    if value is not None:
        return line[: found.start("value")] + value + line[found.end("value") :]
    if len(_all(line, name)) > 1:
        raise UnsureError(f"--{name} is given more than once", 1)
    before, after = line[: found.start()].rstrip(" "), line[found.end() :]
    return before + after if before else after.lstrip(" ")


def _all(line: str, name: str) -> list[re.Match[str]]:
    flag = re.compile(rf"(?<!\S)--?{re.escape(name)}(?:=|[ \t]+)(?P<value>[^\s]*)")
    return list(flag.finditer(line))


def _last(line: str, name: str) -> re.Match[str] | None:
    """Return the flag that wins. A quoted or expanded value is nothing that can be edited as it stands."""
    found = _all(line, name)
    bare = re.findall(rf"(?<!\S)[\"']?--?{re.escape(name)}(?![A-Za-z0-9-])", line)
    if len(bare) != len(found) or any(_SPECIAL.search(one["value"]) or not one["value"] for one in found):
        raise UnsureError(f"--{name} stands in quotes, is expanded or has no value", 1)
    return found[-1] if found else None
