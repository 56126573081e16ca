# Private to the collection nodeward.calico: may change in any release.
"""Rules of an audit, read from folders of YAML files. Their shape is in docs/rules.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jmespath
import yaml
from jmespath.exceptions import JMESPathError, ParseError

from ...module_utils._core.plan import SEVERITIES
from .errors import RuleError
from .functions import RuleFunctions

SCOPES = ("node", "fleet")
EXPRESSIONS = ("each", "when", "where", "observed")
TEXTS = ("wanted", "why", "remedy")
_NEEDED = ("id", "scope", "severity", "when", "where", "observed", *TEXTS)


@dataclass(frozen=True)
class Rule:
    """One rule. The first four are JMESPath; ``each`` is '' where it is about the node, or the fleet, as a whole."""

    id: str
    scope: str
    severity: str
    each: str
    when: str
    where: str
    observed: str
    wanted: str
    why: str
    remedy: str
    file: str

    @property
    def name(self) -> str:
        """Say for people which rule this is."""
        return f"{self.file}: rule {self.id}"


def load(folders: Iterable[str]) -> list[Rule]:
    """Return all rules of the files *.yml and *.yaml in these folders. Raises RuleError."""
    found: dict[str, Rule] = {}
    for folder in folders:
        for path in _files(folder):
            for rule in _rules(path):
                if rule.id in found:
                    raise RuleError(f"{rule.name}: this id is taken, in {found[rule.id].file}. Give it another one.")
                found[rule.id] = rule
    return list(found.values())


def _files(folder: str) -> list[Path]:
    try:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise RuleError(f"{folder}: there is no such folder of rules. Mend audit_rules, or make it.")
        return sorted(each for each in path.iterdir() if each.suffix in (".yml", ".yaml"))
    except (OSError, RuntimeError) as error:
        raise RuleError(f"{folder}: cannot be read: {error}. Mend audit_rules.") from error


def _rules(path: Path) -> Iterator[Rule]:
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise RuleError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(told, list):
        raise RuleError(f"{path}: is no list of rules. Begin each with '- id: NAME', see docs/rules.md.")
    for number, each in enumerate(told, 1):
        yield _rule(path, number, each)


def _rule(path: Path, number: int, told: Any) -> Rule:
    if not isinstance(told, Mapping):
        raise RuleError(f"{path}: rule {number} is no mapping. Begin it with '- id: NAME', see docs/rules.md.")
    where = f"{path}: rule {told.get('id', number)}"
    known = {*_NEEDED, "each"}
    unknown, missing = sorted(set(map(str, told)) - known), [key for key in _NEEDED if key not in told]
    if unknown or missing:
        words = [f"has no {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise RuleError(f"{where}: {' and '.join(words)}. A rule has {', '.join(_NEEDED)} and may have each.")
    for key, value in told.items():
        if not isinstance(value, str) or not value.strip():
            raise RuleError(f"{where}: {key} is no text. Put it in quotes.")
    rule = Rule(**{"each": "", **{key: str(value).strip() for key, value in told.items()}}, file=str(path))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", rule.id):
        raise RuleError(f"{where}: its id is not of lower-case letters, digits and _. Rename it.")
    _require(where, "scope", rule.scope, SCOPES)
    _require(where, "severity", rule.severity, SEVERITIES)
    for key in EXPRESSIONS:
        _compile(where, key, getattr(rule, key))
    return rule


def _require(where: str, key: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise RuleError(f"{where}: {key} is {value!r}. Give one of {', '.join(choices)}.")


def _compile(where: str, key: str, expression: str) -> None:
    if not expression:
        return
    try:
        told = jmespath.compile(expression).parsed
        why, position = next(((why, _begin(expression, name)) for name, why in _uncallable(told)), ("", ""))
    except (JMESPathError, ValueError, RecursionError) as error:
        position = f" at position {error.lex_position + 1}" if isinstance(error, ParseError) else ""
        why = str(error).split("\n")[0].split(": Parse error")[0]
    if why:
        raise RuleError(f"{where}: {key} is no JMESPath{position}: {expression!r} ({why}).")


def _begin(expression: str, function: str) -> str:
    found = re.search(rf"\b{function}\s*\(", expression)
    return f" at position {found.start() + 1}" if found else ""


def _uncallable(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name each call that no node's facts can make right; JMESPath itself looks only when it gets there."""
    children = [each for each in node.get("children", []) if isinstance(each, Mapping)]
    for child in children:
        yield from _uncallable(child)
    if node.get("type") != "function_expression":
        return
    name, given = str(node["value"]), len(children)
    function = RuleFunctions.FUNCTION_TABLE.get(name)
    if function is None:
        yield name, f"there is no function {name}()"
        return
    takes = function["signature"]
    is_open = bool(takes and takes[-1].get("variadic"))
    if given < len(takes) or (given > len(takes) and not is_open):
        yield name, f"{name}() takes {len(takes)}{' or more' if is_open else ''}, not {given}"
