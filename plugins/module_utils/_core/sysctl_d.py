# Private to the collection nodeward.calico: may change in any release.
"""sysctl.d as systemd-sysctl reads it at boot: which file sets a kernel parameter last.

Source: sysctl.d(5) and systemd's man/standard-conf.xml. Files of all folders are sorted by name, the
last one that sets a parameter wins; of two files with one name only that of the first folder counts; a
pattern sets only what no file names in full; '-name' alone takes back what was said of that name before;
/etc/sysctl.conf is not read at boot (where Debian has 99-sysctl.conf as a link to it, it is), but procps'
``sysctl --system`` reads it last. Details that sysctl.d(5) leaves out follow systemd's
src/sysctl/sysctl.c (parse_file), src/basic/fileio.c (read_line_full), src/basic/dirent-util.c
(hidden_or_backup_file) and src/basic/sysctl-util.c (sysctl_normalize).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
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

# Read by procps only, after all others.
PROCPS_FILE = "/etc/sysctl.conf"

# What ends a line, and what is cut off its ends: no other white space.
_LINE_END = re.compile(r"\r?\n|[\r\0]")
_BLANKS = " \t\r\n"

# Characters; from such a line on systemd reads nothing of the file (LONG_LINE_MAX, 1 MiB).
LONG_LINE = 1024 * 1024

_NAME = re.compile(r"[\w.*?!\[\]/:@+-]+\Z")

# The kernel takes 0x for hexadecimal and a leading 0 for octal (kernel/sysctl.c proc_get_long): not at face value.
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True)
class Assignment:
    """One line that sets a parameter; ``name`` in dotted form, perhaps with wildcards.

    ``value`` is None for the line '-name': what was said of this name before is void, and no pattern sets it.
    """

    name: str
    value: str | None
    path: str
    line: int


@dataclass(frozen=True)
class Garbled:
    """One line that is neither empty, comment nor assignment; ``text`` is printable and short."""

    path: str
    line: int
    text: str


def drop_in(trap: str) -> str:
    """Return the path of a trap's own file.

    It sorts behind 99-sysctl.conf, which kubespray and people write through Debian's link to sysctl.conf.
    """
    return f"/etc/sysctl.d/99-zz-nodeward-{trap}.conf"


def observe(host: Host, names: Collection[str], own: str) -> tuple[list[Assignment], list[Garbled]]:
    """Read what all files but ``own``, the trap's drop-in, say of these parameters, in reading order."""
    assignments: list[Assignment] = []
    garbled: list[Garbled] = []
    for path in reading_order(f"{folder}/{name}" for folder in FOLDERS for name in host.list_folder(folder)):
        if path != own:
            numbered, bad = numbers(host.read_text(path) or "", path, names)
            assignments += numbered
            garbled += bad
    return assignments, garbled


def numbers(text: str, path: str, names: Collection[str]) -> tuple[list[Assignment], list[Garbled]]:
    """Read the lines of one file that reach these parameters; one that gives no number is garbled."""
    assignments, garbled = parse(text, path)
    reaching = [a for a in assignments if any(matches(name, a.name) for name in names)]
    numbered = [a for a in reaching if a.value is None or _NUMBER.match(a.value)]
    garbled += [Garbled(a.path, a.line, _printable(f"{a.name} = {a.value}")) for a in reaching if a not in numbered]
    return numbered, garbled


def reading_order(paths: Iterable[str]) -> list[str]:
    """Sort the paths of .conf files as they are read, without those that another one masks."""
    rank = {folder: position for position, folder in enumerate(FOLDERS)}
    chosen: dict[str, tuple[int, str]] = {}
    for path in paths:
        folder, _slash, name = path.rpartition("/")
        candidate = (rank[folder], path)
        if name.endswith(".conf") and not name.startswith("."):
            chosen[name] = min(candidate, chosen.get(name, candidate))
    return [chosen[name][1] for name in sorted(chosen)]


def parse(text: str, path: str) -> tuple[list[Assignment], list[Garbled]]:
    """Split the text of one file into its assignments and what cannot be read as one."""
    assignments: list[Assignment] = []
    garbled: list[Garbled] = []
    for number, raw in enumerate(_LINE_END.split(text), start=1):
        line = raw.strip(_BLANKS)
        if len(raw) < LONG_LINE and (not line or line[0] in "#;"):
            continue
        left, equals, right = line.partition("=")
        name = left.removeprefix("-").strip(_BLANKS)
        if len(raw) < LONG_LINE and _NAME.match(name) and (equals or left != name):
            value = right.strip(_BLANKS) if equals else None
            assignments.append(Assignment(_dotted(name), value, path, number))
        else:
            garbled.append(Garbled(path, number, _printable(line)))
    return assignments, garbled


def winner(assignments: Iterable[Assignment], name: str) -> Assignment | None:
    """Return the assignment that holds after boot, of assignments in reading order."""
    latest: dict[str, Assignment] = {}
    for assignment in assignments:
        known = latest.get(assignment.name)
        if known is None or known.value != assignment.value:  # one that says the same keeps its place
            latest.pop(assignment.name, None)
            latest[assignment.name] = assignment
    matching = [latest[name]] if name in latest else [a for a in latest.values() if matches(name, a.name)]
    setting = [a for a in matching if a.value is not None]
    return setting[-1] if setting else None


def render(values: Mapping[str, int], managed_by: str) -> str:
    """Write a drop-in that sets these parameters, sorted by name."""
    lines = [f"# {managed_by}.", *(f"{name} = {values[name]}" for name in sorted(values))]
    return "\n".join(lines) + "\n"


def _dotted(name: str) -> str:
    """Both separators are allowed, the first one in the name tells which is meant; empty parts do not count."""
    first = re.search(r"[./]", name)
    dotted = name.translate(str.maketrans("./", "/.")) if first and first.group() == "/" else name
    return ".".join(part for part in dotted.split(".") if part not in ("", "/"))


def matches(name: str, pattern: str) -> bool:
    """Tell whether a line reaches a parameter; wildcards match within one part, as within a folder of /proc/sys."""
    parts, patterns = name.split("."), pattern.split(".")
    try:
        return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
    except re.error:  # a range the wrong way round, "[z-a]", before Python 3.10.5; it matches nothing
        return False


def _printable(line: str) -> str:
    text = "".join(character if character.isprintable() else "?" for character in line)
    return text if len(text) <= 60 else text[:57] + "..."
