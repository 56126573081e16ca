"""Where this machine gets Debian packages from, for mmdebstrap: never a third party, never a name of our own."""

from __future__ import annotations

import re
from pathlib import Path

from tests.lab.host import run

_FIELDS = ("ORIGIN", "CODENAME", "REPO_URI", "COMPONENT", "SOURCESENTRY")
# How the machine reaches archives: proxies, certificates, retries, and what a snapshot mirror needs.
_ACCESS = re.compile(r"^Acquire::(https?::|Retries|Check-Valid-Until|Check-Date)")


def sources(suite: str) -> str:
    """The machine's own Debian entries as a sources.list for `suite`; empty where it has none.

    A machine with another Debian release gives its mirrors, asked for `suite`.
    """
    line_format = "|".join(f"$({field})" for field in _FIELDS)
    command = ["apt-get", "indextargets", "--format", line_format, "Identifier: Packages"]
    listing = run(command, check=False).stdout
    lines = []
    for origin, codename, uri, component, entry in (
        line.split("|", 4) for line in listing.splitlines() if line.count("|") >= 4
    ):
        match = re.fullmatch(r"[a-z]+(-updates|-security)?", codename)
        if origin == "Debian" and match:
            key = _signed_by(entry)
            options = f"[signed-by={key}] " if key else ""
            lines.append(f"deb {options}{uri} {suite}{match[1] or ''} {component}")
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def _signed_by(entry: str) -> str | None:
    """The key file of the entry `path:number` (a line of a .list, a stanza of a .sources), where it names one."""
    path, _, number = entry.rpartition(":")
    try:
        text = Path(path).read_text()
    except OSError:
        return None
    flags = re.MULTILINE | re.IGNORECASE
    if path.endswith(".sources"):
        parts = [part for part in re.split(r"\n\s*\n", text) if re.search(r"^Types:", part, flags)]
        pattern = r"^Signed-By:[ \t]*(/\S+)"
    else:
        parts, pattern = text.splitlines(), r"signed-by=(/[^\s\],]+)"
    index = int(number) - 1
    match = re.search(pattern, parts[index], flags) if index < len(parts) else None
    return match[1] if match else None


def options() -> list[str]:
    """apt settings of this machine that reach its archives, one `Name "value";` each."""
    dump = run(["apt-config", "dump", "--format", '%f "%v";%n'], check=False).stdout
    return [line for line in dump.splitlines() if _ACCESS.match(line) and not line.endswith(' "";')]
