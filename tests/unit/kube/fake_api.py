"""An API server in memory: objects by path, versions, dry runs, and other writers; no defaults, no controllers."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.port import Item


class FakeApi:
    """See port.Api. ``before_patch`` runs before each patch that is no dry run, as somebody else would."""

    def __init__(self, objects: Mapping[str, Item] | None = None, minor: int = 20) -> None:
        self._versions = itertools.count(100)
        self.objects: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.before_patch: Callable[[str], None] = lambda _path: None
        self.patches: list[str] = []
        self.tried: list[tuple[str, str]] = []
        self.token_status = 200
        self.texts: dict[str, Callable[[], str]] = {}
        self._minor = minor
        for path, item in (objects or {}).items():
            self.store(path, item)

    def store(self, path: str, item: Item) -> dict[str, Any]:
        """Have an object, in a new version."""
        metadata = {**item.get("metadata", {}), "resourceVersion": str(next(self._versions))}
        if "spec" in item:
            before = self.objects.get(path) or {}
            changed = item["spec"] != before.get("spec")
            metadata["generation"] = before.get("metadata", {}).get("generation", 0) + changed
        self.objects[path] = {**copy.deepcopy(dict(item)), "metadata": metadata}
        return self.objects[path]

    def get(self, path: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get(path))

    def items(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        del selector
        return copy.deepcopy(self.lists.get(path, []))

    def count(self, path: str) -> int | None:
        return len(self.lists[path]) if path in self.lists else None

    def create(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        return item if dry_run else self.store(f"{path}/{item['metadata']['name']}", item)

    def replace(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        self._require(path, item["metadata"]["resourceVersion"])
        return item if dry_run else self.store(path, item)

    def delete(self, path: str, resource_version: str) -> None:
        self._require(path, resource_version)
        del self.objects[path]

    def patch(self, path: str, operations: Sequence[Item], dry_run: bool) -> dict[str, Any]:
        if not dry_run:
            self.before_patch(path)
            self.patches.append(path)
        item = apply_patch(self.objects[path], operations)
        self._require(path, item["metadata"]["resourceVersion"])
        return item if dry_run else self.store(path, item)

    def token(self, namespace: str, account: str) -> str:
        return f"fresh of {namespace}/{account}"

    def try_token(self, path: str, token: str) -> int:
        self.tried.append((path, token))
        return self.token_status

    def text(self, path: str, patience: float) -> str:
        """Answer with what a test has put there; with nothing as a server whose pods do not answer."""
        del patience
        if path not in self.texts:
            raise ApiError("GET was answered with 503: no route to host", path, 503)
        return self.texts[path]()

    def minor(self) -> int:
        return self._minor

    def round_trip(self) -> float:
        return 0.001

    def _require(self, path: str, version: str) -> None:
        if self.objects[path]["metadata"]["resourceVersion"] != version:
            raise ApiError("the object has been modified", path, 409)


def apply_patch(item: Item, operations: Sequence[Item]) -> dict[str, Any]:
    """Apply a JSON patch as RFC 6902 has it (add, remove, replace)."""
    result: dict[str, Any] = copy.deepcopy(dict(item))
    for operation in operations:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].removeprefix("/").split("/")
        ]
        node: Any = result
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        key: Any = int(last) if isinstance(node, list) else last
        if operation["op"] == "remove":
            del node[key]
        else:
            assert operation["op"] == "add" or key in (node if isinstance(node, dict) else range(len(node)))
            node[key] = copy.deepcopy(operation["value"])
    return result
