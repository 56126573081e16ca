"""The stages of `make test`, in the order in which they run, and others. To add one, add it here."""

from __future__ import annotations

import sys
from pathlib import Path

from .model import Stage, Step

_REPORTS = Path(".cache/reports")
_FAULTS = (_REPORTS / "faults/alone.xml", _REPORTS / "faults/together.xml")


def _tool(name: str, *arguments: str) -> tuple[str, ...]:
    """Name a program of the virtual environment this runs in, whatever PATH says."""
    return (str(Path(sys.executable).with_name(name)), *arguments)


def _pytest(name: str, *options: str) -> Step:
    report = _REPORTS / f"{name}.xml"
    # a bare --cov takes the next word for its own, so the folder does not follow the options
    command = _tool("pytest", *options, f"--junit-xml={report}", f"tests/{name}")
    return Step(name, command, report=report)


def _molecule(scenario: str, *actions: str) -> tuple[Step, ...]:
    """Make one step of each of molecule's actions, so that each has an exit code: see single_steps.yml."""
    bases = (Path(".config/molecule/config.yml"), Path("tests/stages/single_steps.yml"))
    folder = Path("molecule") / scenario
    playbooks = {"check": "converge", "idempotence": "converge", "side-effect": "side_effect"}
    return tuple(
        Step(
            f"{scenario} {action}",
            _tool("molecule", *(f"--base-config={base}" for base in bases), action, "-s", scenario),
            # molecule passes over configuration and playbooks that are not there
            needs=(*bases, folder / "molecule.yml", folder / f"{playbooks.get(action, action)}.yml"),
            always=action == "destroy",
        )
        for action in ("create", "prepare", *actions, "destroy")
    )


def _no_lab_left(*names: str) -> Step:
    """Take down the labs of a stage's workers, who have a few seconds for it when they are asked to end."""
    return Step("no lab is left", (sys.executable, "-m", "tests.lab", "down", *names), always=True)


STAGES = (
    Stage(
        "lint",
        (
            Step("ruff check", _tool("ruff", "check")),
            Step("ruff format", _tool("ruff", "format", "--check", "--diff")),
            Step("mypy plugins", _tool("mypy", "-p", "ansible_collections.nodeward.calico.plugins")),
            Step("mypy tests", _tool("mypy", "-p", "tests")),
            Step("yamllint", _tool("yamllint", "--strict", ".")),
            Step("ansible-lint", _tool("ansible-lint")),
            Step("changelog", _tool("antsibull-changelog", "lint")),
        ),
        limit=120,
    ),
    Stage("docs", (_pytest("docs"),), limit=60),
    Stage(
        "unit",
        (
            # coverage has a result of its own, below
            _pytest("unit", "--numprocesses=2", "--cov", "--cov-report=", "--cov-fail-under=0"),
            Step("coverage of plugins", _tool("coverage", "report")),
        ),
        limit=300,
    ),
    Stage("browser", (_pytest("browser"),), limit=30),
    Stage("lab", (_pytest("lab"),), limit=300),
    Stage(
        "api",
        (
            # minutes where they have to be compiled, and then it says so
            Step("programs", (sys.executable, "-m", "tests.api")),
            # half of it is one test that waits, which begins: see its conftest.py
            _pytest("api", "--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder"),
        ),
        limit=800,
    ),
    Stage(
        "molecule",
        _molecule("default", "check", "converge", "idempotence", "side-effect", "verify"),
        limit=150,
        in_order=True,
    ),
    # two fleets side by side: half of a test's time is waiting, for nodes that boot and for what has to settle
    Stage(
        "fleet",
        (_pytest("fleet", "--numprocesses=2", "--dist=loadfile"), _no_lab_left("fleetgw0", "fleetgw1")),
        limit=2000,
    ),
    Stage("drills", (_pytest("drills", "-m", "not long"),), limit=420),
    # the side effect is a boot, with a look at what is left, and the way back
    Stage(
        "kernel",
        _molecule("kernel", "converge", "idempotence", "verify", "side-effect"),
        limit=1200,
        in_order=True,
    ),
)

# Run where they are named, and not by `make test`, which has no time for them.
BY_NAME = (
    Stage("incidents", (_pytest("drills"),), limit=3600),
    Stage(
        "faults",
        (
            # virtual machines, beside which nothing else may want the processor, and what is measured
            _pytest("faults/alone"),
            # Six fleets side by side: of a try, three quarters are waiting. The controller is killed at every task,
            # each time of a fresh fleet, and that takes most of the time.
            _pytest("faults/together", "--numprocesses=6"),
            _no_lab_left(*(f"faultsgw{number}" for number in range(6))),
            Step("table", (sys.executable, "-m", "tests.faults", *map(str, _FAULTS)), always=True),
        ),
        limit=3 * 3600,
    ),
)
