# Private to the collection nodeward.calico: may change in any release.
"""One Python program of a module of this collection and all that it imports, for a unit that runs without Ansible.

By `inspect`, since non-Python files do not travel to nodes, and Mitogen has no folder there to copy from.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType

from .verbs import MANAGED_BY

_ROOT = __name__.rpartition("._core.")[0]
_NAME = "nodeward"

_PROGRAM = """\
# {managed_by}.
# Modules of the collection nodeward.calico in one file, as they are there.

import importlib.abc
import importlib.util
import sys

SOURCES = {{
{sources}}}


class Sources(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in SOURCES else None

    def get_filename(self, fullname):
        return fullname  # by which a traceback names the module

    def get_source(self, fullname):
        return SOURCES[fullname]

    def is_package(self, fullname):
        return any(name.startswith(fullname + ".") for name in SOURCES)


sys.meta_path.insert(0, Sources())
from {entry} import main

sys.exit(main(sys.argv[1:]))
"""


def program(entry: ModuleType) -> str:
    """Return the text of a program that calls ``main`` of a module of module_utils.

    ``main`` takes the program's arguments and returns its exit status. Only relative imports are followed: what is
    bundled stands on the standard library alone.
    """
    name = entry.__name__[len(_ROOT) + 1 :]
    texts = {f"{_NAME}.{each}".rstrip("."): text for each, text in sorted(_sources(name).items())}
    shown = "".join(f"    {name!r}: (\n{_lines(text)}    ),\n" for name, text in texts.items())
    return _PROGRAM.format(managed_by=MANAGED_BY, sources=shown, entry=f"{_NAME}.{name}")


def _lines(text: str) -> str:
    return "".join(f"        {line!r}\n" for line in text.splitlines(keepends=True) or [""])


def _sources(entry: str) -> dict[str, str]:
    found: dict[str, str] = {"": ""}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            module = sys.modules[f"{_ROOT}.{name}"]
            is_package = hasattr(module, "__path__")
            found[name] = _source(module, is_package)
            package = name if is_package else name.rpartition(".")[0]
            waiting += [name.rpartition(".")[0], *_imported(package, found[name])]
    return found


def _source(module: ModuleType, is_package: bool) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):  # a package without a text of its own
        if is_package:
            return ""
        raise


def _imported(package: str, text: str) -> Iterator[str]:
    """Return the modules of ours that a text imports, once it has been imported itself."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
            for name in (base, *(f"{base}.{alias.name}" for alias in node.names)):
                if name and f"{_ROOT}.{name}" in sys.modules:
                    yield name
