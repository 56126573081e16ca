# Private to the collection nodeward.calico: may change in any release.
"""Block-style YAML by its lines: the style in which kubeadm, kubespray, client-go and people write.

Known are mappings and sequences by indentation, scalars and flow collections on one line, and block scalars.
Everything else that YAML 1.1 or 1.2 allows raises UnsureError: such a file is for a person to edit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Union

from .base import UnsureError

# From the top: the names of keys, and the numbers of items from 0.
Path = tuple[Union[str, int], ...]

_ITEM = re.compile(r"- +(?=[^ ])|-(?= *\Z)")
_KEY = re.compile(r"""([A-Za-z0-9_][A-Za-z0-9_./-]*|"[^"'\\]*"|'[^"'\\]*')[ ]*:(?:[ ]+|\Z)""")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'""")
_BLOCK_SCALAR = re.compile(r"[|>][+-]?")
_NO_MORE = re.compile(r"[ ]*(?:[ ]#.*)?\Z")

# What no plain scalar begins with (YAML 1.2 c-indicator); some of these may when no space follows.
_INDICATORS = tuple(",]}#&*!|>%@`\"'[{")
_INDICATORS_WITH_SPACE = ("-", "?", ":")

# All but what YAML allows on a line; besides, \x85, \u2028 and \u2029 end lines to some readers, not to others.
_STRANGE = re.compile("[^\n\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# Control characters, and bytes that are no UTF-8 (as Python keeps them): YAML allows them nowhere.
_NEVER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\udc80-\udcff]")
_TAB_BEFORE_KEY = re.compile(r" *\t\s*[A-Za-z0-9_]+:(?:\s|\Z)")


@dataclass(frozen=True)
class Entry:
    """A key or an item: ``line`` counts from 0, ``column`` is its own, ``start`` that of its value.

    ``value`` is a scalar or flow collection as it is written; '' where what belongs to it is on the lines
    below, or is nothing. Of a block scalar it is the header only.
    """

    path: Path
    line: int
    column: int
    start: int
    value: str = ""

    @property
    def name(self) -> str:
        return ".".join(str(part) for part in self.path)

    @property
    def is_block(self) -> bool:
        return self.value.startswith(("|", ">"))


def parse(text: str) -> list[Entry]:
    """Return every key and item in the order of the file. Raises UnsureError."""
    lines = text.replace("\r\n", "\n")
    strange = _STRANGE.search(lines)
    if strange:
        raise UnsureError(f"it holds the character {strange.group()!r}", lines.count("\n", 0, strange.start()) + 1)
    reader = _Reader()
    for number, line in enumerate(lines.split("\n")):
        reader.read(number, line)
    return list(reader.entries.values())


def scalars(text: str) -> dict[Path, str]:
    """Return what every scalar on one line means, by its path. Raises UnsureError."""
    return {entry.path: unquoted(entry.value) for entry in parse(text) if entry.value and not entry.is_block}


def no_mapping(text: str, line: int) -> bool:
    """Tell whether a text is certainly no YAML, or none with a mapping; ``line`` is where UnsureError arose.

    What parse() does not know may well be YAML: this is for those who refuse what is broken, and only that.
    """
    if _NEVER.search(text):
        return True
    content = [each for each in text.split("\n") if each.strip() and not each.startswith(("#", "%", "---"))]
    first = content[0].strip() if content else ""
    if first[:1] == "{":  # brackets in quotes or comments are not counted, so such a text is not judged
        counts = [text.count(bracket) for bracket in "{}[]"]
        return not re.search("[\"'#]", text) and (counts[0] != counts[1] or counts[2] != counts[3])
    is_word = first[:1].isalnum() and not re.search(r":(?:\s|\Z)", first)
    return first[:1] == "[" or is_word or _TAB_BEFORE_KEY.match(text.split("\n")[line - 1]) is not None


def unquoted(value: str) -> str:
    """Return what a scalar means; of the escapes in double quotes only the plain ones are known."""
    if value[:1] == "'":
        return value[1:-1].replace("''", "'")
    if value[:1] == '"':
        return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found.group(1), found.group(1)), value[1:-1])
    return value


@dataclass
class _Level:
    """A mapping, or a sequence with the number of its last item."""

    column: int
    path: Path
    is_sequence: bool
    item: int = -1


class _Reader:
    """Reads one line after the other, and knows which collections are open."""

    def __init__(self) -> None:
        self.entries: dict[Path, Entry] = {}
        self._levels: list[_Level] = []
        self._open: Entry | None = None  # the last entry, where lines below may belong to it
        self._begun = False
        self._text_below: int | None = None  # lines indented more than this belong to a block scalar
        self._text_column: int | None = None

    def read(self, number: int, line: str) -> None:
        column = len(line) - len(line.lstrip(" "))
        if self._is_text(number, line, column) or not line[column:] or line[column] == "#":
            return
        if "\t" in line.split(" #", 1)[0]:
            raise UnsureError("it holds a tab", number + 1)
        if line.startswith(("---", "...", "%")):
            self._document(number, line)
            return
        if not self.entries and (column or line[0] in "[{"):
            raise UnsureError("it is indented" if column else "it is JSON, or YAML in flow style", number + 1)
        self._node(number, line, column)

    def _is_text(self, number: int, line: str, column: int) -> bool:
        if self._text_below is None or not line[column:]:
            return self._text_below is not None
        if column <= self._text_below:
            self._text_below = self._text_column = None
            return False
        self._text_column = column if self._text_column is None else self._text_column
        if column < self._text_column and line[column] != "#":
            raise UnsureError("it is indented less than the text above it", number + 1)
        if column < self._text_column:
            self._text_below = self._text_column = None
            return False
        return True

    def _document(self, number: int, line: str) -> None:
        if self.entries or self._begun or not line.startswith("---") or not _NO_MORE.match(line, 3):
            raise UnsureError("it is a directive, or parts the file into documents", number + 1)
        self._begun = True

    def _node(self, number: int, line: str, column: int) -> None:
        """Read the key or the item that stands at a column."""
        item, key = _ITEM.match(line, column), _KEY.match(line, column)
        if item:
            level = self._level(number, column, is_sequence=True)
            level.item += 1
            entry = Entry((*level.path, level.item), number, column, item.end())
            self._add(entry)
            if _ITEM.match(line, item.end()) or _KEY.match(line, item.end()):
                self._node(number, line, item.end())
                return
        elif key:
            path = self._level(number, column, is_sequence=False).path
            entry = Entry((*path, unquoted(key.group(1))), number, column, key.end())
            self._add(entry)
        else:
            raise UnsureError("it is neither 'key: value' nor '- value'", number + 1)
        self._value(replace(entry, value=_value(line, entry.start, number)))

    def _add(self, entry: Entry) -> None:
        if entry.path in self.entries:
            raise UnsureError(f"{entry.name} is given twice", entry.line + 1)
        self.entries[entry.path] = self._open = entry

    def _value(self, entry: Entry) -> None:
        self.entries[entry.path] = entry
        if entry.value:
            self._open = None
        if entry.is_block:
            self._text_below = entry.column

    def _level(self, number: int, column: int, *, is_sequence: bool) -> _Level:
        """Return the collection to which what stands at a column belongs; a new one where it may begin."""
        while self._levels and self._levels[-1].column > column:
            self._levels.pop()
        if self._ends_sequence(column, is_sequence):
            self._levels.pop()
        top = self._levels[-1] if self._levels else None
        if top and (top.column, top.is_sequence) == (column, is_sequence):
            return top
        if top and not self._may_begin(column, is_sequence, top):
            raise UnsureError("its indentation fits nothing above it", number + 1)
        self._levels.append(_Level(column, self._open.path if top and self._open else (), is_sequence))
        return self._levels[-1]

    def _ends_sequence(self, column: int, is_sequence: bool) -> bool:
        """Tell whether a key follows the items of the key before it, which may stand at the same column."""
        return (
            not is_sequence and len(self._levels) > 1 and self._levels[-1].column == self._levels[-2].column == column
        )

    def _may_begin(self, column: int, is_sequence: bool, top: _Level) -> bool:
        if self._open is None:
            return False
        own_column = is_sequence and not top.is_sequence and top.column == self._open.column == column
        return own_column or self._open.column < column


def _value(line: str, start: int, number: int) -> str:
    """Return what is written at a column, '' where nothing is."""
    rest = line[start:]
    if not rest.strip(" ") or rest[0] == "#":
        return ""
    found = _QUOTED.match(rest) or _BLOCK_SCALAR.match(rest)
    if rest[0] in "[{":
        value = _flow(rest, number)
    elif found:
        value = found.group()
    else:
        value = rest.split(" #", 1)[0].rstrip(" ")
        first, _space, more = value.partition(" ")
        if value.startswith(_INDICATORS) or (first in _INDICATORS_WITH_SPACE and (more or first == value)):
            raise UnsureError(f"it begins with {value[0]!r}: an anchor, an alias, a tag or unended quotes", number + 1)
        if ": " in value or value.endswith(":"):
            raise UnsureError("it holds a colon more than one key has", number + 1)
    if not _NO_MORE.match(rest, len(value)):
        raise UnsureError("something follows the value", number + 1)
    return value


def _flow(rest: str, number: int) -> str:
    """Return the flow collection that begins here; it has to end on the line."""
    awaited: list[str] = []
    place = 0
    while place < len(rest):
        letter = rest[place]
        quoted = _QUOTED.match(rest, place)
        if letter in "[{":
            awaited.append("]" if letter == "[" else "}")
        is_wrong = letter in "]}" and letter != awaited.pop()
        if is_wrong or rest.startswith(" #", place) or (letter in "\"'" and not quoted):
            break
        place = quoted.end() if quoted else place + 1
        if not awaited:
            return rest[:place]
    raise UnsureError("what begins there does not end on this line", number + 1)
