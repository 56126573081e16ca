# Private to the collection nodeward.calico: may change in any release.
"""What a JSON web token of a service account says of itself. Nothing that is signed or secret is kept of it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What Kubernetes takes for a name; a token is not signed for us, and a name of it gets into paths of the API.
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
# Seconds: what has renewed a token within them was at work, and may be again.
YOUNG = 3600.0
_LATEST = 1e13  # the moment that no token outlives, in seconds since 1970


@dataclass(frozen=True)
class Token:
    """What a token says of itself; times in seconds since 1970, None where it says nothing."""

    service_account: str = ""
    pod: str = ""
    issued: float | None = None
    expires: float | None = None


def decoded(token: str) -> Token:
    """Return what a JSON web token says of itself; nothing where it is none."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return _token(claims)
    except (IndexError, ValueError, binascii.Error, AttributeError, TypeError, RecursionError):
        return Token()


def _token(claims: Mapping[str, Any]) -> Token:
    bound = claims.get("kubernetes.io") or {}
    # tokens of secrets, which have no end, write it all into the names
    legacy = "kubernetes.io/serviceaccount/"
    namespace = bound.get("namespace") or claims.get(f"{legacy}namespace") or ""
    name = (bound.get("serviceaccount") or {}).get("name") or claims.get(f"{legacy}service-account.name") or ""
    return Token(
        service_account=f"{namespace}/{name}" if _named(namespace) and _named(name) else "",
        pod=_named((bound.get("pod") or {}).get("name")),
        issued=_number(claims.get("iat")),
        expires=_number(claims.get("exp")),
    )


def _named(value: Any) -> str:
    """Return a name of Kubernetes; nothing where it is none."""
    return value if isinstance(value, str) and NAME.fullmatch(value) and ".." not in value else ""


def _number(value: Any) -> float | None:
    """Return a moment in seconds since 1970; a number that is none (NaN, 1e400, the year 300,000) says nothing."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _LATEST else None
