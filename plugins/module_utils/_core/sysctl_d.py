# Private to the collection nodeward.calico: may change in any release.
"""sysctl.d as systemd-sysctl reads it at boot: which file sets a kernel parameter last.

Source: sysctl.d(5) and systemd's man/standard-conf.xml. Files of all folders are sorted by name, the
last one that sets a parameter wins; of two files with one name only that of the first folder counts; a
pattern sets only what no file names in full; /etc/sysctl.conf is not read at boot (where Debian has
99-sysctl.conf as a link to it, it is), but procps' ``sysctl --system`` reads it last.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .host import Host

FOLDERS = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)

# Sorts behind 99-sysctl.conf, which kubespray and people write through Debian's link to sysctl.conf.
DROP_IN = "/etc/sysctl.d/99-zz-nodeward.conf"

# Read by procps only, after all others.
PROCPS_FILE = "/etc/sysctl.conf"

_NAME = re.compile(r"[\w.*?\[\]/:@+-]+\Z")

# The kernel takes 0x for hexadecimal and a leading 0 for octal (kernel/sysctl.c proc_get_long): not at face value.
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True)
class Assignment:
    """One line that sets a parameter; ``name`` in dotted form, perhaps with wildcards."""

    name: str
    value: str
    path: str
    line: int


@dataclass(frozen=True)
class Garbled:
    """One line that is neither empty, comment nor assignment; ``text`` is printable and short."""

    path: str
    line: int
    text: str


def observe(host: Host, names: Collection[str]) -> tuple[list[Assignment], list[Garbled]]:
    """Read what all files but our own drop-in say of these parameters, in reading order."""
    assignments: list[Assignment] = []
    garbled: list[Garbled] = []
    for path in reading_order(f"{folder}/{name}" for folder in FOLDERS for name in host.list_folder(folder)):
        if path != DROP_IN:
            numbered, bad = numbers(host.read_text(path) or "", path, names)
            assignments += numbered
            garbled += bad
    return assignments, garbled


def numbers(text: str, path: str, names: Collection[str]) -> tuple[list[Assignment], list[Garbled]]:
    """Read the lines of one file that reach these parameters; one that gives no number is garbled."""
    assignments, garbled = parse(text, path)
    reaching = [a for a in assignments if any(winner([a], name) for name in names)]
    numbered = [a for a in reaching if _NUMBER.match(a.value)]
    garbled += [Garbled(a.path, a.line, _printable(f"{a.name} = {a.value}")) for a in reaching if a not in numbered]
    return numbered, garbled


def reading_order(paths: Iterable[str]) -> list[str]:
    """Sort the paths of .conf files as they are read, without those that another one masks."""
    rank = {folder: position for position, folder in enumerate(FOLDERS)}
    chosen: dict[str, tuple[int, str]] = {}
    for path in paths:
        folder, _slash, name = path.rpartition("/")
        candidate = (rank[folder], path)
        if name.endswith(".conf"):
            chosen[name] = min(candidate, chosen.get(name, candidate))
    return [chosen[name][1] for name in sorted(chosen)]


def parse(text: str, path: str) -> tuple[list[Assignment], list[Garbled]]:
    """Split the text of one file into its assignments and what cannot be read as one."""
    assignments: list[Assignment] = []
    garbled: list[Garbled] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if equals and _NAME.match(name.lstrip("-")):
            assignments.append(Assignment(_dotted(name.lstrip("-")), value.strip(), path, number))
        elif not (name.startswith("-") and _NAME.match(name[1:])):  # '-name' exempts it from patterns
            garbled.append(Garbled(path, number, _printable(line)))
    return assignments, garbled


def winner(assignments: Sequence[Assignment], name: str) -> Assignment | None:
    """Return the assignment that holds after boot, of assignments in reading order."""
    exact = [a for a in assignments if a.name == name]
    matching = exact or [a for a in assignments if _matches(name, a.name)]
    return matching[-1] if matching else None


def render(values: Mapping[str, int], managed_by: str) -> str:
    """Write a drop-in that sets these parameters, sorted by name."""
    lines = [f"# {managed_by}.", *(f"{name} = {values[name]}" for name in sorted(values))]
    return "\n".join(lines) + "\n"


def _dotted(name: str) -> str:
    """Both separators are allowed; the first one in the name tells which is meant."""
    first = re.search(r"[./]", name)
    return name.translate(str.maketrans("./", "/.")) if first and first.group() == "/" else name


def _matches(name: str, pattern: str) -> bool:
    """Wildcards match within one part of a name, as they would within one folder of /proc/sys."""
    parts, patterns = name.split("."), pattern.split(".")
    try:
        return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
    except re.error:  # a range the wrong way round, "[z-a]", before Python 3.10.5; it matches nothing
        return False


def _printable(line: str) -> str:
    text = "".join(character if character.isprintable() else "?" for character in line)
    return text if len(text) <= 60 else text[:57] + "..."
