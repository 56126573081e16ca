"""Rules as people write them: those that cannot be used are refused by file, rule and position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.filter.rules import unusable_rules
from ansible_collections.nodeward.calico.plugins.plugin_utils._rules.errors import RuleError
from ansible_collections.nodeward.calico.plugins.plugin_utils._rules.load import load

OURS = Path(__file__).parents[3] / "roles/report/files/rules"
GOOD = {
    "id": "mine", "scope": "node", "severity": "low", "when": "facts", "where": "name", "observed": "name",
    "wanted": "none", "why": "because", "remedy": "mend it",
}  # fmt: skip


def written(folder: Path, *rules: Any, name: str = "mine.yml") -> str:
    (folder / name).write_text(yaml.safe_dump(list(rules)))
    return str(folder)


def test_ours_can_be_used():
    rules = load([str(OURS)])
    assert len({rule.id for rule in rules}) == len(rules) >= 12


def test_an_id_of_ours_is_taken_and_that_is_told_before_anything_is_looked_at(tmp_path):
    folder = written(tmp_path, {**GOOD, "id": "conntrack_full"})
    assert "mine.yml: rule conntrack_full: this id is taken, in " in unusable_rules(folder)


def test_the_page_names_ours():
    page = (OURS.parents[3] / "docs/rules.md").read_text()
    assert {rule.id for rule in load([str(OURS)])} <= {word.strip("`|").removeprefix("rules.") for word in page.split()}


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in GOOD.items() if name != key}


BROKEN = [
    ("a missing key", [without("why")], "rule mine: has no why. A rule has id"),
    ("an unknown key", [{**GOOD, "then": "x"}], "rule mine: has unknown then"),
    ("a number for a text", [{**GOOD, "wanted": 5}], "rule mine: wanted is no text"),
    ("an empty text", [{**GOOD, "when": " "}], "rule mine: when is no text"),
    ("an id with a dot", [{**GOOD, "id": "a.b"}], "rule a.b: its id is not of lower-case letters"),
    ("a severity that there is not", [{**GOOD, "severity": "fatal"}], "severity is 'fatal'. Give one of info, low,"),
    ("a scope that there is not", [{**GOOD, "scope": "pod"}], "scope is 'pod'. Give one of node, fleet"),
    ("a broken expression", [{**GOOD, "when": "facts.[ == 1"}], "rule mine: when is no JMESPath at position 9"),
    ("a number without backticks", [{**GOOD, "when": "a > 5"}], "when is no JMESPath at position 5"),
    ("a text without an end", [{**GOOD, "where": "'node"}], "where is no JMESPath"),
    ("a function that there is not", [{**GOOD, "when": "a && lenght(b)"}], "no JMESPath at position 6"),
    ("too few words for a function", [{**GOOD, "each": "[share(`1`)]"}], "at position 2: "),
    ("too many words for one", [{**GOOD, "where": "not_null(a, keys(b, c))"}], "keys() takes 1, not 2"),
    ("none for one that takes some", [{**GOOD, "where": "merge()"}], "merge() takes 1 or more"),
    ("no mapping", ["x"], "rule 1 is no mapping"),
    ("the same id twice", [GOOD, GOOD], "this id is taken"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "why"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_cannot_be_used_is_named(tmp_path, rules, why):
    folder = written(tmp_path, *rules)
    with pytest.raises(RuleError) as raised:
        load([folder])
    assert why in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path}/mine.yml: ")
    assert unusable_rules(folder) == str(raised.value)


FILES = [
    ("no YAML", "- id: [", "cannot be read"),
    ("a mapping", "id: x", "is no list of rules"),
    ("nothing", "", "is no list of rules"),
    ("bytes", "\x00", "cannot be read"),
    ("a tag that does not fit", "- !!bool foo", "cannot be read"),
    ("a time that is none", "- !!timestamp foo", "cannot be read"),
    ("depth", "[" * 5000, "cannot be read"),
]


@pytest.mark.parametrize(("text", "why"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_a_file_that_holds_no_rules_is_named(tmp_path, text, why):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RuleError, match=f"mine.yaml: {why}"):
        load([str(tmp_path)])


def test_a_folder_that_there_is_not_is_named():
    with pytest.raises(RuleError, match="/nowhere: there is no such folder of rules"):
        load(["/nowhere"])


def test_an_expression_without_end_is_refused(tmp_path):
    with pytest.raises(RuleError, match="when is no JMESPath"):
        load([written(tmp_path, {**GOOD, "when": "!" * 5000 + "a"})])


@pytest.mark.parametrize("folder", ["~nosuchuser/rules", "/proc/1/root/nowhere\0"])
def test_a_folder_that_cannot_be_looked_at_is_named(folder):
    with pytest.raises(RuleError):
        load([folder])


def test_no_folder_is_no_folder():
    assert unusable_rules("") == unusable_rules(" , ") == unusable_rules([]) == ""


def test_other_files_are_left_alone_and_folders_are_taken_together(tmp_path):
    (tmp_path / "README.md").write_text("no rule")
    (tmp_path / "more").mkdir()
    written(tmp_path, GOOD)
    written(tmp_path / "more", {**GOOD, "id": "other"})
    assert [rule.id for rule in load([str(tmp_path), str(tmp_path / "more")])] == ["mine", "other"]
    assert unusable_rules(f"{tmp_path}, {tmp_path}/more") == ""
    assert "this id is taken" in unusable_rules([str(tmp_path), str(tmp_path)])
