"""interfaces(5): one option of a stanza, and everything else as it was."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import UnsureError
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats.interfaces import get, put, stanzas
from hypothesis import given
from hypothesis import strategies as st

DEBIAN = """\
# interfaces(5) file used by ifup(8) and ifdown(8)
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

# The uplink of this node
auto eth0
iface eth0 inet static
    address 192.0.2.4/24
    # the way out
    gateway 192.0.2.1

iface eth0 inet6 auto
\tmtu 1400
"""
KEY = "eth0/inet/mtu"


def test_an_option_is_added_behind_the_last_one_of_its_stanza():
    changed = put(DEBIAN, KEY, "1450")
    assert changed == DEBIAN.replace("gateway 192.0.2.1\n", "gateway 192.0.2.1\n    mtu 1450\n")
    assert get(changed, KEY) == "1450"
    assert put(changed, KEY, None) == DEBIAN


CASES: list[tuple[str, str, str, str]] = [
    ("a value that is there", "iface eth0 inet manual\n\tmtu  90 \n", "1500", "iface eth0 inet manual\n\tmtu  1500 \n"),
    ("a stanza without options", "iface eth0 inet manual", "1500", "iface eth0 inet manual\n    mtu 1500"),
    ("its tabs", "iface eth0 inet manual\n\tup x\n", "1500", "iface eth0 inet manual\n\tup x\n\tmtu 1500\n"),
    ("another stanza behind it", "iface eth0 inet manual\nauto eth1\n", "1500",
     "iface eth0 inet manual\n    mtu 1500\nauto eth1\n"),
    ("the second stanza has it", "iface eth0 inet manual\niface eth0 inet static\n mtu 1\n", "2",
     "iface eth0 inet manual\niface eth0 inet static\n mtu 2\n"),
    ("another that begins so", "iface eth0 inet manual\n mtux 1\n", "2", "iface eth0 inet manual\n mtux 1\n mtu 2\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "changed"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_smallest_edit(text, value, changed):
    assert put(text, KEY, value) == changed
    assert put(changed, KEY, get(text, KEY)) == text


UNSURE: list[tuple[str, str, str]] = [
    ("a line that goes on", "iface eth0 inet static\n address \\\n 192.0.2.1\n", "line 2: it goes on"),
    ("set twice", "iface eth0 inet static\n mtu 1\n mtu 2\n", "line 3: mtu is set a second time"),
    ("no value", "iface eth0 inet static\n mtu\n", "line 2: mtu has no value"),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in UNSURE], ids=[case[0] for case in UNSURE])
def test_what_may_mean_something_else_is_not_touched(text, told):
    with pytest.raises(UnsureError) as unsure:
        get(text, KEY)
    assert told in str(unsure.value)
    with pytest.raises(UnsureError) as unsure:
        put(text, KEY, "1500")
    assert told in str(unsure.value)


NOT_SETTABLE: list[tuple[str, str, str | None, str, str]] = [
    ("no such stanza", "iface eth1 inet static\n", None, "iface eth1 inet static\n",
     "line 1: there is no 'iface eth0 inet'"),
    ("only another family", "iface eth0 inet6 static\n mtu 1\n", None, "iface eth0 inet6 static\n mtu 1\n",
     "there is no 'iface eth0 inet'"),
    ("it inherits", "iface eth0 inet static inherits base\n", None, "iface eth0 inet static inherits base\n",
     "line 1: it inherits from another stanza"),
    ("it inherits and sets it", "auto eth0\niface eth0 inet static inherits base\n mtu 1\n", "1",
     "auto eth0\niface eth0 inet static inherits base\n", "line 2: it inherits from another stanza"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "without", "told"), [c[1:] for c in NOT_SETTABLE], ids=[c[0] for c in NOT_SETTABLE]
)
def test_what_cannot_be_set_can_be_read_and_taken_away(text, value, without, told):
    assert get(text, KEY) == value
    assert put(text, KEY, None) == without
    with pytest.raises(UnsureError) as unsure:
        put(text, KEY, "1500")
    assert told in str(unsure.value)


def test_a_stanza_inherits_with_and_without_a_family():
    heads = ["iface a inet static inherits base", "iface a inherits base", "iface inherits inet static"]
    assert [s.inherits for s in stanzas("\n".join(heads))] == [True, True, False]


def test_stanzas_as_they_are():
    assert [(s.name, s.family, s.method, len(s.options)) for s in stanzas(DEBIAN)] == [
        ("lo", "inet", "loopback", 0),
        ("eth0", "inet", "static", 2),
        ("eth0", "inet6", "auto", 1),
    ]
    assert stanzas("iface\n") == stanzas("iface\n")
    assert stanzas("mapping eth0\n script x\n") == []


lines = st.sampled_from(
    [
        "",
        "# a",
        "auto eth0",
        "iface eth0 inet static",
        "iface eth1 inet manual",
        "  address 1",
        "\tup x",
        "  #",
        "source x",
    ]
)


@given(st.lists(lines, max_size=12).map("\n".join), st.integers(68, 65535).map(str), st.integers(68, 65535).map(str))
def test_going_there_and_back_gives_the_old_text(text, first, second):
    try:
        before, changed = get(text, KEY), put(text, KEY, first)
    except UnsureError:
        return
    assert get(changed, KEY) == first
    assert put(changed, KEY, before) == text
    assert get(put(changed, KEY, second), KEY) == second
