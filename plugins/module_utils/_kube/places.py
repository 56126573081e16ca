# Private to the collection nodeward.calico: may change in any release.
"""Places inside API objects, written like JSON pointers (RFC 6901), and the JSON patch between two states; pure.

In a list a place names the element by its ``name``, as Kubernetes' own merges do (containers, env):
``/spec/template/spec/containers/calico-node/livenessProbe/timeoutSeconds``. In a list of words, as the args of a
container, it names a flag by what stands before its value: ``.../args/--web.listen-address``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

# Lists of named elements that have to be made where they are not there yet.
_LISTS = ("containers", "initContainers", "env", "args", "volumes", "volumeMounts")


def pointer(*parts: str) -> str:
    """Return the text of a place."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def parts(place: str) -> tuple[str, ...]:
    """Return the parts of a place: the inverse of ``pointer``."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:])


def get(item: Any, place: str) -> Any:
    """Return what is at a place, None where nothing is."""
    for part in parts(place):
        item = _child(item, part)
        if item is None:
            return None
    return item


def put(item: Mapping[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Return the object with this value at the place; None removes it, and parents that it leaves empty."""
    changed: dict[str, Any] = copy.deepcopy(dict(item))
    if value is None:
        _remove(changed, parts(place))
        return changed
    *parents, last = parts(place)
    node: Any = changed
    for part in parents:
        node = _made(node, part)
    _set(node, last, value)
    return changed


def json_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the operations that turn ``before`` into ``after``, bound to the version of ``before``.

    The server answers 409 where the object has another version by then: setting metadata.resourceVersion asks for that.
    """
    operations = list(_differences(before, after, ""))
    version = (before.get("metadata") or {}).get("resourceVersion")
    if operations and version is not None:
        operations.insert(0, {"op": "replace", "path": "/metadata/resourceVersion", "value": version})
    return operations


def _child(node: Any, part: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(part)
    if isinstance(node, list):
        # of two with one name the last wins, as in the environment of a container
        return next((each for each in reversed(node) if _is_called(each, part)), None)
    return None


def _is_called(element: Any, part: str) -> bool:
    """Tell whether a place means this element of a list by ``part``."""
    if isinstance(element, str):
        return element.startswith("-") and element.partition("=")[0] == part
    return isinstance(element, Mapping) and element.get("name") == part


def _made(node: Any, part: str) -> Any:
    """Return the child of this name, made where it is not there."""
    child = _child(node, part)
    if child is None:
        child = {"name": part} if isinstance(node, list) else [] if part in _LISTS else {}
        _set(node, part, child)
    return child


def _set(node: Any, part: str, value: Any) -> None:
    if isinstance(node, dict):
        node[part] = value
        return
    for index, each in reversed(list(enumerate(node))):
        if _is_called(each, part):
            node[index] = value
            return
    node.append(value)


def _remove(node: Any, way: tuple[str, ...]) -> None:
    child = _child(node, way[0])
    if child is None:
        return
    if len(way) > 1:
        _remove(child, way[1:])
        if child and child != {"name": way[0]}:
            return
    if isinstance(node, dict):
        del node[way[0]]
    else:
        node[:] = [each for each in node if not _is_called(each, way[0])]


def _differences(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            place = path + pointer(key)
            if key not in after:
                yield {"op": "remove", "path": place}
            elif key not in before:
                yield {"op": "add", "path": place, "value": after[key]}
            else:
                yield from _differences(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after)):
            yield from _differences(*pair, f"{path}/{index}")
    elif before != after:
        yield {"op": "replace", "path": path, "value": after}


def flat(node: Any, place: str = "") -> dict[str, Any]:
    """Return what stands at each place: numbers, texts, and lists of them."""
    children: list[tuple[str, Any]] = []
    if isinstance(node, Mapping):
        children = [(str(key), child) for key, child in node.items()]
    elif isinstance(node, list) and node and all(isinstance(each, Mapping) and "name" in each for each in node):
        children = [(str(each["name"]), each) for each in node]
    if not children:
        return {place: node}
    return {where: leaf for name, child in children for where, leaf in flat(child, place + pointer(name)).items()}
