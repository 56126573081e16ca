# Private to the collection nodeward.calico: may change in any release.
"""One option of a stanza 'iface NAME FAMILY METHOD' of interfaces(5). Keys are 'NAME/FAMILY/OPTION'."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .base import UnsureError

# The words that end a stanza: interfaces(5) of ifupdown and of ifupdown2.
_KEYWORDS = re.compile(r"iface|mapping|template|auto|allow-\S+|no-auto-down|no-scripts|rename|source|source-directory")
_OPTION = re.compile(r"(\s*)(\S+)(\s+)(.*?)(\s*)")


@dataclass(frozen=True)
class Stanza:
    """A stanza: ``line`` is that of its head, ``options`` those of its options; all count from 0.

    ``words`` are those of its head behind the name.
    """

    name: str
    family: str
    method: str
    line: int
    options: tuple[int, ...]
    words: tuple[str, ...] = ()

    @property
    def inherits(self) -> bool:
        """Whether it takes options of another stanza. ifupdown joins an option that both set, and ifup fails."""
        return "inherits" in self.words


def get(text: str, key: str) -> str | None:
    """Return the value of an option, None where it or its stanza is not there. Raises UnsureError."""
    lines, (name, family, option) = text.split("\n"), _split(key)
    line = _line(lines, _own(text, name, family), option)
    return None if line is None else _parts(lines, line)[3]


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with the option set to ``value``, or without it. Raises UnsureError.

    A new option comes after the last one of the first stanza of its name and family. Taking an option away
    needs no stanza, and harms none that inherits.
    """
    lines, (name, family, option) = text.split("\n"), _split(key)
    own = _own(text, name, family)
    line = _line(lines, own, option)
    if value is not None:
        _check_settable(own, name, family)
    if line is not None and value is not None:
        indent, word, space, _old, end = _parts(lines, line)
        lines[line] = f"{indent}{word}{space}{value}{end}"
    elif line is not None:
        del lines[line]
    elif value is not None:
        last = max((own[0].line, *own[0].options))
        indent = _parts(lines, last)[0] if own[0].options else "    "
        lines.insert(last + 1, f"{indent}{option} {value}")
    return "\n".join(lines)


def stanzas(text: str) -> list[Stanza]:
    """Return all stanzas of a file. Raises UnsureError."""
    return list(_stanzas(text.split("\n")))


def _stanzas(lines: list[str]) -> Iterator[Stanza]:
    head: tuple[int, list[str]] | None = None
    options: list[int] = []
    for number, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if line.endswith("\\"):
            raise UnsureError("it goes on in the next line", number + 1)
        if not _KEYWORDS.fullmatch(words[0]):
            options.append(number)
            continue
        if head is not None:
            yield _stanza(head, options)
        head, options = (number, words) if words[0] == "iface" else None, []
    if head is not None:
        yield _stanza(head, options)


def _stanza(head: tuple[int, list[str]], options: list[int]) -> Stanza:
    line, words = head
    name, family, method = [*words[1:], "", "", ""][:3]
    return Stanza(name, family, method, line, tuple(options), tuple(words[2:]))


def _split(key: str) -> tuple[str, str, str]:
    parts = key.split("/")
    if len(parts) != 3:
        raise UnsureError(f"{key!r} names no option of a stanza (NAME/FAMILY/OPTION)", 1)
    return parts[0], parts[1], parts[2]


def _own(text: str, name: str, family: str) -> list[Stanza]:
    return [stanza for stanza in stanzas(text) if (stanza.name, stanza.family) == (name, family)]


def _check_settable(own: list[Stanza], name: str, family: str) -> None:
    if not own:
        raise UnsureError(f"there is no 'iface {name} {family}' in it", 1)
    for stanza in own:
        if stanza.inherits:
            raise UnsureError("it inherits from another stanza", stanza.line + 1)


def _line(lines: list[str], own: list[Stanza], option: str) -> int | None:
    found = [number for stanza in own for number in stanza.options if lines[number].split()[0] == option]
    if len(found) > 1:
        raise UnsureError(f"{option} is set a second time", found[1] + 1)
    if found and not _OPTION.fullmatch(lines[found[0]]):
        raise UnsureError(f"{option} has no value", found[0] + 1)
    return found[0] if found else None


def _parts(lines: list[str], number: int) -> tuple[str, ...]:
    """Return indent, option, space, value and what is left of a line."""
    line = lines[number]
    parts = _OPTION.fullmatch(line)
    return parts.groups() if parts else (line[: len(line) - len(line.lstrip())], "", "", "", "")
