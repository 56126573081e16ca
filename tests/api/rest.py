"""Plain JSON over HTTPS with an API server, for what stands in for kubelets: kubectl takes 0.1 s of a core a call."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit


class RestError(Exception):
    """The API server answered with an error; status is HTTP's, 0 where it gave no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Rest:
    """An API server, for one thread and until the end of a `with`. Each call raises RestError."""

    def __init__(self, url: str, ca: str, token: str) -> None:
        address = urlsplit(url).netloc
        self._line = http.client.HTTPSConnection(address, timeout=10, context=ssl.create_default_context(cadata=ca))
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __enter__(self) -> Rest:
        return self

    def __exit__(self, *_error: object) -> None:
        self._line.close()

    def __call__(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call it once and return what it says."""
        try:
            self._line.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = self._line.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._line.close()  # the next call connects anew
            raise RestError(0, str(error)) from error
        if answer.status // 100 != 2:
            raise RestError(answer.status, str(told.get("message")))
        return dict(told)

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the items of a list."""
        return list(self("GET", path).get("items") or [])
