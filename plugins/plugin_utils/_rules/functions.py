# Private to the collection nodeward.calico: may change in any release.
"""What expressions of rules can call beside JMESPath's own functions. None of them fails on what is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jmespath
from jmespath.functions import Functions, signature

_Method = TypeVar("_Method")


def _takes(number: int) -> Callable[[_Method], _Method]:
    """Declare a function of so many arguments, each of any type."""
    return cast("Callable[[_Method], _Method]", signature(*({"types": []},) * number))


class RuleFunctions(Functions):  # type: ignore[misc]  # jmespath ships no types
    """JMESPath's functions and ours."""

    @_takes(2)
    def _func_share(self, part: Any, whole: Any) -> float | None:
        """share(part, whole): the quotient of two numbers, null where that is none."""
        if _is_number(part) and _is_number(whole) and whole > 0:
            return float(round(part / whole, 4))
        return None

    @_takes(2)
    def _func_older(self, version: Any, than: Any) -> bool | None:
        """older(version, than): whether a version ("v3.26.1", [3, 26, 1]) is before another; null: unknown."""
        one, other = _version(version), _version(than)
        return one < other if one and other else None

    @_takes(1)
    def _func_unique(self, values: Any) -> list[Any]:
        """unique(array): its values, each once, without null."""
        found: list[Any] = []
        for value in values if isinstance(values, list) else []:
            if value is not None and value not in found:
                found.append(value)
        return found

    @_takes(2)
    def _func_nonzero(self, value: Any, otherwise: Any) -> Any:
        """nonzero(value, otherwise): the value, or the other one where it is 0 or null."""
        return value or otherwise


OPTIONS = jmespath.Options(custom_functions=cast("Any", RuleFunctions()))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _version(told: Any) -> tuple[int, ...]:
    text = ".".join(map(str, told)) if isinstance(told, list) else told  # BIRD's facts have it as numbers
    found = re.match(r"v?([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})", text) if isinstance(text, str) else None
    numbers = tuple(map(int, found[1].split("."))) if found else ()
    return (*numbers, 0, 0, 0)[:4] if numbers else ()
