# Private to the collection nodeward.calico: may change in any release.
"""The files of a unit of systemd, as systemd itself names them: its own, drop-ins, and those of its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import NodewardError
from .host import Host

_START = re.compile(r"^[ \t]*ExecStart[ \t]*=[ \t]*\S", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """Its files in reading order, its environment files with their texts, and those of them that are not there.

    ``main`` is its main process, the one that ExecStart became, 0 for none. Others in its cgroup are not what its files
    say: what they started (supervisord, nomad, a shell of rc.local), also where it lives on without its parent.
    """

    name: str
    files: Mapping[str, str]
    environments: Mapping[str, str]
    missing: tuple[str, ...] = ()
    main: int = 0

    @property
    def start(self) -> str:
        """The file whose ExecStart counts, '' where none can be told."""
        having = [path for path, text in self.files.items() if _START.search(text)]
        return having[-1] if having else ""


def read(host: Host, name: str) -> Unit | None:
    """Ask systemd; None where it does not know the unit or does not answer."""
    properties = "FragmentPath,DropInPaths,EnvironmentFiles,MainPID"
    try:
        shown = host.run(["systemctl", "show", f"--property={properties}", name]).splitlines()
    except NodewardError:
        return None
    told: dict[str, list[str]] = {}
    for line in shown:
        key, _equals, value = line.partition("=")
        told.setdefault(key, []).append(value)
    paths = [*told.get("FragmentPath", []), *" ".join(told.get("DropInPaths", [])).split()]
    files = {path: host.read_text(path) or "" for path in paths if path}
    # 'EnvironmentFiles=/etc/default/etcd (ignore_errors=yes)', a line for each
    named = [value.rpartition(" (")[0] or value for value in told.get("EnvironmentFiles", []) if value]
    texts = {path: host.read_text(path) for path in named}
    return Unit(
        name,
        files,
        {path: text for path, text in texts.items() if text is not None},
        tuple(path for path, text in texts.items() if text is None),
        int("".join(told.get("MainPID", [])) or 0),
    )
