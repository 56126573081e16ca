# Private to the collection nodeward.calico: may change in any release.
"""What a flavour of etcd is able to do, and where its settings stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable

from ..._core.formats import FORMATS, UnsureError
from ..._core.formats.several import joined, parted
from ..._core.formats.yaml_lines import unquoted
from ..._core.host import Host
from ..._core.verbs import Reason, SetKey
from ..settings import COMPACTION_RETENTION, NAMES, Value, Values, read

KUBELET, UNIT = "kubelet", "unit"


@dataclass(frozen=True)
class Running:
    """One etcd that runs: its command line, the ETCD_* of its environment, and what started it.

    ``root`` is where its own files are seen from the node. ``unit`` is systemd's service of its cgroup, '' for a
    container's. ``parent`` is the name of the process that started it. ``options`` is what it runs with, by the
    names of flags, wherever they were given (those of a file in sections: 'client-transport-security.cert-file').
    """

    pid: int
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    is_pod: bool = False
    parent: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return f"/proc/{self.pid}/root"

    def path(self, path: str) -> str:
        """Return where the node finds a file that this process calls so; what is no whole path begins where it does."""
        return f"{self.root}{path}" if path.startswith("/") else f"/proc/{self.pid}/cwd/{path}"

    @property
    def flags(self) -> dict[str, str]:
        return flags(self.arguments)

    @property
    def config_file(self) -> str:
        """The file of --config-file; with one, all flags and variables are ignored (etcdmain/config.go)."""
        return self.flags.get("config-file", self.environment.get("ETCD_CONFIG_FILE", ""))


@dataclass(frozen=True)
class Place:
    """A file that holds settings: ``keys`` are the names that they have there, by setting; ``text`` as it is now."""

    format: str
    path: str
    keys: Mapping[str, str]
    text: str

    @property
    def key(self) -> str:
        """Every key, always all of them: journals name the place by it."""
        return ",".join(self.keys[name] for name in NAMES)

    @property
    def target(self) -> str:
        """The place as changes and journals name it."""
        return f"{self.format} {self.path}#{self.key}"

    def present(self) -> dict[str, str]:
        """Return the settings that stand there, as they are written. Raises UnsureError."""
        found = parted(FORMATS[self.format].get(self.text, self.key))
        return {name: found[key] for name, key in self.keys.items() if key in found}

    def change(self, wanted: Mapping[str, str], reason: Reason) -> SetKey | None:
        """Return the one write that sets these, None where they stand there already. Raises UnsureError."""
        before = self.present()
        after = {**before, **wanted}
        if before == after:
            return None
        written, new = (joined({self.keys[n]: values[n] for n in NAMES if n in values}) for values in (before, after))
        FORMATS[self.format].put(self.text, self.key, new)
        return SetKey(self.format, self.path, self.key, written, new, reason)


@dataclass(frozen=True)
class Flavour:
    """What can be done about etcd where it is run this way.

    ``restarts`` is what starts it again: the KUBELET when its file changes, or its UNIT, or '' (nothing of ours).
    ``priority_by_unit`` tells whether systemd can give it its I/O priority. ``upgrade`` says what writes the
    configuration anew and has to be told too; ``remedy`` where a person sets it, for one that we do not touch.
    ``reads_file``: what it runs with is only told by a file that may have changed since.
    """

    name: str
    restarts: str = ""
    priority_by_unit: bool = False
    upgrade: str = ""
    remedy: str = ""
    quotes_words: bool = False
    reads_file: bool = False

    @property
    def is_ours(self) -> bool:
        return self.restarts != ""

    def written(self, name: str, value: Value) -> str:
        """Write a value as files of this flavour have it."""
        return f'"{value}"' if self.quotes_words and name == COMPACTION_RETENTION else str(value)


@dataclass(frozen=True)
class Site:
    """Where one running etcd is configured. ``homes`` say for each setting which of the places it belongs to.

    ``obstacles`` are those settings that stand where we do not write, and why. ``broken`` says why etcd would not start
    again with its files as they are, so that there is no way back to them.
    """

    flavour: Flavour
    places: tuple[Place, ...] = ()
    homes: Mapping[str, int] = field(default_factory=dict)
    unit: str = ""
    manifest: str = ""
    obstacles: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""

    def configured(self) -> dict[str, Value]:
        """Return what the files say: what the next start would give it. Raises UnsureError."""
        found: dict[str, Value] = {}
        for number, place in enumerate(self.places):
            for name, text in place.present().items():
                value = read(name, unquoted(text))
                if self.homes.get(name) == number and value is not None:
                    found[name] = value
        return found

    def changes(self, wanted: Values, reason: Reason) -> list[SetKey]:
        """Return the writes that make the files say what is wanted, one for each place. Raises UnsureError."""
        changes = []
        for number, place in enumerate(self.places):
            own = {
                name: self.flavour.written(name, value)
                for name, value in wanted.items()
                if self.homes.get(name) == number and not self._stands(place, name, value)
            }
            change = place.change(own, reason) if own else None
            changes += [change] if change else []
        return changes

    def obstacle(self, wanted: Values) -> str:
        """Say why these cannot be written here, '' where they can."""
        if not self.flavour.is_ours:
            return f"this is {self.flavour.name}: {self.flavour.remedy}"
        if self.broken:
            return self.broken
        told = [self.obstacles[name] for name in wanted if name in self.obstacles]
        lost = [name for name in wanted if name not in self.obstacles and name not in self.homes]
        if told or lost:
            return told[0] if told else f"nothing is known that {lost[0]} could be written to"
        try:
            self.changes(wanted, Reason("etcd_timing", ""))
        except UnsureError as unsure:
            return f"its file cannot be edited safely ({', '.join(p.path for p in self.places)}, {unsure})"
        return ""

    def _stands(self, place: Place, name: str, value: Value) -> bool:
        text = place.present().get(name)
        return text is not None and read(name, unquoted(text)) == value


Recognise = Callable[[Running, Host], "Site | None"]


def flags(arguments: tuple[str, ...]) -> dict[str, str]:
    """Read a command line as Go's package flag does: -name value, --name=value; the last one of a name wins."""
    found: dict[str, str] = {}
    for argument, following in zip(arguments, [*arguments[1:], "-"]):
        if argument.startswith("-") and len(argument) > 1:
            name, equals, value = argument.lstrip("-").partition("=")
            found[name] = value if equals else ("" if following.startswith("-") else following)
    return found
