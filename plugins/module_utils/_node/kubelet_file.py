# Private to the collection nodeward.calico: may change in any release.
"""The kubelet's configuration files: what they say, and whether they can be edited."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .._core import file_age
from .._core.formats import UnsureError, yaml_block
from .._core.formats.yaml_lines import no_mapping, parse, scalars
from .._core.host import Host
from .._kube.quantity import quantity

# What YAML reads as no value at all.
_NOTHING = ("null", "Null", "NULL", "~")

# Decimal digits only: a leading 0 makes an octal number of YAML 1.1.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")

OWN_NAME = "99-zz-nodeward-pid_limits.conf"


# One file is asked for many keys: each of its texts is parsed once.
_entries = lru_cache(maxsize=32)(parse)
_scalars = lru_cache(maxsize=32)(scalars)


@dataclass(frozen=True)
class ConfigFile:
    """One file: ``text`` is None where there is none; ``link`` is where it points if it is a link.

    ``modified`` is in seconds since 1970.
    """

    path: str
    text: str | None = None
    link: str | None = None
    modified: float = 0.0

    @property
    def is_json(self) -> bool:
        try:
            return isinstance(json.loads(self.text or ""), dict)
        except (ValueError, RecursionError):
            return False

    def get(self, key: str) -> str | None:
        """Return a value as it is written. Raises UnsureError."""
        return yaml_block.get(self.text or "", key)

    def is_after(self, own: ConfigFile) -> bool:
        """Tell whether the kubelet reads it after ``own``: name by name, folders at their place (filepath.WalkDir)."""
        return self.path.split("/") > own.path.split("/")

    def sets(self, key: str) -> bool:
        """Tell whether it gives a key anything, also what is no number."""
        return word_at(key, self.text or "") is not None

    def why_broken(self) -> str:
        """Say why no kubelet can start with it, '' where one may."""
        if self.text is None:
            return f"is a link to {self.link}, which is not there" if self.link else "is not there"
        try:
            entries = _entries(self.text)
        except UnsureError as unsure:
            return f"cannot be read as YAML: {unsure}" if no_mapping(self.text, unsure.line) else ""
        if entries and not isinstance(entries[0].path[0], str):
            return "cannot be read as YAML with a mapping in it: it is a list"
        return "" if any(entry.value for entry in entries) else "holds nothing"

    def unsure(self) -> UnsureError | None:
        """Return what we are not sure of, though YAML may allow it."""
        try:
            _entries(self.text or "")
        except UnsureError as unsure:
            return unsure
        return None


def observe(host: Host, path: str) -> ConfigFile:
    """Read one file; nothing is no error."""
    text = host.read_text(path)
    return ConfigFile(path, text, host.link_target(path), file_age.written(host, path))


def drop_ins(host: Host, folder: str) -> Iterator[ConfigFile]:
    """Read the files below the folder of --config-dir in the kubelet's order, which a later one wins in.

    kubelet cmd/kubelet/app/server.go mergeKubeletConfigurations walks into folders, but not through links to them.
    """
    for name in host.list_folder(folder):
        path = f"{folder}/{name}"
        if host.is_folder(path):
            yield from () if host.link_target(path) else drop_ins(host, path)
        elif name.endswith(".conf"):
            yield observe(host, path)


def own_drop_in(host: Host, folder: str) -> ConfigFile | None:
    """Read our own file in the folder of --config-dir, None where the kubelet reads no folder."""
    return observe(host, f"{folder}/{OWN_NAME}") if folder else None


def number_at(key: str, text: str) -> int | None:
    """Read a top-level number of a KubeletConfiguration in YAML or JSON.

    A node need not have a YAML library: of a text that is not understood whole, a line 'key: number' is.
    """
    word = _written_at(key, text) if _is_understood(text) else _on_own_line(key, text)
    return int(word) if word and _NUMBER.fullmatch(word) else None


def is_null(key: str, text: str) -> bool:
    """Tell whether a key is given nothing, which in a drop-in takes away what the files before it said.

    kubelet cmd/kubelet/app/server.go mergeKubeletConfigurations: a JSON merge patch (RFC 7396).
    """
    return _is_understood(text) and not _is_flow(text) and _written_at(key, text) in ("", *_NOTHING)


def is_unread(key: str, text: str) -> bool:
    """Tell whether a key is given a value of which we cannot tell the number ('0x400', '1_000', '1e3').

    In a text that is not understood that may be wherever the key's first name stands outside of a comment.
    """
    if has_number(key, text):
        return False
    if not _is_understood(text):
        name = re.escape(key.partition(".")[0])
        return re.search(rf"^(?:[^#\n]|(?<=\S)#)*\b{name}\b", text, re.MULTILINE) is not None
    word = word_at(key, text)
    return word is not None and word not in _NOTHING


def has_number(key: str, text: str) -> bool:
    """Tell whether a key has a number that we can tell."""
    number = quantity(word_at(key, text)) if "." in key else number_at(key, text)
    return number is not None


def _is_understood(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict) if _is_flow(text) else bool(_scalars(text) or True)
    except (UnsureError, ValueError, RecursionError):
        return False


def _is_flow(text: str) -> bool:
    return text.lstrip().startswith("{")


def _written_at(key: str, text: str) -> str | None:
    """Return what is written at the top level; to the kubelet a number in quotes is none."""
    if _is_flow(text):
        return json.dumps(json.loads(text).get(key))
    return next((entry.value for entry in _entries(text) if entry.path == (key,)), None)


def _on_own_line(key: str, text: str) -> str | None:
    found = re.search(rf"^{re.escape(key)}[^\S\n]*:[^\S\n]+([^\s#]+)[^\S\n]*(?:[^\S\n]#.*)?$", text, re.MULTILINE)
    return found.group(1) if found else None


def word_at(key: str, text: str) -> str | None:
    """Read a scalar at 'name' or 'mapping.name', None where there is none or it cannot be told."""
    name, _dot, rest = key.partition(".")
    try:
        if _is_flow(text):
            value = json.loads(text).get(name)
            value = value.get(rest) if rest and isinstance(value, dict) else value
            return None if value is None or isinstance(value, (dict, list)) else str(value)
        values = _scalars(text)
        return values.get((name, rest)) or _in_flow(rest, values.get((name,), "")) if rest else values.get((name,))
    except (UnsureError, ValueError, AttributeError, RecursionError):
        return None


def _in_flow(key: str, mapping: str) -> str | None:
    """Read one key of '{a: 1, b: "2"}', None where it is not in it."""
    found = re.search(rf"""[{{,]\s*["']?{re.escape(key)}["']?\s*:\s*["']?([^,"'}}\s]+)""", mapping)
    return found.group(1) if found else None


def words_at(key: str, text: str) -> list[str] | None:
    """Read a list of words, None where there is none or it cannot be told."""
    try:
        if _is_flow(text):
            value = json.loads(text).get(key)
            return [str(each) for each in value] if isinstance(value, list) else None
        written = [value for path, value in _scalars(text).items() if path[0] == key]
        return re.findall(r"[\w-]+", " ".join(written)) if written else None
    except (UnsureError, ValueError, AttributeError, RecursionError):
        return None


def number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.fullmatch(text) else None
