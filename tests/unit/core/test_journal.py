"""What every place looked like before us."""

from __future__ import annotations

import json

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

any_text = st.text(st.characters(codec=None, exclude_categories=()))  # with the surrogates of undecodable bytes
entries = st.builds(Entry, trap=any_text, before=st.none() | any_text, after=st.none() | any_text)
journals = st.dictionaries(any_text, entries).map(lambda found: Journal(tuple(found.items())))


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
]


@pytest.mark.parametrize(("changes", "kept"), [case[1:] for case in RECORDS], ids=[case[0] for case in RECORDS])
def test_recording(changes, kept):
    together = Journal().record(changes)
    assert dict(together.entries) == kept
    one_by_one = Journal()
    for change in changes:
        one_by_one = journal.decode(one_by_one.record([change]).encode())
    assert one_by_one == together


def test_entries_stay_in_the_order_of_their_first_change():
    first, second = WriteFile("/b", None, "1", REASON), WriteFile("/a", None, "1", REASON)
    kept = Journal().record([first, second]).record([first])
    assert [target for target, _entry in kept.entries] == ["file /b", "file /a"]


UNUSABLE = [
    ("empty", ""),
    ("cut off", '{"format": 1, "entries": {'),
    ("not an object", "[]"),
    ("a number", "5"),
    ("without format", '{"entries": {}}'),
    ("without entries", '{"format": 1}'),
    ("a later format", '{"format": 2, "entries": {}}'),
    ("entries as a list", '{"format": 1, "entries": []}'),
    ("an entry that is no object", '{"format": 1, "entries": {"file /f": "x"}}'),
    ("an entry with a field too few", '{"format": 1, "entries": {"file /f": {"trap": "t", "before": null}}}'),
    (
        "an entry with a field that we do not know",
        json.dumps({"format": 1, "entries": {"f": {"trap": "t", "before": None, "after": None, "mode": 1}}}),
    ),
    ("bytes that are no text", "\udcff\udcfe"),
]


@pytest.mark.parametrize("text", [case[1] for case in UNUSABLE], ids=[case[0] for case in UNUSABLE])
def test_an_unusable_journal_is_refused_with_a_remedy(text):
    with pytest.raises(NodewardError) as refused:
        journal.decode(text)
    assert refused.value.where == journal.PATH
    assert "move it away" in refused.value.remedy
    assert "restore then knows no earlier values" in str(refused.value)


def test_a_later_format_is_named():
    with pytest.raises(NodewardError, match="its format is 2, this release knows 1"):
        journal.decode('{"format": 2, "entries": {}}')
