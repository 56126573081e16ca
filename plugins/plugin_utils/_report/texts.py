# Private to the collection nodeward.calico: may change in any release.
"""Texts of nodes, fit to be shown: a name of a file or an error message may hold anything."""

from __future__ import annotations


def visible(text: object) -> str:
    """Replace what is not printable: control characters, what turns the direction of writing, half characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text))


def shortened(text: str, most: int) -> str:
    """Cut a long text (a whole file, for example); the JSON has all of it."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"
