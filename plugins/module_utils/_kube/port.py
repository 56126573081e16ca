# Private to the collection nodeward.calico: may change in any release.
"""What the cluster's modules ask of an API server; api.py answers it for real, tests with objects in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Item = Mapping[str, Any]


class Objects(Protocol):
    """Objects by their path in the API; a dry run does all but store. Errors are ApiError, which has HTTP's status."""

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object, None where there is none."""

    def create(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Create an object in a collection; status 409 where there is one."""

    def replace(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Replace an object; status 409 where its resourceVersion is not the present one."""

    def delete(self, path: str, resource_version: str) -> None:
        """Delete an object that is still of this version; it is no error when it is gone."""


class Api(Objects, Protocol):
    """What a change of Calico's own objects needs besides."""

    def items(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a collection, those that a selector of labels means (as kubectl's --selector has it);
        none where the server does not know the collection.
        """

    def count(self, path: str) -> int | None:
        """Return how many objects a collection has, None where the server does not know it."""

    def patch(self, path: str, operations: Sequence[Item], dry_run: bool) -> dict[str, Any]:
        """Apply a JSON patch (RFC 6902) and return the object; a dry run does all but store it."""

    def token(self, namespace: str, account: str) -> str:
        """Return a fresh token of a service account, for ten minutes; nothing is stored."""

    def try_token(self, path: str, token: str) -> int:
        """Return HTTP's status for a GET with this token and nothing else that says who asks."""

    def text(self, path: str, patience: float) -> str:
        """Return what a GET is answered with, whatever it is, within so many seconds."""

    def minor(self) -> int:
        """Return the minor version of Kubernetes 1.N."""

    def round_trip(self) -> float:
        """Return how long a small request takes, in seconds, the shortest of a few."""
