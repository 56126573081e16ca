# Private to the collection nodeward.calico: may change in any release.
"""Trap bird_watchdog: a BIRD that remembers every link it ever saw spins, and the node's routes go stale (incident A3).

Installs the daemon, its configuration and its unit (bird_watchdog_files.py), and tells how the BIRDs of the node are.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._core import file_age
from .._core.host import Host
from .._core.plan import Plan, Refusal
from .._core.verbs import (
    Change,
    MakeFolder,
    Reason,
    ReloadUnit,
    RemoveFile,
    RemoveFolder,
    RestartUnit,
    RunUnit,
    WriteFile,
)
from .._core.verbs.units import RUNNING, invocation, is_enabled
from . import bird_watchdog_findings, birds, house_folders, processes, restore, textfile_folder
from .bird_watchdog_decision import CHOICES, Config
from .bird_watchdog_files import CONFIG, DAEMON, UNIT, UNIT_FILE, texts
from .bird_watchdog_reading import wrong
from .birds import Bird

TRAP = "bird_watchdog"
ALLOWS: tuple[str, ...] = ()

LOGS = posixpath.dirname(Config().events)

_DEFAULTS = Config()

OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mode": {"type": "str", "choices": [*CHOICES["mode"]], "default": _DEFAULTS.mode},
    "threshold": {"type": "int", "default": int(_DEFAULTS.threshold)},
    "window": {"type": "int", "default": int(_DEFAULTS.window)},
    "interval": {"type": "int", "default": int(_DEFAULTS.interval)},
    "cooldown": {"type": "int", "default": int(_DEFAULTS.cooldown)},
    "daily_limit": {"type": "int", "default": _DEFAULTS.daily_limit},
    "random_delay": {"type": "int", "default": int(_DEFAULTS.random_delay)},
    "signal": {"type": "str", "choices": [*CHOICES["signal"]], "default": _DEFAULTS.signal},
    "kill_without_graceful_restart": {"type": "bool", "default": _DEFAULTS.kill_without_graceful_restart},
    "textfile_folder": {"type": "str"},
}

_WHY = "a BIRD that spins leaves the node's routes stale; killed, it is back within seconds and peers keep the routes"
_REASON = Reason(TRAP, _WHY)
_ABSENT = Reason(TRAP, "the watchdog is not wanted on this node", severity="info")


@dataclass(frozen=True)
class Policy:
    """What is wanted. Seconds; the threshold in percent of one core. '' as ``textfile_folder`` is for no metrics."""

    state: str = "present"
    mode: str = _DEFAULTS.mode
    threshold: int = int(_DEFAULTS.threshold)
    window: int = int(_DEFAULTS.window)
    interval: int = int(_DEFAULTS.interval)
    cooldown: int = int(_DEFAULTS.cooldown)
    daily_limit: int = _DEFAULTS.daily_limit
    random_delay: int = int(_DEFAULTS.random_delay)
    signal: str = _DEFAULTS.signal
    kill_without_graceful_restart: bool = _DEFAULTS.kill_without_graceful_restart
    textfile_folder: str | None = None


@dataclass(frozen=True)
class Facts:
    """What observe saw of one node: our files, the folders that are ours alone, our unit, and the BIRDs.

    ``unread`` are the files that were written after the unit's start. ``no_folder`` is the folder for the metrics that
    the configuration names and that is not there; ``textfile_folder`` the one that node-exporter reads, and
    ``makes_folder`` says that it is still to be made.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    logs: bool = False
    no_folder: str = ""
    python: str = "/usr/bin/python3"
    textfile_folder: str = ""
    makes_folder: bool = False
    enabled: bool = False
    invocation: str | None = None
    birds: tuple[Bird, ...] = ()
    kills_last_week: int | None = 0  # None where the file of events cannot be read


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    texts = {path: host.read_text(path) for path in (DAEMON, CONFIG, UNIT_FILE, *_of_older_versions(host))}
    started = _started(host)
    metrics = posixpath.dirname(_metrics(texts[CONFIG] or ""))
    folder = textfile_folder.of(host)
    return Facts(
        files={path: text for path, text in texts.items() if text is not None},
        folders=tuple(_our_folders(host)),
        unread=tuple(path for path in texts if file_age.is_newer(file_age.written(host, path), started)),
        logs=host.is_folder(LOGS),
        no_folder="" if host.is_folder(metrics) else metrics,
        python=host.interpreter(),
        textfile_folder=folder,
        makes_folder=bool(folder) and not host.is_folder(folder),
        enabled=is_enabled(host, UNIT),
        invocation=invocation(host, UNIT),
        birds=birds.observe(host),
        kills_last_week=birds.kills_last_week(host),
    )


def _started(host: Host) -> float:
    """Return when our unit's process was started, in seconds since 1970, 0 where it does not run."""
    pids = "".join(host.read_text(f"{path}/{UNIT}/cgroup.procs") or "" for path in processes.SYSTEM_SLICES).split()
    return file_age.started(host, processes.started(host, int(pids[0])), UNIT) if pids else 0.0


def _metrics(config: str) -> str:
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        return str(dict(json.loads(config)).get("metrics") or "")
    return ""


def _of_older_versions(host: Host) -> Iterator[str]:
    """Yield the files that a version before wrote for this trap, and this one has no more."""
    for target, entry in house_folders.known(host):
        kind, _, path = target.partition(" ")
        if (kind, entry.trap, entry.before) == ("file", TRAP, None) and path not in (DAEMON, CONFIG, UNIT_FILE):
            yield path


def _our_folders(host: Host) -> Iterator[str]:
    own = {posixpath.basename(path) for path in (DAEMON, CONFIG)}
    return (path for path in house_folders.ours(host) if own >= set(host.list_folder(path)))


def shown(facts: Facts, _policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results."""
    return {
        "birds": [{**asdict(bird), "version": bird.version} for bird in facts.birds],
        "running": bool(facts.invocation),
        "kills_last_week": facts.kills_last_week,
    }


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node needs; pure, so that captured facts give the same plan anywhere."""
    refusals = tuple(_refusals(policy)) if policy.state == "present" else ()
    if refusals:
        return Plan(refusals=refusals)
    found = tuple(birds.findings(facts.birds, facts.kills_last_week, policy.threshold, TRAP))
    if policy.state == "absent":
        return Plan(tuple(_absent(facts)), found)
    return Plan(tuple(_present(facts, policy)), (*found, *bird_watchdog_findings.of_policy(facts, policy)))


def _present(facts: Facts, policy: Policy) -> Iterator[Change]:
    writes = [
        WriteFile(path, facts.files.get(path), text, _REASON)
        for path, text in _texts(facts, policy).items()
        if facts.files.get(path) != text
    ]
    if facts.makes_folder and policy.textfile_folder is None:  # it has to be there when the unit starts
        yield MakeFolder(facts.textfile_folder, _REASON)
    yield from writes
    for path in sorted(facts.files.keys() - {DAEMON, CONFIG, UNIT_FILE}):
        yield RemoveFile(path, facts.files[path], _REASON)
    if UNIT_FILE in (*facts.unread, *(write.path for write in writes)):
        yield ReloadUnit(UNIT, _REASON)
    state = RUNNING if facts.enabled or facts.invocation else None
    if not (facts.enabled and facts.invocation):
        yield RunUnit(UNIT, state, RUNNING, _REASON)
    elif writes or facts.unread:  # a run that was killed before the restart left it to this one
        yield RestartUnit(UNIT, facts.invocation, _REASON)


def _absent(facts: Facts) -> Iterator[Change]:
    if facts.enabled or facts.invocation or facts.logs:
        yield RunUnit(UNIT, RUNNING if facts.enabled or facts.invocation else None, None, _ABSENT)
    for path, text in facts.files.items():
        yield RemoveFile(path, text, _ABSENT)
    for path in facts.folders:
        yield RemoveFolder(path, _ABSENT)
    if UNIT_FILE in facts.files or facts.invocation:
        yield ReloadUnit(UNIT, _ABSENT)


def _texts(facts: Facts, policy: Policy) -> dict[str, str]:
    folder = facts.textfile_folder if policy.textfile_folder is None else policy.textfile_folder.rstrip("/")
    wanted = {key: value for key, value in asdict(policy).items() if key in Config._fields}
    return texts(wanted, folder, facts.python)


def _refusals(policy: Policy) -> Iterator[Refusal]:
    values = {key: value for key, value in asdict(policy).items() if key in Config._fields}
    for option, what in wrong(values):
        yield _refusal(option, what, "Set it to a value that makes sense, see docs/bird_watchdog.md")
    folder = policy.textfile_folder
    if folder and (what := textfile_folder.unfit(str(folder))):
        yield _refusal(
            "textfile_folder", what, "Name the folder that node-exporter reads, such as /var/lib/node_exporter"
        )


def _refusal(option: str, what: str, remedy: str) -> Refusal:
    return Refusal(TRAP, what, f"{TRAP}_{option}", remedy)


# --- restore ----------------------------------------------------------------------------------------


def going_back(_facts: Facts, changes: Sequence[Change], _policy: Policy) -> Plan:
    """Stop the unit before its files go, and do not start again what has no files any more."""
    stops = [change for change in changes if isinstance(change, RunUnit) and change.unit == UNIT]
    rest = [change for change in changes if change not in stops]
    return Plan((*stops, *(each for each in rest if not (stops and _restarts(each)))))


def _restarts(change: Change) -> bool:
    return isinstance(change, RestartUnit) and change.unit == UNIT


guard = restore.refuse_nothing
