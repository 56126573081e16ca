"""Flags and variables in the files of others: the smallest edit, and everything else as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import (
    FORMATS,
    UnsureError,
    env,
    env_switch,
    flag_words,
    unit_flags,
    yaml_block,
)
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats.several import joined, parted
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.etcd_files import BEAT, DEBIAN, K3S, KUBESPRAY, MANIFEST, UNIT

WORDS: list[tuple[str, str, str | None, str | None, str]] = [
    ("behind =", "etcd --heartbeat-interval=100 -x", "100", "250", "etcd --heartbeat-interval=250 -x"),
    ("behind a blank", "etcd --heartbeat-interval  100", "100", "250", "etcd --heartbeat-interval  250"),
    ("one dash", "etcd -heartbeat-interval=100", "100", "250", "etcd -heartbeat-interval=250"),
    ("the last of two wins", "--heartbeat-interval=1 --heartbeat-interval=2", "2", "3",
     "--heartbeat-interval=1 --heartbeat-interval=3"),
    ("not there", "etcd --name a\n", None, "250", "etcd --name a --heartbeat-interval=250\n"),
    ("nothing at all", "", None, "250", "--heartbeat-interval=250"),
    ("another that ends so", "--my-heartbeat-interval=1", None, "2",
     "--my-heartbeat-interval=1 --heartbeat-interval=2"),
    ("another that begins so", "--heartbeat-interval-x=1", None, "2",
     "--heartbeat-interval-x=1 --heartbeat-interval=2"),
    ("taken away", "a --heartbeat-interval=1 b", "1", None, "a b"),
    ("the first one taken away", "--heartbeat-interval=1 b", "1", None, "b"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "before", "value", "after"), [c[1:] for c in WORDS], ids=[c[0] for c in WORDS])
def test_a_flag_among_words(line, before, value, after):
    assert flag_words.get(line, BEAT) == before
    assert flag_words.put(line, BEAT, value) == after


@pytest.mark.parametrize(
    "line",
    ['--heartbeat-interval="100"', '"--heartbeat-interval=100"', "--heartbeat-interval=$BEAT", "--heartbeat-interval"],
)
def test_a_flag_that_is_quoted_expanded_or_empty_is_left_to_a_person(line):
    with pytest.raises(UnsureError, match="quotes"):
        flag_words.put(line, BEAT, "250")


def test_only_plain_words_are_written():
    with pytest.raises(UnsureError, match="plain"):
        flag_words.put("etcd", BEAT, "250 --name=b")
    with pytest.raises(UnsureError, match="more than once"):
        flag_words.put("--heartbeat-interval=1 --heartbeat-interval=2", BEAT, None)


VARIABLES: list[tuple[str, str, str, str | None, str | None, str]] = [
    ("kubespray's", KUBESPRAY, "ETCD_HEARTBEAT_INTERVAL", "100", "250",
     KUBESPRAY.replace("INTERVAL=100", "INTERVAL=250")),
    ("a comment sets nothing", DEBIAN, "ETCD_HEARTBEAT_INTERVAL", None, "250",
     DEBIAN + "ETCD_HEARTBEAT_INTERVAL=250\n"),
    ("the last one wins", "A=1\nA=2\n", "A", "2", "3", "A=1\nA=3\n"),
    ("CRLF", "A=1\r\nB=2\r\n", "A", "1", "3", "A=3\r\nB=2\r\n"),
    ("CRLF, a new one", "B=2\r\n", "A", None, "3", "B=2\r\nA=3\r\n"),
    ("no line end", "B=2", "A", None, "3", "B=2\nA=3"),
    ("a flag in a variable", DEBIAN, "DAEMON_ARGS:election-timeout", "1000", "5000",
     DEBIAN.replace("1000", "5000")),
    ("a new flag in a variable", DEBIAN, "DAEMON_ARGS:heartbeat-interval", None, "250",
     DEBIAN.replace("1000", "1000 --heartbeat-interval=250")),
    ("a flag in a variable without quotes", "D=--a=1\n", "D:b", None, "2", 'D="--a=1 --b=2"\n'),
    ("a flag in an empty variable", 'D=""\n', "D:b", None, "2", 'D="--b=2"\n'),
    ("what is no line of it", "export A=1\nA=2\n", "A", "2", "3", "export A=1\nA=3\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "before", "value", "after"), [c[1:] for c in VARIABLES], ids=[c[0] for c in VARIABLES]
)
def test_a_variable(text, key, before, value, after):
    assert env.get(text, key) == before
    assert env.put(text, key, value) == after
    assert env.put(after, key, value) == after
    if ":" not in key or before is not None:
        assert env.put(after, key, before) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=1 \\\n2\n", "line 1: it goes on"),
        ('A="1\n2"\n', "line 1: it is quoted in part"),
        ('B=1"2\nA=1\n', "line 1: it is quoted in part"),
    ],
)
def test_an_environment_file_that_may_mean_something_else(text, why):
    with pytest.raises(UnsureError, match=why):
        env.put(text, "A", "3")


def test_a_variable_that_is_set_twice_is_not_taken_away():
    with pytest.raises(UnsureError, match="second time"):
        env.put("A=1\nA=2\n", "A", None)
    with pytest.raises(UnsureError, match="no such variable"):
        env.put("A=1\n", "D:b", "2")
    assert env.put("A=1\n", "D:b", None) == "A=1\n"
    with pytest.raises(UnsureError, match="read back"):
        env.put("A=1\n", "A", "2 ")


def test_a_flag_of_a_unit_keeps_all_lines():
    assert unit_flags.get(UNIT, BEAT) == "100"
    assert unit_flags.put(UNIT, BEAT, "250") == UNIT.replace("=100", "=250")
    assert unit_flags.put(UNIT, BEAT, "2500") == UNIT.replace("=100", "=2500")
    added = unit_flags.put(UNIT, "election-timeout", "5000")
    assert added == UNIT.replace("/var/lib/etcd\n", "/var/lib/etcd --election-timeout=5000\n")
    assert unit_flags.put(added, "election-timeout", None) == UNIT


def test_a_drop_in_that_takes_back_the_command_first():
    drop_in = "[Service]\nExecStart=\nExecStart=/usr/bin/etcd --heartbeat-interval 100\n"
    assert unit_flags.put(drop_in, BEAT, "250") == drop_in.replace("100", "250")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[Service]\nType=simple\n", "0 lines"),
        ("[Service]\nExecStart=a\nExecStart=b\n", "2 lines"),
        ("[Service]\nExecStart=a \\\n# no\n --b\n", "a comment"),
    ],
)
def test_a_unit_whose_command_cannot_be_told(text, why):
    with pytest.raises(UnsureError, match=why):
        unit_flags.get(text, BEAT)


# --- several keys in one write ----------------------------------------------------------------------

BASES: dict[str, tuple[str, Callable[[str], str]]] = {
    "env": (KUBESPRAY, lambda name: "ETCD_" + name.upper().replace("-", "_")),
    "unit-flags": (UNIT, str),
    "pod-flags": (MANIFEST, str),
    "list-args": (K3S, lambda name: f"etcd-arg:{name}"),
    "yaml-keys": ("name: node1\nheartbeat-interval: 100 # ms\n", str),
}
NAMES = ("heartbeat-interval", "election-timeout", "snapshot-count")
COMMENTS = st.sampled_from(["", "\n", "# a comment\n", "\n# one\n\n# two\n"])


@pytest.mark.parametrize("kind", BASES)
@settings(max_examples=25)
@given(
    first=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**6).map(str), min_size=1),
    second=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**6).map(str), min_size=1),
    above=COMMENTS,
    crlf=st.booleans(),
)
def test_what_is_put_is_got_and_can_be_put_back(kind, first, second, above, crlf):
    base, named = BASES[kind]
    text = (above + base).replace("\n", "\r\n") if crlf else above + base
    if kind == "unit-flags":
        text = base.replace("\n", "\r\n") if crlf else base
    key = ",".join(named(name) for name in NAMES)
    before = FORMATS[kind].get(text, key)

    def with_values(values: dict[str, str]) -> str | None:
        every = {**parted(before), **{named(name): value for name, value in values.items()}}
        return joined({named(name): every[named(name)] for name in NAMES if named(name) in every})

    once = FORMATS[kind].put(text, key, with_values(first))
    assert FORMATS[kind].get(once, key) == with_values(first)
    assert FORMATS[kind].put(once, key, with_values(first)) == once
    assert FORMATS[kind].put(once, key, before) == text
    twice = FORMATS[kind].put(once, key, with_values(second))
    assert FORMATS[kind].put(twice, key, before) == text
    # no line of anybody else's moved
    of_others = [[line for line in each.splitlines() if not _is_ours(line)] for each in (text, twice)]
    assert of_others[0] == of_others[1] or kind == "unit-flags"


def _is_ours(line: str) -> bool:
    return any(name in line.lower().replace("_", "-") for name in NAMES) or line.startswith("etcd-arg")


def test_a_value_of_several_words_is_not_joined():
    with pytest.raises(UnsureError, match="single word"):
        FORMATS["env"].get('A="1 2"\n', "A")
    assert FORMATS["env"].get("A=1\n", "B,C") is None


def test_what_is_put_is_read_back():
    with pytest.raises(UnsureError, match="read back"):
        FORMATS["env"].put("A=1\n", "A,B", "B=2 A=1")


def test_a_key_of_yaml_is_that_of_the_single_format():
    text = FORMATS["yaml-keys"].put("name: a\n", "x,y", "x=1 y=2")
    assert (yaml_block.get(text, "x"), yaml_block.get(text, "y")) == ("1", "2")


# --- switches ---------------------------------------------------------------------------------------

SWITCHES = [
    ("an empty variable", 'A=""\n', None, 'A="--x.y"\n'),
    ("after others", "# c\nA='--b=\"^/(sys|proc)\"'\nB=1\n", None, "# c\nA='--b=\"^/(sys|proc)\" --x.y'\nB=1\n"),
    ("one whose name only begins so", 'A="--x.yz"\n', None, 'A="--x.yz --x.y"\n'),
    ("without quotes", "A=\n", None, "A=--x.y\n"),
    ("it is there", 'A="--x.y --b"\n', "on", 'A="--x.y --b"\n'),
]


@pytest.mark.parametrize(
    ("text", "before", "after"), [case[1:] for case in SWITCHES], ids=[case[0] for case in SWITCHES]
)
def test_a_switch(text, before, after):
    assert env_switch.get(text, "A:x.y") == before
    assert env_switch.put(text, "A:x.y", "on") == after
    assert env_switch.get(after, "A:x.y") == "on"
    assert env_switch.put(after, "A:x.y", before) == text


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("A=\n", "true", "nothing that a switch can be"),
        ('A="--no-x.y"\n', "on", "turns it off"),
        ("B=\n", "on", "no such variable"),
        ('A="--x.y --x.y"\n', None, "more than once"),
        ('A="--b\t--x.y"\n', None, "by itself"),
        ('A="1"2\n', "on", "quoted in part"),
    ],
)
def test_a_switch_that_is_left_to_a_person(text, value, why):
    with pytest.raises(UnsureError, match=why):
        env_switch.put(text, "A:x.y", value)


def test_a_switch_that_goes_leaves_the_rest():
    assert env_switch.put('A="--x.y --b"\n', "A:x.y", None) == 'A="--b"\n'
