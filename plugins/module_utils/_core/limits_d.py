# Private to the collection nodeward.calico: may change in any release.
"""limits.d as pam_limits reads it at a login: which line gives a user the limit on processes (nproc).

Source: limits.conf(5) and Linux-PAM's modules/pam_limits/pam_limits.c (parse_config_file, process_limit,
pam_sm_open_session). The file limits.conf comes first, then limits.d/*.conf in the order of the C locale;
of lines for the same domain the last one counts; a user's own line goes before a group's, that before the
one of ``*``. A line that cannot be read is left out, so it sets nothing here either. Debian's pam_limits
takes the limits of process 1 where no line says anything, and gives root only lines that name root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .host import Host

CONF = "limits.conf"
FOLDERS = ("/etc/security", "/usr/etc/security")  # the second one is the vendor's where PAM is built with it
PAM_FOLDERS = ("/etc/pam.d", "/usr/etc/pam.d", "/usr/lib/pam.d")

SOFT, HARD = KINDS = ("soft", "hard")
UNLIMITED = 2**64 - 1  # RLIM_INFINITY
_UNLIMITED = ("-1", "-", "unlimited", "infinity")

_LONGEST = 1023  # characters of a line (LINE_LENGTH)
_NUMBER = re.compile(r"([+-]?)([0-9]+)")


@dataclass(frozen=True)
class Line:
    """One line about nproc; ``kinds`` are soft, hard or both."""

    domain: str
    kinds: tuple[str, ...]
    value: int
    path: str
    line: int


def drop_in(trap: str) -> str:
    """Return the path of a trap's own file."""
    return f"/etc/security/limits.d/99-zz-nodeward-{trap}.conf"


def observe(host: Host, own: str) -> list[Line]:
    """Read what all files but ``own``, the trap's drop-in, say of nproc, in reading order."""
    conf = [path for path in (f"{folder}/{CONF}" for folder in FOLDERS) if host.read_text(path) is not None]
    names: dict[str, str] = {}
    for folder in (f"{folder}/limits.d" for folder in reversed(FOLDERS)):
        names.update({name: f"{folder}/{name}" for name in host.list_folder(folder) if _is_read(name)})
    paths = [*conf[:1], *(names[name] for name in sorted(names))]
    return [line for path in paths if path != own for line in parse(host.read_text(path) or "", path)]


def is_applied(host: Host) -> bool:
    """Tell whether a login asks pam_limits, and that with the usual files (``conf=`` names another one)."""
    texts = (host.read_text(f"{folder}/{name}") for folder in PAM_FOLDERS for name in host.list_folder(folder))
    lines = (line.partition("#")[0] for text in texts for line in (text or "").splitlines())
    return any("pam_limits.so" in line and "conf=" not in line for line in lines)


def parse(text: str, path: str) -> list[Line]:
    """Read the lines about nproc of one file."""
    found: list[Line] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        words = raw[:_LONGEST].partition("#")[0].split()[:4]
        if len(words) == 4 and words[2].lower() == "nproc":
            kinds = KINDS if words[1] == "-" else tuple(kind for kind in KINDS if kind == words[1].lower())
            value = _value(words[3].lower())
            if kinds and value is not None:
                found.append(Line(words[0], kinds, value, path, number))
    return found


def winner(lines: Iterable[Line], domain: str, kind: str) -> Line | None:
    """Return the line that counts for a domain by itself, of lines in reading order."""
    matching = [line for line in lines if line.domain == domain and kind in line.kinds]
    return matching[-1] if matching else None


def render(values: Mapping[tuple[str, str], int], managed_by: str) -> str:
    """Write a drop-in with these limits by domain and kind."""
    lines = [f"{domain} {kind} nproc {shown(values[domain, kind])}" for domain, kind in sorted(values)]
    return "\n".join([f"# {managed_by}.", *lines]) + "\n"


def shown(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)


def _is_read(name: str) -> bool:
    return name.endswith(".conf") and not name.startswith(".")


def _value(text: str) -> int | None:
    """Read a number as strtoull does: what follows it does not count, a negative one is very large."""
    if text in _UNLIMITED:
        return UNLIMITED
    found = _NUMBER.match(text)
    if not found:
        return None
    number = min(int(found[2]), UNLIMITED)
    return (-number) % (UNLIMITED + 1) if found[1] == "-" else number
