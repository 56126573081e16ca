"""What every place looked like before us."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.journal import Entry, Journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Change,
    Reason,
    RemoveFile,
    SetSysctl,
    WriteFile,
)
from hypothesis import given
from hypothesis import strategies as st

REASON = Reason("pid_limits", "because")

# with the surrogates that stand for bytes which are no UTF-8
any_text = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
states = st.none() | any_text
numbers = st.integers(min_value=0, max_value=2**32).map(str)


def entries(of: st.SearchStrategy[str | None]) -> st.SearchStrategy[Entry]:
    return st.builds(Entry, trap=any_text, before=of, after=of, disrupts=any_text, earlier=of)


names = any_text.filter(lambda name: "\0" not in name and not name.endswith("/"))
places = st.one_of(
    st.tuples(st.sampled_from(["file /x", "folder /x", "yaml /x#", "interfaces /#", "later "]), names, entries(states)),
    st.tuples(st.sampled_from(["sysctl ", "link ", "peer "]), names, entries(numbers)),
)
journals = st.lists(places).map(lambda found: Journal(tuple({kind + n: entry for kind, n, entry in found}.items())))


def sysctl(before: str, after: str) -> Change:
    return SetSysctl("kernel.pid_max", before, after, REASON)


@given(journals)
def test_what_is_encoded_is_decoded(kept):
    assert journal.decode(kept.encode()) == kept
    assert kept.encode().isascii()


def test_no_journal_yet_is_an_empty_one():
    assert journal.decode(None) == Journal()


RECORDS: list[tuple[str, list[Change], dict[str, Entry]]] = [
    ("the first time", [sysctl("1", "2")], {"sysctl kernel.pid_max": Entry("pid_limits", "1", "2")}),
    (
        "the first before and the last after are kept",
        [sysctl("1", "2"), sysctl("7", "8")],
        {"sysctl kernel.pid_max": Entry("pid_limits", "1", "8")},
    ),
    (
        "absent before, absent after",
        [WriteFile("/f", None, "a", REASON), RemoveFile("/g", "b", REASON)],
        {"file /f": Entry("pid_limits", None, "a"), "file /g": Entry("pid_limits", "b", None)},
    ),
    (
        "absent before is a value too",
        [WriteFile("/f", None, "a", REASON), WriteFile("/f", "x", "b", REASON)],
        {"file /f": Entry("pid_limits", None, "b")},
    ),
    (
        "the consent that it needed",
        [SetSysctl("kernel.pid_max", "1", "2", replace(REASON, disrupts="kubelet_restart"))],
        {"sysctl kernel.pid_max": Entry("pid_limits", "1", "2", "kubelet_restart")},
    ),
]


@pytest.mark.parametrize(("changes", "kept"), [case[1:] for case in RECORDS], ids=[case[0] for case in RECORDS])
def test_recording(changes, kept):
    together = Journal().record(changes)
    assert dict(together.entries) == kept
    one_by_one = Journal()
    for change in changes:
        one_by_one = journal.decode(one_by_one.record([change]).encode())
    assert {target: replace(entry, earlier=None) for target, entry in one_by_one.entries} == kept


EARLIER: list[tuple[str, list[list[Change]], str | None]] = [
    ("the first run", [[sysctl("1", "2")]], None),
    ("another policy", [[sysctl("1", "2")], [sysctl("2", "3")]], "2"),
    ("once more what was written down", [[sysctl("1", "2")], [sysctl("2", "3")], [sysctl("2", "3")]], "2"),
    ("a third policy, the second was killed", [[sysctl("1", "2")], [sysctl("2", "3")], [sysctl("2", "4")]], "2"),
    ("a third policy, the second was done", [[sysctl("1", "2")], [sysctl("2", "3")], [sysctl("3", "4")]], "3"),
    ("over what someone else set", [[sysctl("1", "2")], [sysctl("9", "3")]], "2"),
    ("in two steps", [[sysctl("1", "2")], [sysctl("2", "7"), sysctl("7", "3")]], "2"),
]


@pytest.mark.parametrize(("runs", "earlier"), [case[1:] for case in EARLIER], ids=[case[0] for case in EARLIER])
def test_what_we_gave_before_is_known_until_the_change_is_made(runs, earlier):
    kept = Journal()
    for changes in runs:
        kept = journal.decode(kept.record(changes).encode())
    [(_target, entry)] = kept.entries
    assert entry.earlier == earlier
    ours = {entry.after, *([earlier] if earlier else [])}
    assert {state for state in "123479" if entry.is_ours(state)} == ours


def test_what_was_there_before_us_is_not_ours():
    assert not Entry("t", "1", "3", earlier="1").is_ours("1")


def test_entries_stay_in_the_order_of_their_first_change():
    first, second = WriteFile("/b", None, "1", REASON), WriteFile("/a", None, "1", REASON)
    kept = Journal().record([first, second]).record([first])
    assert [target for target, _entry in kept.entries] == ["file /b", "file /a"]


def _one_file(place: str, after: str = "x") -> str:
    return json.dumps({"format": 1, "entries": {place: {"trap": "t", "before": None, "after": after}}})


UNUSABLE = [
    ("empty", ""),
    ("cut off", '{"format": 1, "entries": {'),
    ("not an object", "[]"),
    ("a number", "5"),
    ("without format", '{"entries": {}}'),
    ("without entries", '{"format": 1}'),
    ("a format that is no number", '{"format": "x", "entries": 0}'),
    ("a state that is no number", '{"format": 1, "entries": {"sysctl k": {"trap": "t", "before": "x", "after": "1"}}}'),
    (
        "a parameter without a state",
        '{"format": 1, "entries": {"sysctl k": {"trap": "t", "before": null, "after": "1"}}}',
    ),
    ("false for a state", '{"format": 1, "entries": {"file /f": {"trap": "t", "before": false, "after": "x"}}}'),
    ("a state that is no text", '{"format": 1, "entries": {"file /f": {"trap": "t", "before": 1, "after": "x"}}}'),
    ("entries as a list", '{"format": 1, "entries": []}'),
    ("an entry that is no object", '{"format": 1, "entries": {"file /f": "x"}}'),
    ("an entry with a field too few", '{"format": 1, "entries": {"file /f": {"trap": "t", "before": null}}}'),
    (
        "an entry with a field that we do not know",
        json.dumps({"format": 1, "entries": {"f": {"trap": "t", "before": None, "after": None, "mode": 1}}}),
    ),
    ("bytes that are no text", "\udcff\udcfe"),
    *((f"the format {form}", f'{{"format": {form}, "entries": {{}}}}') for form in ("null", "true", "1.0", '"1"')),
    ("deeper than anything of ours", "[" * 100_000),
    *(
        (f"the place {place!r}", _one_file(place))
        for place in ("file etc/x", "file ", "yaml x#y", "file /a\0b", "yaml /a", "file /x/", "link x")
    ),
    (
        "half of a character for a name",
        '{"format": 1, "entries": {"file /\\ud800": {"trap": "", "before": null, "after": ""}}}',
    ),
    (
        "half of a character for a state",
        '{"format": 1, "entries": {"file /f": {"trap": "", "before": "\\ud800", "after": ""}}}',
    ),
    ("a number of 5,000 digits", _one_file("link l", "9" * 5000)),
]


@pytest.mark.parametrize("text", [case[1] for case in UNUSABLE], ids=[case[0] for case in UNUSABLE])
def test_an_unusable_journal_is_refused_with_a_remedy(text):
    with pytest.raises(journal.UnreadableJournalError) as refused:
        journal.decode(text)
    assert refused.value.where == journal.PATH
    assert "move it away" in refused.value.remedy


def test_a_later_format_is_named_and_is_not_unreadable():
    with pytest.raises(NodewardError, match="format is 2, this release knows 1") as refused:
        journal.decode('{"format": 2, "entries": {}}')
    assert not isinstance(refused.value, journal.UnreadableJournalError)


def test_a_journal_from_before_consents_is_read():
    text = '{"format": 1, "entries": {"file /f": {"trap": "t", "before": null, "after": "x"}}}'
    assert journal.decode(text).entries == (("file /f", Entry("t", None, "x")),)


def test_what_is_forgotten():
    kept = Journal((("file /a", Entry("t", None, "1")), ("file /b", Entry("t", None, "1"))))
    assert [target for target, _entry in kept.without(["file /a", "file /z"]).entries] == ["file /b"]


def test_the_same_text_is_kept_aside_under_the_same_name():
    assert journal.aside("{") == journal.aside("{") != journal.aside("{}")
    assert journal.aside("\udcff").startswith(f"{journal.FOLDER}/journal-unreadable-")
