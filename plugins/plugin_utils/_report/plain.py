# Private to the collection nodeward.calico: may change in any release.
"""Variables of Ansible as what they are."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """Take off what ansible-core wraps around values: from 2.19 on, containers that template when they are read."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float)) or value is None else str(value)
