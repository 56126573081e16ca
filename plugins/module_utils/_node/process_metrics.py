# Private to the collection nodeward.calico: may change in any release.
"""Trap process_metrics: nobody saw the process ids run out, because nothing counted them (incident B).

Turns on the collector ``processes`` and a textfile folder of the node-exporter that a unit of systemd runs on the node.
What Prometheus then makes of it stands in the role's files: alert rules and a dashboard.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core.apply import PutBackError, apply
from .._core.errors import NodewardError
from .._core.formats import UnsureError, env, unit_flags
from .._core.formats.env_switch import ON
from .._core.host import Host
from .._core.plan import Finding, Plan, Refusal
from .._core.verbs import (
    MANAGED_BY,
    Change,
    MakeFolder,
    Reason,
    ReloadUnit,
    RemoveFile,
    RestartUnit,
    SetKey,
    SetPackage,
    WriteFile,
)
from . import exporter_package, exporters, metrics_findings, restore
from .exporters import SWITCH, TEXTFILES, Exporter

TRAP = "process_metrics"
ALLOWS: tuple[str, ...] = (exporter_package.CONSENT,)

# Why the collector was put back on this node; while it is there, nobody tries again.
PUT_BACK = "/var/lib/nodeward/process_metrics.put_back"

# That of the role prometheus.prometheus.node_exporter, for an exporter that reads none.
FOLDER = "/var/lib/node_exporter"

OPTIONS: dict[str, dict[str, Any]] = {
    "textfile": {"type": "bool", "default": True},
    "scrape_timeout": {"type": "int", "default": 10},
}

_WHY = "every thread takes a process id, and what nobody counts runs out unseen (incident B)"
_REASON = Reason(TRAP, _WHY)


@dataclass(frozen=True)
class Policy:
    """What is wanted. ``scrape_timeout`` is Prometheus', in seconds."""

    textfile: bool = OPTIONS["textfile"]["default"]
    scrape_timeout: int = OPTIONS["scrape_timeout"]["default"]


@dataclass(frozen=True)
class Facts:
    """Every node-exporter of the node, and which of their textfile folders are there.

    ``silent`` says why the node's own gives no metrics now; it is asked only where its collector could be turned on.
    ``put_back`` is what an earlier run left in PUT_BACK.
    """

    package: exporter_package.Facts
    exporters: tuple[Exporter, ...] = ()
    folders: frozenset[str] = frozenset()
    silent: str = ""
    put_back: str | None = None

    @property
    def own(self) -> Exporter | None:
        """The one that the node itself runs."""
        return exporters.own(self.exporters)


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read everything that plan() needs; reads only."""
    facts = Facts(exporter_package.observe(host), exporters.observe(host), put_back=host.read_text(PUT_BACK))
    own = facts.own
    if own is None:
        return facts
    folders = frozenset(path for path in (own.textfile_folder, FOLDER) if path and host.is_folder(path))
    return replace(facts, folders=folders, silent="" if own.is_on or own.unit is None else _silent(host, own))


def _silent(host: Host, exporter: Exporter) -> str:
    try:
        exporters.scrape(host, exporter.url, OPTIONS["scrape_timeout"]["default"])
    except NodewardError as error:
        return f"{error.where}: {error.what}"
    return ""


def shown(facts: Facts, _policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results."""
    return {
        "exporters": [
            {
                "unit": exporter.unit.name if exporter.unit else "",
                "is_pod": exporter.is_pod,
                "processes": exporter.is_on,
                "textfile_folder": exporter.textfile_folder,
            }
            for exporter in facts.exporters
        ]
    }


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Decide what the node needs; pure, so that captured facts give the same plan anywhere."""
    if policy.scrape_timeout < 1:
        return Plan(refusals=(_refusal(policy),))
    of_pods = tuple(finding for exporter in facts.exporters for finding in metrics_findings.in_a_pod(exporter, TRAP))
    own = facts.own
    if own is None:
        return Plan(findings=of_pods) if facts.exporters else exporter_package.plan(facts.package, TRAP, _WHY)
    changes = tuple(_changes(own, facts, policy))
    if not changes:
        return Plan(findings=of_pods)
    obstacle = _obstacle(own, facts)
    return Plan(findings=(*of_pods, obstacle)) if obstacle else Plan(changes, of_pods)


def _changes(exporter: Exporter, facts: Facts, policy: Policy) -> Iterator[Change]:
    folder = (exporter.textfile_folder or FOLDER) if policy.textfile else ""
    lacking: dict[str, str] = {SWITCH: ON} if _lacks(exporter, SWITCH) else {}
    if folder == FOLDER and _lacks(exporter, TEXTFILES):
        lacking[TEXTFILES] = folder
    keys = _keys(exporter, lacking)
    drop_in = render(exporter, lacking) if lacking and not keys else None
    if folder and folder not in facts.folders:
        yield MakeFolder(folder, _REASON)
    yield from keys
    if drop_in is not None and drop_in != exporter.drop_in:
        yield WriteFile(exporter.own, exporter.drop_in, drop_in, _REASON)
    elif drop_in is None and exporter.drop_in is not None:
        yield RemoveFile(exporter.own, exporter.drop_in, _REASON)
    if drop_in != exporter.drop_in:
        yield ReloadUnit(exporter.where, _REASON)
    # also alone: a run that was killed wrote the files and did not get here
    if keys or drop_in != exporter.drop_in or not exporter.is_on:
        yield RestartUnit(exporter.where, exporter.invocation, _REASON)


def _lacks(exporter: Exporter, flag: str) -> bool:
    """Tell whether nothing but our drop-in gives it a flag; two that do would keep it from starting."""
    return not exporter.told(flag) and (not exporter.has(flag) or exporter.drop_in is not None)


def _keys(exporter: Exporter, lacking: Mapping[str, str]) -> tuple[SetKey, ...]:
    """Return the changes of a variable that ExecStart takes as words ($ARGS), () where none will do."""
    for path, text in (exporter.unit.environments if exporter.unit else {}).items():
        for name in dict.fromkeys(env.names(text)):
            if re.search(rf"\${name}\b", exporter.start()):
                keys = tuple(_key(path, name, flag, value) for flag, value in lacking.items())
                if _can_be_written(text, keys):
                    return keys
    return ()


def _can_be_written(text: str, keys: Sequence[SetKey]) -> bool:
    try:
        for key in keys:
            text = key.applied(text)
    except NodewardError:  # it is quoted in some way that we do not write
        return False
    return True


def _key(path: str, name: str, flag: str, value: str) -> SetKey:
    if value == ON:
        return SetKey("env-switch", path, f"{name}:{flag}", None, ON, _REASON)
    return SetKey("env", path, f"{name}:{flag}", None, f"{name}:{flag}={value}", _REASON)


def render(exporter: Exporter, lacking: Mapping[str, str]) -> str:
    """Write our drop-in: the command as the unit's own files have it, and the flags."""
    words = [f"--{flag}" if value == ON else f"--{flag}={value}" for flag, value in lacking.items()]
    command = " ".join([exporter.start().rstrip(), *words])
    return f"# {MANAGED_BY}.\n[Service]\nExecStart=\nExecStart={command}\n"


def _obstacle(exporter: Exporter, facts: Facts) -> Finding | None:
    """Say why nothing can be done for it, None where something can."""
    if facts.put_back is not None and not exporter.is_on:
        return metrics_findings.put_back(TRAP, PUT_BACK, facts.put_back)
    if exporter.told(f"no-{SWITCH}") or f"--no-{SWITCH}" in exporter.words:
        return metrics_findings.turned_off(TRAP, exporter)
    unsafe = _unsafe(exporter)
    if unsafe:
        return metrics_findings.by_hand(TRAP, exporter, unsafe)
    return metrics_findings.silent(TRAP, exporter, facts.silent) if facts.silent else None


def _unsafe(exporter: Exporter) -> str:
    """Say why nobody but a person can change its command, '' where we can."""
    if exporter.unit is None or not exporter.invocation:
        return "it is no systemd unit's main process"
    path = exporter.unit.start
    try:
        unit_flags.require_plain(exporter.unit.files.get(path, ""))
    except UnsureError as unsure:
        return f"{path}: {unsure}"
    is_later = path.endswith(".conf") and posixpath.basename(path) > posixpath.basename(exporter.own)
    return f"{path} is read after our own drop-in" if is_later else ""


def _refusal(policy: Policy) -> Refusal:
    return Refusal(
        TRAP,
        f"{policy.scrape_timeout} s is no time in which anything can be scraped",
        f"{TRAP}_scrape_timeout",
        "Set it to the scrape_timeout of your Prometheus, in seconds",
    )


# --- apply ------------------------------------------------------------------------------------------


def attempt(changes: Sequence[Change], host: Host, policy: Policy) -> Plan:
    """Make the changes and look; where the exporter does worse with them they are put back, with a finding.

    Returns what was changed in the end, of an exporter that was installed also what it then had to be told. Raises
    NodewardError when something could not be put back, or none could be installed.
    """
    if any(isinstance(change, SetPackage) for change in changes):
        apply(changes, host)
        return Plan(tuple(changes)) + _configured(host, policy)
    own = observe(host).own
    url = own.url if own else ""
    try:
        apply(changes, host, lambda: _require_well(host, url, policy.scrape_timeout))
    except PutBackError as error:
        why = f"{error.where}: {error.what}"
        note = WriteFile(PUT_BACK, host.read_text(PUT_BACK), f"{why}\n", _REASON)
        apply((note,), host)
        return Plan((note,), (metrics_findings.put_back(TRAP, PUT_BACK, why),))
    return Plan(tuple(changes))


def _configured(host: Host, policy: Policy) -> Plan:
    """Plan for an exporter that has just come, once it answers, and make these changes."""
    deadline = host.clock() + exporters.COMES_BACK
    while ((facts := observe(host)).own is None or facts.silent) and host.clock() < deadline:
        host.sleep(exporters.INTERVAL)
    planned = plan(facts, policy)
    done = attempt(planned.changes, host, policy) if facts.own and planned.changes else Plan()
    return Plan(done.changes, (*planned.findings, *done.findings))


def _require_well(host: Host, url: str, timeout: float) -> None:
    exporters.require_well(lambda: exporters.scrape(host, url, timeout), url, timeout, host)


# --- restore ----------------------------------------------------------------------------------------


def going_back(facts: Facts, changes: Sequence[Change], _policy: object) -> Plan:
    """Leave them as they are, except where a package of ours goes too."""
    return exporter_package.going_back(facts.package, changes, TRAP)


guard = restore.refuse_nothing
