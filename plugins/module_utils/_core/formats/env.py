# Private to the collection nodeward.calico: may change in any release.
"""Variables in a file that systemd (EnvironmentFile=) or docker (--env-file) reads. The last one of a name wins.

Keys are 'NAME', or 'NAME:flag' for a flag in the value of a variable (DAEMON_ARGS of Debian's units).
"""

from __future__ import annotations

import re

from . import flag_words
from .base import UnsureError

_ASSIGNMENT = re.compile(r"(?P<head>[ \t]*[A-Za-z_][A-Za-z0-9_]*=)(?P<value>.*?)(?P<end>[ \t]*\r?)", re.DOTALL)
_QUOTED = re.compile(r"\"[^\"\\$`]*\"|'[^'\\]*'")


def get(text: str, key: str) -> str | None:
    """Return the value of a variable as it is written, or that of a flag in it. Raises UnsureError."""
    name, _colon, flag = key.partition(":")
    lines = text.split("\n")
    number = _last(lines, name)
    value = None if number is None else _parts(lines, number)[1]
    if not flag or value is None:
        return value
    return flag_words.get(_inner(value)[1], flag)


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with a variable, or a flag in one, set or taken away. A new variable comes last."""
    name, _colon, flag = key.partition(":")
    lines = text.split("\n")
    number = _last(lines, name)
    if flag:
        return _put_flag(lines, number, flag, value)
    if number is not None and value is not None:
        head, _old, end = _parts(lines, number)
        lines[number] = f"{head}{value}{end}"
    elif number is not None:
        _remove(lines, number, name)
    elif value is not None:
        _add(lines, f"{name}={value}")
    changed = "\n".join(lines)
    if get(changed, key) != value:
        raise UnsureError(f"{value!r} would not be read back as it is", 1)
    return changed


def names(text: str) -> list[str]:
    """Return the names of all variables in the order of the file."""
    found = (_ASSIGNMENT.fullmatch(line) for line in text.split("\n") if not _is_comment(line))
    return [one["head"].strip().rstrip("=") for one in found if one]


def unquoted(value: str) -> str:
    """Return what a value means to systemd."""
    return _inner(value)[1]


def _put_flag(lines: list[str], number: int | None, flag: str, value: str | None) -> str:
    if number is None:
        if value is None:
            return "\n".join(lines)
        raise UnsureError("there is no such variable, and nothing says that one would be used", 1)
    head, old, end = _parts(lines, number)
    quote, inner = _inner(old)
    changed = flag_words.put(inner, flag, value)
    if not quote and " " in changed:
        quote = '"'
    lines[number] = f"{head}{quote}{changed}{quote}{end}"
    return "\n".join(lines)


def _inner(value: str) -> tuple[str, str]:
    """Return the quotes around a value, '' without any, and what is between them."""
    return (value[0], value[1:-1]) if value[:1] in ('"', "'") and len(value) > 1 else ("", value)


def _is_comment(line: str) -> bool:
    return line.lstrip(" \t")[:1] in ("#", ";", "", "\r")


def _last(lines: list[str], name: str) -> int | None:
    """Return the line that wins. Raises UnsureError on what goes over several lines or is quoted in part."""
    last = None
    for number, line in enumerate(lines):
        if _is_comment(line):
            continue
        found = _ASSIGNMENT.fullmatch(line)
        if line.rstrip("\r").endswith("\\"):
            raise UnsureError("it goes on in the next line", number + 1)
        if found is None:
            continue  # systemd passes over it too, and says so in the journal
        value = found["value"]
        if ('"' in value or "'" in value) and not _QUOTED.fullmatch(value):
            raise UnsureError("it is quoted in part, or its quotes do not end", number + 1)
        if found["head"].strip() == f"{name}=":
            last = number
    return last


def _parts(lines: list[str], number: int) -> tuple[str, str, str]:
    found = _ASSIGNMENT.fullmatch(lines[number])
    if found is None:
        raise UnsureError("it sets nothing", number + 1)
    return found["head"], found["value"], found["end"]


def _add(lines: list[str], line: str) -> None:
    carriage_return = "\r" if lines[0].endswith("\r") else ""
    if lines[-1]:
        lines[-1] += carriage_return
        lines.append(line)
    else:
        lines[-1:] = [line + carriage_return, ""]


def _remove(lines: list[str], number: int, name: str) -> None:
    if sum(1 for line in lines if line.strip().startswith(f"{name}=")) > 1:
        raise UnsureError(f"{name} is set a second time", number + 1)
    lines.pop(number)
    if number == len(lines) and lines:  # it had no line end, so what is the last line now has none either
        lines[-1] = lines[-1].removesuffix("\r")
