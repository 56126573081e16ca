# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether rules of an audit can be used. Documented in unusable_rules.yml."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

try:
    from ..plugin_utils._rules.load import RuleError, load

    _MISSING = ""
except ImportError as error:
    _MISSING = f"{error}. Rules need jmespath and PyYAML on the control machine: install them, or unset audit_rules."


def unusable_rules(folders: str | Iterable[str]) -> str:
    """Return why the rules in these folders (a list, or a text with commas) cannot be used, '' where they can."""
    words = folders.split(",") if isinstance(folders, str) else list(folders)
    given = [word for word in (str(each).strip() for each in words) if word]
    if not given or _MISSING:
        return _MISSING if given else ""
    try:
        load(given)
    except RuleError as error:
        return str(error)
    return ""


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unusable_rules": unusable_rules}
