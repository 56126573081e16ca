"""Tokens of service accounts that an API server would have made at another time, signed with its own key."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.api.server import ISSUER, ApiServer


def signed(api: ApiServer, namespace: str, account: str, age: float, life: float) -> str:
    """Return a token that was issued `age` seconds ago for `life` seconds: an expired one is not to be had else."""
    text = api.kubectl("get", "serviceaccount", account, f"--namespace={namespace}", "--output=json")
    issued = int(time.time() - age)
    claims = {
        "iss": ISSUER, "aud": [ISSUER], "sub": f"system:serviceaccount:{namespace}:{account}",
        "iat": issued, "nbf": issued, "exp": int(issued + life),
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": account, "uid": json.loads(text)["metadata"]["uid"]},
        },
    }  # fmt: skip
    body = f"{_part({'alg': 'ES256', 'typ': 'JWT'})}.{_part(claims)}"
    key = serialization.load_pem_private_key(api.accounts_key.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    numbers = decode_dss_signature(key.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{body}.{_base64(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _part(value: Any) -> str:
    return _base64(json.dumps(value).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
