# Private to the collection nodeward.calico: may change in any release.
"""One key of a file in GLib's key file format, as NetworkManager's profiles are (nm-settings-keyfile(5)).

Keys are 'SECTION/KEY'. GLib takes the last of two keys and merges two sections of a name; here that is for a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .base import UnsureError

# Above a section that was not there before, so that taking its last key away takes it too, and no other one.
OWN_SECTION = "# this section was added by nodeward.calico"

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*")
_PAIR = re.compile(r"(?P<head>\s*(?P<key>[^\s=#\[][^=]*?)[ \t]*=[ \t]*)(?P<value>.*?)(?P<end>\s*)")


@dataclass
class _Section:
    """A section: ``line`` is that of its header, ``keys`` are those of its keys by their names; lines count from 0."""

    name: str
    line: int
    keys: dict[str, list[int]] = field(default_factory=dict)


def get(text: str, key: str) -> str | None:
    """Return the value of a key as it is written, None where it or its section is not there. Raises UnsureError."""
    lines, (name, option) = text.split("\n"), _split(key)
    line = _line(_section(lines, name), option)
    return None if line is None else _parts(lines[line])[1]


def put(text: str, key: str, value: str | None) -> str:
    """Return the text with one key set to ``value``, or without it. Raises UnsureError.

    A new key is the first one of its section, a new section the last one of the file.
    """
    lines, (name, option) = text.split("\n"), _split(key)
    section = _section(lines, name)
    line = _line(section, option)
    if line is not None and value is not None:
        head, _old, end = _parts(lines[line])
        lines[line] = f"{head}{value}{end}"
    elif line is not None and section is not None:
        _remove(lines, section, line)
    elif value is not None:
        _add(lines, section, name, f"{option}={value}")
    changed = "\n".join(lines)
    if get(changed, key) != value:
        raise UnsureError(f"{value!r} would not be read back as it is", 1)
    return changed


def has_section(text: str, name: str) -> bool:
    """Tell whether a section is there. Raises UnsureError."""
    return _section(text.split("\n"), name) is not None


def _split(key: str) -> tuple[str, str]:
    section, slash, option = key.rpartition("/")
    if not slash or not section or not option:
        raise UnsureError(f"{key!r} names no key of a section (SECTION/KEY)", 1)
    return section, option


def _section(lines: list[str], name: str) -> _Section | None:
    found = [section for section in _sections(lines) if section.name == name]
    if len(found) > 1:
        raise UnsureError(f"[{name}] is there a second time", found[1].line + 1)
    return found[0] if found else None


def _sections(lines: list[str]) -> list[_Section]:
    sections: list[_Section] = []
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        header, pair = _HEADER.fullmatch(line), _PAIR.fullmatch(line)
        if header:
            sections.append(_Section(header.group(1), number))
        elif pair and sections:
            sections[-1].keys.setdefault(pair["key"], []).append(number)
        else:  # what stands there may be a secret
            raise UnsureError("it is neither '[section]' nor 'key=value'", number + 1)
    return sections


def _line(section: _Section | None, option: str) -> int | None:
    found = section.keys.get(option, []) if section else []
    if len(found) > 1:
        raise UnsureError(f"{option} is set a second time", found[1] + 1)
    return found[0] if found else None


def _parts(line: str) -> tuple[str, str, str]:
    """Return what is before the value of a key, the value, and what is behind it."""
    pair = _PAIR.fullmatch(line)
    return (pair["head"], pair["value"], pair["end"]) if pair else (line, "", "")


def _add(lines: list[str], section: _Section | None, name: str, pair: str) -> None:
    carriage_return = "\r" if lines[0].endswith("\r") else ""
    if section is not None:
        end = "\r" if lines[section.line].endswith("\r") else ""
        lines.insert(section.line + 1, pair + end)
        return
    new = [each + carriage_return for each in ("", OWN_SECTION, f"[{name}]", pair)]
    if lines[-1]:  # the last line has no end, and is to have none again
        lines[-1] += carriage_return
        lines += [*new[:-1], pair]
    else:
        lines[-1:] = [*new, ""]


def _remove(lines: list[str], section: _Section, line: int) -> None:
    first = section.line - 2 if len(section.keys) == 1 and _is_own(lines, section, line) else line
    ends_alone = lines[section.line].endswith("\r") and not lines[line].endswith("\r")
    del lines[first : line + 1]
    if first == len(lines) and lines and ends_alone:  # it had no line end, so what is the last line now has none either
        lines[-1] = lines[-1].removesuffix("\r")


def _is_own(lines: list[str], section: _Section, line: int) -> bool:
    """Tell whether a section is as it was added, with nothing in it but the key."""
    above = [each.strip() for each in lines[max(section.line - 2, 0) : section.line]]
    below = lines[line + 1 :]
    return above == ["", OWN_SECTION] and line == section.line + 1 and not (below and below[0].strip())
