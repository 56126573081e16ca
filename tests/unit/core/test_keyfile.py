"""Profiles of NetworkManager: one key of a section, and everything else as it was."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import UnsureError
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats.keyfile import OWN_SECTION, get, put
from hypothesis import given
from hypothesis import strategies as st

KEY = "ethernet/mtu"
OWN = f"\n{OWN_SECTION}\n[ethernet]\nmtu=1400"

CASES: list[tuple[str, str, str]] = [
    ("a value that is there", "[ethernet]\nmtu=1500\nx=1\n", "[ethernet]\nmtu=1400\nx=1\n"),
    ("its spaces", "[ethernet]\n  mtu = 1500 \n", "[ethernet]\n  mtu = 1400 \n"),
    ("an empty section", "[connection]\nid=a\n\n[ethernet]\n\n[ipv4]\n",
     "[connection]\nid=a\n\n[ethernet]\nmtu=1400\n\n[ipv4]\n"),
    ("a section with other keys", "[ethernet]\n# why\nx=1\n", "[ethernet]\nmtu=1400\n# why\nx=1\n"),
    ("a comment that names it", "[ethernet]\n#mtu=1\n", "[ethernet]\nmtu=1400\n#mtu=1\n"),
    ("the same key elsewhere", "[ipv6]\nmtu=1\n[ethernet]\n", "[ipv6]\nmtu=1\n[ethernet]\nmtu=1400\n"),
    ("a key that begins so", "[ethernet]\nmtux=1\n", "[ethernet]\nmtu=1400\nmtux=1\n"),
    ("a section that is the last line", "[ethernet]", "[ethernet]\nmtu=1400"),
    ("no such section", "[connection]\nid=a\n", f"[connection]\nid=a\n{OWN}\n"),
    ("no such section, no line end", "[connection]\nid=a", f"[connection]\nid=a\n{OWN}"),
    ("nothing", "", f"{OWN}\n"),
    ("CRLF", "[ethernet]\r\nx=1\r\n", "[ethernet]\r\nmtu=1400\r\nx=1\r\n"),
    ("CRLF, a value that is there", "[ethernet]\r\nmtu=9\r\n", "[ethernet]\r\nmtu=1400\r\n"),
    ("CRLF, no such section", "[connection]\r\nid=a\r\n", ("[connection]\nid=a\n" + OWN + "\n").replace("\n", "\r\n")),
    ("bytes that are no text", "[connection]\nid=\udce9\n[ethernet]\n",
     "[connection]\nid=\udce9\n[ethernet]\nmtu=1400\n"),
    ("values with all sorts of signs", "[wifi]\npsk=[a]=#b;\n[ethernet]\n",
     "[wifi]\npsk=[a]=#b;\n[ethernet]\nmtu=1400\n"),
    ("keys of a language", "[connection]\nid[de]=a\n[ethernet]\n", "[connection]\nid[de]=a\n[ethernet]\nmtu=1400\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "changed"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_smallest_edit_and_its_way_back(text, changed):
    assert put(text, KEY, "1400") == changed
    assert get(changed, KEY) == "1400"
    assert put(changed, KEY, get(text, KEY)) == text


UNSURE: list[tuple[str, str, str]] = [
    ("set twice", "[ethernet]\nmtu=1\nmtu=2\n", "line 3: mtu is set a second time"),
    ("the section twice", "[ethernet]\nmtu=1\n[ipv4]\n[ethernet]\n", "line 4: [ethernet] is there a second time"),
    ("a line that is neither", "[ethernet]\nmtu\n", "line 2: it is neither"),
    ("a key before all sections", "mtu=1\n[ethernet]\n", "line 1: it is neither"),
    ("a header without an end", "[ethernet\nmtu=1\n", "line 1: it is neither"),
    ("another format", "TYPE=Ethernet\nMTU=1500\n", "line 1: it is neither"),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in UNSURE], ids=[case[0] for case in UNSURE])
def test_what_may_mean_something_else_is_not_touched(text, told):
    with pytest.raises(UnsureError) as unsure:
        get(text, KEY)
    assert told in str(unsure.value)
    for value in ("1400", None):
        with pytest.raises(UnsureError) as unsure:
            put(text, KEY, value)
        assert told in str(unsure.value)


def test_no_error_tells_what_a_line_holds():
    with pytest.raises(UnsureError) as unsure:
        get("[wifi-security]\npsk hunter2\n", KEY)
    assert "hunter2" not in str(unsure.value)


@pytest.mark.parametrize("key", ["mtu", "/mtu", "ethernet/"])
def test_a_key_that_names_none(key):
    with pytest.raises(UnsureError, match="names no key of a section"):
        get("[ethernet]\n", key)


@pytest.mark.parametrize("value", ["1400\n[x]", " 1400"])
def test_a_value_that_would_be_read_otherwise(value):
    with pytest.raises(UnsureError, match="would not be read back"):
        put("[ethernet]\n", KEY, value)


def test_a_section_that_was_added_stays_where_somebody_put_more_into_it():
    changed = put("[connection]\nid=a\n", KEY, "1400") + "cloned-mac-address=random\n"
    left = put(changed, KEY, None)
    assert "mtu" not in left
    assert "[ethernet]\ncloned-mac-address=random\n" in left


def test_a_section_stays_that_was_not_added_here():
    assert put("[ethernet]\nmtu=1\n", KEY, None) == "[ethernet]\n"
    assert put(f"# mine\n{OWN_SECTION}\n[ethernet]\nmtu=1\n", KEY, None) == f"# mine\n{OWN_SECTION}\n[ethernet]\n"


lines = st.sampled_from(["", "# a", "[ethernet]", "[ipv4]", "mtu=9", " mtu = 8", "x=1", "#", "\r", "x=1\r", "[a]\r"])


@given(st.lists(lines, max_size=10).map("\n".join), st.integers(68, 65535).map(str), st.integers(68, 65535).map(str))
def test_going_there_and_back_gives_the_old_text(text, first, second):
    try:
        before, changed = get(text, KEY), put(text, KEY, first)
    except UnsureError:
        return
    assert get(changed, KEY) == first
    assert put(changed, KEY, before) == text
    assert get(put(changed, KEY, second), KEY) == second
