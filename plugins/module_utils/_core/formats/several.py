# Private to the collection nodeward.calico: may change in any release.
"""Several keys of one file as one: they change in one write, or a reader would meet half of them."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Format, UnsureError


def several(single: Format) -> Format:
    """Return a format whose keys are lists, 'a,b,c', and whose values are 'a=1 c=3': what is not named is not there."""

    def get(text: str, key: str) -> str | None:
        found = {name: single.get(text, name) for name in key.split(",")}
        return joined({name: value for name, value in found.items() if value is not None})

    def put(text: str, key: str, value: str | None) -> str:
        wanted = parted(value)
        for name in key.split(","):
            if single.get(text, name) != wanted.get(name):
                text = single.put(text, name, wanted.get(name))
        if get(text, key) != value:
            raise UnsureError(f"{value!r} would not be read back as it is", 1)
        return text

    return Format(get, put)


def joined(values: Mapping[str, str]) -> str | None:
    """Write the values of several keys as one, None where there are none. Raises UnsureError."""
    for name, value in values.items():
        if not value or len(value.split()) != 1 or value != value.strip():
            raise UnsureError(f"{name} has a value that is no single word", 1)
    return " ".join(f"{name}={value}" for name, value in values.items()) or None


def parted(value: str | None) -> dict[str, str]:
    """Read what joined() wrote."""
    return dict(word.split("=", 1) for word in (value or "").split())
