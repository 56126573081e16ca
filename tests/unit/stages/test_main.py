"""The command line of the runner, and the list it works from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages import __main__ as command
from tests.stages.catalogue import BY_NAME, STAGES
from tests.stages.model import Stage, Step

TESTS = Step("tests", ("pytest", "tests/x"), report=Path("x.xml"))
COVERAGE = Step("coverage", ("coverage", "report"))
STAGE_LIST = (Stage("a", (TESTS, COVERAGE), 60), Stage("b", (TESTS,), 60))
BY_NAME_LIST = (Stage("c", (TESTS,), 60),)
WORDS = ("pytest", "tests/x", "-k", "one two")

CASES = [
    ("all", [], ["a", "b"], ("pytest", "tests/x"), 3),
    ("one that is not among all", ["c"], ["c"], ("pytest", "tests/x"), 1),
    ("one", ["b"], ["b"], ("pytest", "tests/x"), 1),
    ("in the list's order", ["b", "a"], ["a", "b"], ("pytest", "tests/x"), 3),
    ("no words after --", ["a", "--"], ["a"], ("pytest", "tests/x"), 2),
    ("words, and no coverage of a part", ["a", "--", "-k", "one two"], ["a"], WORDS, 1),
]


@pytest.fixture
def ran(monkeypatch) -> list[Stage]:
    stages: list[Stage] = []

    def keep(chosen: list[Stage]) -> int:
        stages.extend(chosen)
        return 0

    monkeypatch.setattr(command, "STAGES", STAGE_LIST)
    monkeypatch.setattr(command, "BY_NAME", BY_NAME_LIST)
    monkeypatch.setattr(command, "run_stages", keep)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return stages


@pytest.mark.parametrize(
    ("arguments", "names", "first", "steps"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_stages_are_chosen_by_name(ran, arguments, names, first, steps):
    assert command.main(arguments) == 0
    assert [stage.name for stage in ran] == names
    assert ran[0].steps[0].command == first
    assert sum(len(stage.steps) for stage in ran) == steps


def test_an_unknown_stage_is_refused(ran, capsys):
    with pytest.raises(SystemExit) as refused:
        command.main(["a", "nosuch"])
    assert refused.value.code == 2
    assert "no such stage: nosuch" in capsys.readouterr().err
    assert ran == []


def test_the_list_is_sound():
    known = (*STAGES, *BY_NAME)
    names = [stage.name for stage in known]
    assert len(set(names)) == len(names)
    assert all(stage.steps for stage in known)
    assert sum(stage.limit for stage in STAGES) < 90 * 60, "CI gives the whole run 90 minutes"
