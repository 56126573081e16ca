# Private to the collection nodeward.calico: may change in any release.
"""The life of the CNI token as a metric: a program and a timer that has it written for node-exporter.

By itself, and no part of the watchdog: that one may kill and reads no secrets, and a node may have either alone. By a
timer, and no daemon: what changes twice a day needs no memory in between. Every five minutes, and not when the
kubeconfig changes: calico-node replaces folder and file in more ways than one watch sees.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core import bundle
from .._core.host import Host
from .._core.plan import Finding
from .._core.verbs import MANAGED_BY, Change, Reason, RemoveFile, StartUnit
from .._core.verbs.units import active_state
from . import textfile_folder, timers
from .timers import UNITS
from .unit_sandbox import SANDBOX

TRAP = "cni_token"

PROGRAM = "/usr/local/lib/nodeward/cni_token.py"
SERVICE, TIMER = "nodeward-cni-token.service", "nodeward-cni-token.timer"
SERVICE_FILE = f"{UNITS}/{SERVICE}"
WANTS, _WANTS = timers.wants(TIMER, TRAP)
PATHS = (PROGRAM, SERVICE_FILE, f"{UNITS}/{TIMER}", WANTS)
METRICS = "nodeward_cni_token.prom"

CALENDAR = "*:0/5"

_SERVICE = f"""\
# {MANAGED_BY}.
[Unit]
Description=Write the life of Calico's CNI token for node-exporter

[Service]
Type=oneshot
ExecStart={{python}} -I -S {PROGRAM} {{kubeconfig}} {{metrics}}
ReadWritePaths=-{{folder}}
TimeoutStartSec=1min
UMask=0022
MemoryMax=64M

# to write where node-exporter's user owns the folder
CapabilityBoundingSet=CAP_DAC_OVERRIDE
{SANDBOX}\
SystemCallFilter=@system-service
"""
_TIMER = f"""\
# {MANAGED_BY}.
[Unit]
Description=Write the life of Calico's CNI token for node-exporter
[Timer]
OnCalendar={CALENDAR}
# once it is installed, too, when the folder of the metrics is there
OnActiveSec=15s
AccuracySec=30s
"""

_WHY = "a token that nobody renews is seen when it has run out, and then nothing starts on the node (incident A4)"
_REASON = Reason(TRAP, _WHY, "low")
_ABSENT = Reason(TRAP, "there is nothing for it to tell, or nobody to tell it to", "info")

# What systemd takes as one word, and as itself.
_WORD = re.compile(r"/[A-Za-z0-9./_+-]+")
_TARGET = re.compile(r"^ExecStart=\S+ -I -S \S+ \S+ (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Facts:
    """Our files that are there, by path, and the metrics of ours. ``folder`` is node-exporter's, '' for none.

    ``is_waiting``: the timer is active. ``has_failed``: its last turn could not write.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    is_waiting: bool = False
    has_failed: bool = False
    folder: str = ""
    python: str = "/usr/bin/python3"


def observe(host: Host) -> Facts:
    """Read everything that the plan needs; reads only."""
    texts = {path: text for path in PATHS for text in [host.read_text(path)] if text is not None}
    targets = _TARGET.findall(texts.get(SERVICE_FILE, ""))
    return Facts(
        texts=texts,
        written={path: text for path in targets for text in [host.read_text(path)] if text is not None},
        is_waiting=bool(texts) and timers.is_waiting(host, TIMER),
        has_failed=bool(texts) and active_state(host, SERVICE) == "failed",
        folder=textfile_folder.of(host),
        python=host.interpreter(),
    )


def plan(facts: Facts, kubeconfig: str) -> Iterator[Change]:
    """Yield what brings the timer for the token in a kubeconfig, or takes it away: '' for no kubeconfig to tell of."""
    if facts.folder and _WORD.fullmatch(kubeconfig):
        return _present(facts, kubeconfig)
    return _absent(facts)


def findings(facts: Facts) -> Iterator[Finding]:
    """Tell of a turn that failed: an alert on what is not written never comes."""
    if facts.has_failed:
        yield Finding(
            id=f"{TRAP}.metrics_failed",
            severity="medium",
            where=SERVICE,
            observed="failed",
            wanted=f"{METRICS} in the folder that node-exporter reads",
            why="what is not written calls nobody",
            remedy=f"journalctl -u {SERVICE}, mend that, then systemctl start {SERVICE}",
        )


def _present(facts: Facts, kubeconfig: str) -> Iterator[Change]:
    from . import cni_token_program  # noqa: PLC0415 - its text is needed where there is a node-exporter

    metrics = posixpath.join(facts.folder, METRICS)
    service = _SERVICE.format(python=facts.python, kubeconfig=kubeconfig, metrics=metrics, folder=facts.folder)
    wanted = (bundle.program(cni_token_program), service, _TIMER, _WANTS)
    start = StartUnit(TIMER, _REASON, calendar=CALENDAR)
    yield from timers.installed(dict(zip(PATHS, wanted)), facts.texts, facts.is_waiting, start, _REASON)
    yield from (RemoveFile(path, text, _ABSENT) for path, text in facts.written.items() if path != metrics)


def _absent(facts: Facts) -> Iterator[Change]:
    for path in reversed(PATHS):
        if path in facts.texts:
            yield RemoveFile(path, facts.texts[path], _ABSENT)
    if facts.texts:
        yield StartUnit(TIMER, _ABSENT)
    yield from _unwritten(facts)


def going_back(facts: Facts, changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return a way back with the metrics removed once nobody writes them: the journal does not know of them."""
    stops = any(change.target == f"file {SERVICE_FILE}" and change.after is None for change in changes)
    return (*changes, *(_unwritten(facts) if stops else ()))


def _unwritten(facts: Facts) -> Iterator[RemoveFile]:
    yield from (RemoveFile(path, text, _ABSENT) for path, text in facts.written.items())
