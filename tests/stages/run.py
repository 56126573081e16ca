"""Run stages: commands in sessions of their own, with a time limit, each ended by its own id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .counts import count_step
from .model import Count, Ended, Outcome, Stage
from .output import Output

_GRACE = 60.0
"""Seconds that a command has between being asked to end and being killed: a fleet has to be taken down."""
_CLEANING = 180.0
"""Seconds that cleaning up has at least, however late it is."""

Clock = Callable[[], float]


def run_stage(stage: Stage, clock: Clock = time.monotonic) -> Outcome:
    """Run the steps of a stage one after the other, and count them."""
    start = clock()
    count = Count()
    said: dict[str, tuple[str, ...]] = {}
    ended_by: str | None = None
    interrupted = False
    for step in stage.steps:
        if ended_by and not step.always:
            count += Count(0, (f"{step.name}: not run, {ended_by}",))
            continue
        print(f"\n=== {stage.name}: {step.name}", flush=True)
        left = max(stage.limit - (clock() - start), _CLEANING if step.always else 0.0)
        if step.report is not None:
            step.report.parent.mkdir(parents=True, exist_ok=True)
            step.report.unlink(missing_ok=True)
        try:
            ended = _missing(step.needs) or run_command(step.command, left)
        except KeyboardInterrupt:
            ended, interrupted = Ended("interrupted"), True
        result = count_step(step, ended.problem)
        count += result
        if result.failed and ended.last_lines:
            said[step.name] = ended.last_lines
        if interrupted:
            ended_by = "the run was interrupted"
        elif clock() - start >= stage.limit:
            ended_by = f"the stage's {stage.limit:.0f} s were over"
        elif stage.in_order and result.failed:
            ended_by = f"{step.name} failed"
    if not stage.steps:
        count += Count(0, ("the stage has no step",))
    return Outcome(stage.name, count, clock() - start, interrupted, said)


def _missing(needs: Sequence[Path]) -> Ended | None:
    absent = [str(path) for path in needs if not path.is_file()]
    return Ended(f"there is no {', '.join(absent)}") if absent else None


def run_command(command: Sequence[str], limit: float) -> Ended:
    """Run one command to its end, at most ``limit`` seconds.

    Its output goes where ours goes, it has no standard input, and it leads a session of its own. On the
    limit, or on KeyboardInterrupt, which is passed on, the whole session's group is ended.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ended(f"cannot be started: {error}")
    assert process.stdout  # a pipe, as asked for
    output = Output(process.stdout)
    try:
        code = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        _end_group(process)
        return Ended(f"ended at its time limit of {limit:.0f} s", output.last_lines())
    except BaseException:
        _end_group(process)
        raise
    return Ended(None if code == 0 else f"exit code {code}", output.last_lines())


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the command's process group to end, then kill what is left of it: at once on a second Ctrl-C."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(timeout=patience)


def run_stages(stages: Sequence[Stage]) -> int:
    """Run stages, go on after one that failed, and end with one line over all; the exit code.

    A stage may also take what those before it left of their limits: only their sum has to hold.
    """
    outcomes: list[Outcome] = []
    left = 0.0
    for stage in stages:
        limit = stage.limit + left
        outcome = run_stage(replace(stage, limit=limit))
        outcomes.append(outcome)
        left = max(limit - outcome.seconds, 0.0)
        print(f"\n=== {stage.name}: {outcome.count}, {outcome.seconds:.1f} s", flush=True)
        if outcome.interrupted:
            break
    total = sum((outcome.count for outcome in outcomes), Count())
    not_run = tuple(f"{stage.name}: not run, interrupted" for stage in stages[len(outcomes) :])
    total += Count(0, not_run)
    print(_summary(outcomes, total), flush=True)
    return 0 if total.passed and not total.failed else 1


def _summary(outcomes: Sequence[Outcome], total: Count) -> str:
    lines = ["", f"{'stage':<12}{'seconds':>9}{'passed':>8}{'failed':>8}"]
    all_stages = Outcome("all", total, sum(outcome.seconds for outcome in outcomes))
    lines += [
        f"{outcome.stage:<12}{outcome.seconds:>9.1f}{outcome.count.passed:>8}{outcome.count.failed:>8}"
        for outcome in (*outcomes, all_stages)
    ]
    for outcome in outcomes:
        for step, said in outcome.said.items():
            lines += ["", f"the last lines of {outcome.stage}: {step}", *(f"  | {line}" for line in said)]
    if not total.passed and not total.failures:
        lines += ["", "no test was chosen: none has the words that pytest was given"]
    if total.failures:
        lines += ["", "failed:", *(f"  {reason}" for reason in total.failures)]
    return "\n".join([*lines, "", str(total)])
