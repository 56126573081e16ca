# Private to the collection nodeward.calico: may change in any release.
"""A unit that runs etcd: where its files set what, and what in them would keep etcd from starting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..._core.formats import UnsureError, env
from ..._core.unit_files import Unit
from ..settings import variable
from .base import Running

_COMMAND = re.compile(r"[ \t]*ExecStart[ \t]*=(?P<command>.*)", re.DOTALL)
_ENVIRONMENT = re.compile(r"[ \t]*Environment[ \t]*=")
_FLAG = re.compile(r"(?<!\S)[\"']?--?(?P<name>[a-z][a-z0-9-]*)")
_VARIABLE = re.compile(r"(?<![A-Za-z0-9_])ETCD_(?P<name>[A-Z][A-Z0-9_]*)=")
# Folders of settings and of data: /var/lib/etcd is no program.
_NO_PROGRAMS = ("/etc/", "/var/")


class EtcdUnit(Unit):
    """A unit that runs etcd."""

    @classmethod
    def of(cls, unit: Unit) -> EtcdUnit:
        """Look at a unit as one that runs etcd."""
        return cls(unit.name, unit.files, unit.environments, unit.missing, unit.main)

    @property
    def names_etcd(self) -> bool:
        """Whether a word of its command is etcd: anything else (a script, a supervisor) takes no flags of etcd's."""
        return any(_words_of_etcd(line) is not None for _path, line in self._lines(self.start))

    def holders(self, text: str) -> list[str]:
        """Return the variables of an environment file that ExecStart takes as words: $DAEMON_ARGS, $ETCD_OPTS."""
        start = self.files.get(self.start, "")
        return [name for name in dict.fromkeys(env.names(text)) if re.search(rf"\$(?:{name}\b|\{{{name}\}})", start)]

    def elsewhere(self, name: str) -> str:
        """Return the file of the unit that sets this beside the flags of ExecStart, '' where none does."""
        for path, line in self._lines():
            in_variables = _ENVIRONMENT.match(line) and name in _flags(line.partition("=")[2].replace("=", " ", 1))
            if in_variables or name in _variables(line):
                return path
        return ""

    def doubled(self) -> str:
        """Name an option that is given both as a variable and as a flag, '' where none is. Raises UnsureError.

        With such files etcd does not start again (pkg/flags verifyEnv), and there would be no way back.
        """
        given: set[str] = {name for _path, line in self._lines() for name in _variables(line)}
        flags: set[str] = set()
        for text in self.environments.values():
            given |= {_option(name) for name in env.names(text) if name.startswith("ETCD_")}
            for holder in self.holders(text):
                flags |= _flags(env.unquoted(env.get(text, holder) or ""))
        for _path, line in self._lines(self.start):
            flags |= _own_flags(line)
        twice = sorted(given & flags)
        return f"{variable(twice[0])} and --{twice[0]}" if twice else ""

    def _lines(self, of: str = "") -> Iterator[tuple[str, str]]:
        for path, text in self.files.items():
            for line in re.sub(r"\\\r?\n", " ", text).splitlines() if of in ("", path) else ():
                if line.lstrip()[:1] not in ("#", ";", ""):
                    yield path, line


def why_it_would_not_start(unit: EtcdUnit) -> str:
    """Say what is wrong with the files as they are, '' where nothing is known."""
    try:
        twice = unit.doubled()
    except UnsureError as unsure:
        return f"the files of {unit.name} cannot be read safely ({unsure})"
    return f"{unit.name} gives etcd both {twice}, with which it does not start again: leave one of them" * bool(twice)


def is_its_own(unit: EtcdUnit, running: Running) -> bool:
    """Tell whether a unit is there for this etcd: its command names etcd, or has become it (a script with exec).

    The restart of any other (supervisord, nomad) ends far more than etcd.
    """
    return unit.names_etcd or unit.main == running.pid


def _option(name: str) -> str:
    return name.removeprefix("ETCD_").lower().replace("_", "-")


def _variables(line: str) -> set[str]:
    return {_option(found["name"]) for found in _VARIABLE.finditer(line)}


def _flags(words: str | Iterable[str]) -> set[str]:
    text = words if isinstance(words, str) else " ".join(words)
    return {found["name"] for found in _FLAG.finditer(text)}


def _own_flags(line: str) -> set[str]:
    """Return the flags of etcd in ExecStart; those before its name are of what starts it (docker run --name)."""
    return _flags(_words_of_etcd(line) or [])


def _words_of_etcd(line: str) -> list[str] | None:
    """Return what follows etcd's name in ExecStart, None where no word of it is etcd."""
    found = _COMMAND.match(line)
    words = found["command"].split() if found else []
    programs = [number for number, word in enumerate(words) if _is_etcd(word.strip("\"'").lstrip("-@:+!"))]
    return words[programs[-1] + 1 :] if programs else None


def _is_etcd(word: str) -> bool:
    return word.rpartition("/")[2] == "etcd" and not word.startswith(_NO_PROGRAMS)
