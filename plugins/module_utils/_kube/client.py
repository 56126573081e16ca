# Private to the collection nodeward.calico: may change in any release.
"""The few requests to an API server that a node makes by itself, without kubectl or a Kubernetes library."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from .._core.errors import NodewardError
from .._core.host import Host
from .kubeconfig import Access

_Read = TypeVar("_Read")

# What managedFields says of our changes.
MANAGER = "nodeward.calico"


class ApiError(NodewardError):
    """An answer other than yes; ``status`` is HTTP's."""

    def __init__(
        self, what: str, where: str, status: int, remedy: str = "See what the API server says of it and who may do it"
    ) -> None:
        super().__init__(what, where, remedy)
        self.status = status


def is_passing(error: NodewardError) -> bool:
    """Tell whether waiting may help: nobody answered, or a server that is busy or restarts."""
    status = error.status if isinstance(error, ApiError) else 0
    return status in (0, 429) or status >= 500


def allowed(read: Callable[[], _Read]) -> _Read | None:
    """Return what was read, None where the user may not: it is no reason to ask for more rights. Raises ApiError."""
    try:
        return read()
    except ApiError as error:
        if error.status != 403:
            raise
        return None


class Client:
    """An API server through the host port."""

    def __init__(self, host: Host, access: Access) -> None:
        self._host = host
        self._access = access

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object, None where there is none. Raises NodewardError."""
        try:
            return self._call("GET", path, None)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Create an object in a collection. Raises ApiError with status 409 where there is one."""
        return self._call("POST", path + _query(dry_run), item)

    def replace(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Replace an object. Raises ApiError with status 409 where its resourceVersion is not the present one."""
        return self._call("PUT", path + _query(dry_run), item)

    def delete(self, path: str, resource_version: str) -> None:
        """Delete an object that is still of this version; it is no error when it is gone. Raises ApiError."""
        try:
            self._call("DELETE", path, {"preconditions": {"resourceVersion": resource_version}})
        except ApiError as error:
            if error.status != 404:
                raise

    def _call(self, method: str, path: str, item: dict[str, Any] | None) -> dict[str, Any]:
        answer = self._host.send_http(self._access.request(path, method, None if item is None else json.dumps(item)))
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if answer.status // 100 != 2 or not isinstance(told, dict):
            message = told.get("message") if isinstance(told, dict) else None
            raise ApiError(f"{method} was answered with {answer.status}: {message or 'no JSON'}", path, answer.status)
        return told


def _query(dry_run: bool) -> str:
    return f"?fieldManager={MANAGER}" + "&dryRun=All" * dry_run
