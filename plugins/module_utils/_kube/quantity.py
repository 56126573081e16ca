# Private to the collection nodeward.calico: may change in any release.
"""Numbers as Kubernetes writes them."""

from __future__ import annotations

import re

# k8s.io/apimachinery resource.Quantity, as far as anybody counts processes with it.
_SUFFIXES = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str | None) -> int | None:
    """Read '1024', '2k', '1e3' or '2Ki', None for what is no such number."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(?:([kMGT]|[KMGT]i|)|[eE]([0-9]{1,2}))", text or "")
    if not found:
        return None
    return int(float(found.group(1)) * _SUFFIXES.get(found.group(2) or "", 1) * 10 ** int(found.group(3) or 0))
