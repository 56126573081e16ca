"""Flags in the YAML of others, a static pod's and k3s's: the smallest edit, and everything else as it was."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import UnsureError, list_args, pod_flags

from tests.unit.core.etcd_files import BEAT, K3S, MANIFEST

MANIFESTS: list[tuple[str, str, str, str | None, str, str]] = [
    ("kubeadm's", MANIFEST, BEAT, "100", "250", MANIFEST.replace("interval=100", "interval=250")),
    ("a new flag", MANIFEST, "election-timeout", None, "5000",
     MANIFEST.replace("count=10000\n", "count=10000\n    - --election-timeout=5000\n")),
    ("CRLF", MANIFEST.replace("\n", "\r\n"), "election-timeout", None, "5000",
     MANIFEST.replace("count=10000\n", "count=10000\n    - --election-timeout=5000\n").replace("\n", "\r\n")),
    ("quotes", MANIFEST.replace("--heartbeat-interval=100", '"--heartbeat-interval=100"'), BEAT, "100", "250",
     MANIFEST.replace("--heartbeat-interval=100", '"--heartbeat-interval=250"')),
    ("a value of its own", MANIFEST.replace("interval=100", 'interval\n    - "100"'), BEAT, "100", "250",
     MANIFEST.replace("interval=100", 'interval\n    - "250"')),
    ("the last of two wins", MANIFEST.replace("    - --name", "    - --heartbeat-interval=7\n    - --name"), BEAT, "7",
     "250", MANIFEST.replace("    - --name", "    - --heartbeat-interval=250\n    - --name")),
    ("a comment behind it", MANIFEST.replace("interval=100", "interval=100 # fast"), BEAT, "100", "250",
     MANIFEST.replace("interval=100", "interval=250 # fast")),
    ("arguments beside the command", MANIFEST.replace("    - etcd\n", "    - etcd\n    args:\n"), BEAT, "100", "250",
     MANIFEST.replace("    - etcd\n", "    - etcd\n    args:\n").replace("interval=100", "interval=250")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "before", "value", "after"), [c[1:] for c in MANIFESTS], ids=[c[0] for c in MANIFESTS]
)
def test_a_flag_of_a_static_pod(text, key, before, value, after):
    assert pod_flags.get(text, key) == before
    assert pod_flags.put(text, key, value) == after
    assert pod_flags.put(after, key, value) == after
    assert pod_flags.put(after, key, before) == text
    loaded = yaml.safe_load(after)["spec"]["containers"][0]
    old = yaml.safe_load(text)["spec"]["containers"][0]
    words = [*loaded["command"], *loaded.get("args", [])]
    assert all(isinstance(word, str) for word in words)
    assert f"--{key}={value}" in words or words[words.index(f"--{key}") + 1] == value
    assert {**loaded, "command": [], "args": []} == {**old, "command": [], "args": []}


def test_a_flag_with_its_own_value_is_taken_away_whole():
    text = MANIFEST.replace("interval=100", 'interval\n    - "100"')
    assert pod_flags.put(text, BEAT, None) == MANIFEST.replace("    - --heartbeat-interval=100\n", "")


def test_the_container_is_that_of_etcd():
    beside = "  containers:\n  - command: [sleep]\n    name: sidecar\n"
    assert pod_flags.get(MANIFEST.replace("  containers:\n", beside), BEAT) == "100"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("    - etcd\n", "    - /bin/sh\n", "a shell"),
        ("--heartbeat-interval=100", "--heartbeat-interval", "has no value"),
        ("  - command:\n    - etcd\n", "  - command: [etcd]\n    args:\n    - a\n", "no list of one word"),
        ("    name: etcd\n    res", "    name: a\n  - name: b\n    res", "none that is the main one"),
        ("    - etcd\n", "    - |\n      etcd\n", "no single word"),
        ("    - --name=node1\n", "    - a: b\n", "no single word"),
        ("  - command:", "  - other:", "no command"),
    ],
)
def test_a_manifest_that_is_left_to_a_person(old, new, why):
    assert old in MANIFEST
    with pytest.raises(UnsureError, match=why):
        pod_flags.put(MANIFEST.replace(old, new, 1), BEAT, "250")


def test_a_pod_flag_is_a_plain_word_and_taken_away_only_where_it_stands_once():
    with pytest.raises(UnsureError, match="plain"):
        pod_flags.put(MANIFEST, BEAT, "2 5")
    twice = MANIFEST.replace("    - --name", "    - --heartbeat-interval=7\n    - --name")
    with pytest.raises(UnsureError, match="more than once"):
        pod_flags.put(twice, BEAT, None)


LISTS: list[tuple[str, str, str, str | None, str, str]] = [
    ("an item", K3S, BEAT, "500", "250", K3S.replace("=500", "=250")),
    ("a new item", K3S, "election-timeout", None, "5000",
     K3S.replace("4294967296\n", "4294967296\n  - election-timeout=5000\n")),
    ("a new list", "tls-san: a\n", BEAT, None, "250", "tls-san: a\netcd-arg:\n  - heartbeat-interval=250\n"),
    ("a new list, no line end", "tls-san: a", BEAT, None, "250", "tls-san: a\netcd-arg:\n  - heartbeat-interval=250"),
    ("a file of comments", "# k3s\n", BEAT, None, "250", "# k3s\netcd-arg:\n  - heartbeat-interval=250\n"),
    ("an empty file", "", BEAT, None, "250", "etcd-arg:\n  - heartbeat-interval=250\n"),
    ("a single word", "etcd-arg: heartbeat-interval=1\n", BEAT, "1", "250", "etcd-arg: heartbeat-interval=250\n"),
    ("with dashes", "etcd-arg:\n- --heartbeat-interval=1\n", BEAT, "1", "2", "etcd-arg:\n- --heartbeat-interval=2\n"),
    ("CRLF", "etcd-arg:\r\n- a=1\r\n", BEAT, None, "2", "etcd-arg:\r\n- a=1\r\n- heartbeat-interval=2\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "item", "before", "value", "after"), [c[1:] for c in LISTS], ids=[c[0] for c in LISTS]
)
def test_an_item_of_a_list(text, item, before, value, after):
    key = f"etcd-arg:{item}"
    assert list_args.get(text, key) == before
    assert list_args.put(text, key, value) == after
    assert list_args.put(after, key, value) == after
    if text:
        assert list_args.put(after, key, before) == text
    loaded = yaml.safe_load(after)["etcd-arg"]
    assert f"{item}={value}" in [word.lstrip("-") for word in ([loaded] if isinstance(loaded, str) else loaded)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("etcd-arg: [a=1]\n", "no list of one word"),
        ("etcd-arg: a=1\n", "would have to become a list"),
        ("etcd-arg:\nother: 1\n", "is empty"),
        ("etcd-arg:\n- a:\n    b: 1\n", "no list of one word"),
        ("x: |\n  text", "has no line end"),
    ],
)
def test_a_list_that_is_left_to_a_person(text, why):
    with pytest.raises(UnsureError, match=why):
        list_args.put(text, f"etcd-arg:{BEAT}", "250")


def test_an_item_is_a_plain_word_and_taken_away_only_where_it_stands_once():
    with pytest.raises(UnsureError, match="plain"):
        list_args.put(K3S, f"etcd-arg:{BEAT}", "a b")
    with pytest.raises(UnsureError, match="more than once"):
        list_args.put(K3S.replace("quota-backend-bytes", BEAT), f"etcd-arg:{BEAT}", None)
