"""Places inside objects, and patches between them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import places
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kube.fake_api import apply_patch

POD = {
    "containers": [
        {"name": "a", "n": 1, "args": ["--x", "run", "--y=1", "-z", "--y=2"]},
        {"name": "b", "env": [{"name": "X", "value": "1"}]},
    ],
    "empty": {},
}

names = st.text(alphabet="ab/~. ", max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | names,
    lambda child: st.lists(child, max_size=3) | st.dictionaries(names, child, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=4)


@given(st.lists(names, min_size=1))
def test_a_place_is_read_as_it_was_written(parts: list[str]) -> None:
    assert list(places.parts(places.pointer(*parts))) == parts


@given(objects, objects)
def test_a_patch_turns_one_object_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    before.pop("metadata", None)
    assert apply_patch(before, places.json_patch(before, after)) == after


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/containers/a/n", 1),
        ("/containers/b/env/X", {"name": "X", "value": "1"}),
        ("/containers/b/env/X/value", "1"),
        ("/containers/a/args/--x", "--x"),
        ("/containers/a/args/--y", "--y=2"),
        ("/containers/a/args/-z", "-z"),
        ("/containers/a/args/run", None),
        ("/containers/a/args/--w", None),
        ("/containers/c/n", None),
        ("/containers/a/n/deeper", None),
        ("/no/such", None),
    ],
)
def test_get(place: str, value: Any) -> None:
    assert places.get(POD, place) == value


@pytest.mark.parametrize(
    "place",
    [
        "/containers/a/probe/timeout", "/containers/c/n", "/containers/b/env/Y", "/spec/containers/d/env/Z", "/deep/er",
        "/annotations/nodeward.calico~1veth-mtu",
    ],
)  # fmt: skip
def test_what_was_put_is_there_and_taking_it_out_leaves_nothing(place: str) -> None:
    before = copy.deepcopy(POD)
    value = {"name": places.parts(place)[-1], "value": "v"}
    changed = places.put(POD, place, value)
    assert places.get(changed, place) == value
    assert places.put(changed, place, None) == POD == before


def test_a_flag_is_put_beside_the_others_and_taken_out_again() -> None:
    for place in ("/containers/a/args/--w", "/containers/b/args/--w"):
        changed = places.put(POD, place, "--w=3")
        assert places.get(changed, place) == "--w=3"
        assert places.put(changed, place, None) == POD
    replaced = places.put(POD, "/containers/a/args/--x", "--x=4")
    assert places.get(replaced, "/containers/a/args") == ["--x=4", "run", "--y=1", "-z", "--y=2"]


def test_what_is_next_to_it_stays() -> None:
    changed = places.put(POD, "/containers/b/env/X/value", None)
    assert [each["name"] for each in changed["containers"]] == ["a"], "an element that only has its name goes with it"
    kept = places.put({"a": {"b": 1, "c": 2}}, "/a/b", None)
    assert kept == {"a": {"c": 2}}
    assert places.put(POD, "/not/there", None) == POD


def test_a_patch_is_bound_to_the_version_that_was_read() -> None:
    before = {"metadata": {"resourceVersion": "7"}, "spec": {"a": 1}}
    bound = {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert places.json_patch(before, places.put(before, "/spec/a", 2)) == [
        bound,
        {"op": "replace", "path": "/spec/a", "value": 2},
    ]
    assert places.json_patch(before, before) == []


def test_flat() -> None:
    assert places.flat(POD) == {
        "/containers/a/name": "a",
        "/containers/a/n": 1,
        "/containers/a/args": ["--x", "run", "--y=1", "-z", "--y=2"],
        "/containers/b/name": "b",
        "/containers/b/env/X/name": "X",
        "/containers/b/env/X/value": "1",
        "/empty": {},
    }
