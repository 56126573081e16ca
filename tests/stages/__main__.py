"""Run the stages: `python -m tests.stages [STAGE...] [-- WORDS FOR PYTEST]`, from the checkout's root."""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace

from .catalogue import BY_NAME, STAGES
from .model import Stage
from .run import run_stages


def _with_words(stage: Stage, words: list[str]) -> Stage:
    """Append words to the commands that are pytest's, and leave out what needs all of it: a part has no coverage."""
    parts = tuple(
        replace(step, command=(*step.command, *words), is_part=True) if step.report else step
        for step in stage.steps
        if step.report or step.always
    )
    return replace(stage, steps=parts)


def main(arguments: list[str]) -> int:
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    words = arguments[cut + 1 :]
    known = (*STAGES, *BY_NAME)
    parser = argparse.ArgumentParser(prog="python -m tests.stages", description=__doc__)
    parser.add_argument("stage", nargs="*", help="of: " + ", ".join(stage.name for stage in known))
    names = parser.parse_args(arguments[:cut]).stage
    unknown = set(names) - {stage.name for stage in known}
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    # asked to end, we end our commands and clean up, as on Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stages = [stage for stage in known if stage.name in names] if names else list(STAGES)
    return run_stages([_with_words(stage, words) for stage in stages] if words else stages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
