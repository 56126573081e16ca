"""Stages with real commands: order, time limit, Ctrl-C, the last line."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.stages import output, run
from tests.stages.model import Count, Ended, Stage, Step


def python(name: str, code: str, *, always: bool = False) -> Step:
    return Step(name, (sys.executable, "-c", code), always=always)


GOOD = python("good", "")
BAD = python("bad", "raise SystemExit(3)")
CLEANING = python("cleaning", "", always=True)
SLOW = python("slow", "import time; time.sleep(60)")


def interrupting(seconds: float = 60) -> Step:
    """Make a step that sends the runner Ctrl-C and goes on."""
    return python("ctrl-c", f"import os, time; os.kill({os.getpid()}, 2); time.sleep({seconds})")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> bool:
    for _ in range(100):
        if gone(pid):
            return True
        time.sleep(0.05)
    return False


STAGES = [
    ("all well", (GOOD, GOOD), False, Count(2)),
    ("one fails, the rest runs", (BAD, GOOD), False, Count(1, ("bad: exit code 3",))),
    (
        "in order: what follows counts as failed, cleaning up runs",
        (BAD, GOOD, CLEANING),
        True,
        Count(1, ("bad: exit code 3", "good: not run, bad failed")),
    ),
    (
        "a file that is not there",
        (Step("verify", (sys.executable, "-c", ""), needs=(Path(__file__), Path("no/verify.yml"))),),
        False,
        Count(0, ("verify: there is no no/verify.yml",)),
    ),
    ("no step", (), False, Count(0, ("the stage has no step",))),
]


@pytest.mark.parametrize(("steps", "in_order", "expected"), [s[1:] for s in STAGES], ids=[s[0] for s in STAGES])
def test_a_stage_counts_its_steps(steps, in_order, expected):
    assert run.run_stage(Stage("s", steps, limit=60, in_order=in_order)).count == expected


def test_a_missing_program_is_a_failure():
    (failure,) = run.run_stage(Stage("s", (Step("x", ("./no-such-program",)),), limit=60)).count.failures
    assert failure.startswith("x: cannot be started: ")


def test_the_time_limit_ends_the_step_and_skips_the_rest_but_cleaning_up():
    outcome = run.run_stage(Stage("s", (SLOW, GOOD, CLEANING), limit=0.5))
    assert outcome.count == Count(
        1, ("slow: ended at its time limit of 0 s", "good: not run, the stage's 0 s were over")
    )
    assert outcome.seconds < 30


def test_a_stage_may_take_what_those_before_it_left_but_no_more(capsys):
    within, beyond = (python("short", f"import time; time.sleep({seconds})") for seconds in (1, 60))
    stages = [Stage("saves", (GOOD,), limit=4), Stage("spends", (within,), limit=0.1), Stage("s", (beyond,), limit=0.1)]
    start = time.monotonic()
    assert run.run_stages(stages) == 1
    assert time.monotonic() - start < 30
    assert capsys.readouterr().out.rstrip().endswith("2 passed, 1 failed")


def test_the_time_limit_ends_grandchildren_and_those_who_do_not_listen(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(run, "_GRACE", 0.5)
    note = tmp_path / "pid"
    deaf = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"if os.fork() == 0: open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    assert run.run_command((sys.executable, "-c", deaf), 2).problem == "ended at its time limit of 2 s"
    assert wait_until_gone(int(note.read_text()))


@pytest.fixture(autouse=True)
def ctrl_c_arrives():
    """What a shell starts in the background ignores Ctrl-C, and so would these tests there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_step_cleans_up_and_counts_as_failed():
    outcome = run.run_stage(Stage("s", (interrupting(), GOOD, CLEANING), limit=60))
    assert outcome.interrupted
    assert outcome.count == Count(1, ("ctrl-c: interrupted", "good: not run, the run was interrupted"))
    assert outcome.seconds < 30


def test_a_command_has_no_standard_input():
    assert run.run_command((sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"), 60).problem is None


LAST_LINES = [
    ("all well", [Stage("a", (GOOD,), 60), Stage("b", (GOOD, GOOD), 60)], "3 passed, 0 failed", 0),
    ("goes on after a failure", [Stage("a", (BAD,), 60), Stage("b", (GOOD,), 60)], "1 passed, 1 failed", 1),
    ("nothing ran", [], "0 passed, 0 failed", 1),
    ("ctrl-c", [Stage("a", (interrupting(),), 60), Stage("b", (GOOD,), 60)], "0 passed, 2 failed", 1),
]


@pytest.mark.parametrize(("stages", "last", "code"), [s[1:] for s in LAST_LINES], ids=[s[0] for s in LAST_LINES])
def test_a_run_ends_with_one_line(capfd, stages, last, code):
    assert run.run_stages(stages) == code
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == last
    assert lines.count(last) == 1
    *_, whole = (line.split() for line in lines if line.startswith("all "))
    assert f"{whole[2]} passed, {whole[3]} failed" == last


def test_an_old_report_is_not_taken_for_a_new_one(tmp_path: Path):
    report = tmp_path / "reports" / "unit.xml"
    report.parent.mkdir()
    report.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
    outcome = run.run_stage(Stage("s", (Step("unit", (sys.executable, "-c", ""), report=report),), limit=60))
    assert outcome.count.passed == 0


def test_a_failed_step_is_quoted_at_the_end(capfd):
    words = "import sys, os; os.write(2, b'why\\n' * 200); print('the last word', flush=True); sys.exit(2)"
    assert run.run_stages([Stage("a", (python("loud", words), python("well", "print('nothing')")), 60)]) == 1
    printed, _, end = capfd.readouterr().out.partition("the last lines of a: loud\n")
    assert printed.count("why\n") == 200
    lines = end.splitlines()
    assert lines[:80] == ["  | why"] * 79 + ["  | the last word"]
    assert lines[80:] == ["", "failed:", "  loud: exit code 2", "", "1 passed, 1 failed"]


def test_what_a_step_left_running_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(output, "_PATIENCE", 0.2)
    start = time.monotonic()
    left = "import subprocess; print('on my way'); subprocess.Popen(['sleep', '20'])"
    assert run.run_command((sys.executable, "-c", left), 60) == Ended(None, ("on my way",))
    assert time.monotonic() - start < 10
