# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether rules of an audit can be used. Documented in unusable_rules.yml."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from ..plugin_utils._rules import entry


def unusable_rules(folders: str | Iterable[str]) -> str:
    """Return why the rules in these folders (a list, or a text with commas) cannot be used, '' where they can."""
    return entry.unusable(folders)


class FilterModule:
    """Makes the filter known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unusable_rules": unusable_rules}
