# Private to the collection nodeward.calico: may change in any release.
"""Trap process_metrics, where a DaemonSet runs node-exporter, as in kube-prometheus-stack; all but capture() pure.

Three things are needed: the collector ``processes``; the node's own process ids (hostPID: since Linux 6.14 a pod
without it reads a limit of its own, kernel/pid.c); and a folder of the node where others leave metrics, for the
textfile collector. Everything else of the DaemonSet stays as it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._core.plan import Finding
from .._node.exporters import SWITCH, TEXTFILES
from .._node.process_metrics import FOLDER
from . import exporter_findings, objects, places, probe_findings
from .client import allowed
from .exporter_findings import CONSENT, TRAP, Lack
from .objects import ClusterPlan, FieldChange, Ref
from .port import Api, Item

# What the container is called by prometheus-community's charts and kube-prometheus, and what images are, mirrors too
# (rancher/mirrored-prometheus-node-exporter).
NAMES = ("node-exporter", "node_exporter", "prometheus-node-exporter")
_IMAGE = re.compile(r"(^|[/-])node[-_]exporter(?=[:@]|$)")

# Our mount: the kubelet makes the folder where it is not, so the collector has one to read on every node.
VOLUME = "nodeward-textfile"
MOUNT = "/host/textfile"

_POD = "/spec/template/spec"
HOST_PID = f"{_POD}/hostPID"

# Why it was put back; while it is there, nobody tries again.
PUT_BACK = f"/metadata/annotations{places.pointer(exporter_findings.NOTE)}"

_WHY = "every thread takes a process id, and what nobody counts runs out unseen (incident B)"
_WHY_HOST_PID = "without the node's process ids it reports a limit that is none (Linux 6.14, kernel/pid.c)"
_WHY_FOLDER = "what others measure on the node, as bird_watchdog does, reaches Prometheus through a folder"

# What a change of this reason mends.
_LACKS: dict[str, Lack] = {
    _WHY: exporter_findings.PROCESSES,
    _WHY_HOST_PID: exporter_findings.HOST_PID,
    _WHY_FOLDER: exporter_findings.TEXTFILE,
}


@dataclass(frozen=True)
class Policy:
    """What is wanted besides the collector: whether it is to read a textfile folder."""

    textfile: bool = True


@dataclass(frozen=True)
class Exporter:
    """A DaemonSet and its container that is a node-exporter."""

    item: Item
    container: Item

    @property
    def ref(self) -> Ref:
        metadata = self.item["metadata"]
        return objects.daemon_set(str(metadata["namespace"]), str(metadata["name"]))

    @property
    def within(self) -> str:
        """The place of its container."""
        return f"{_POD}/containers{places.pointer(self.container['name'])}"

    @property
    def where(self) -> str:
        return f"{self.ref.where} {self.container['name']}"

    @property
    def words(self) -> list[str]:
        return [*map(str, self.container.get("command") or []), *map(str, self.container.get("args") or [])]

    @property
    def sees_host(self) -> bool:
        return places.get(self.item, HOST_PID) is True

    def has(self, flag: str) -> bool:
        return any(word.partition("=")[0] == f"--{flag}" for word in self.words)

    def value(self, flag: str, usual: str = "") -> str:
        """Return the last value of a flag (--flag=value, --flag value), the usual one for none."""
        pairs = zip(self.words, (*self.words[1:], ""))
        given = [word.partition("=")[2] or after for word, after in pairs if word.partition("=")[0] == f"--{flag}"]
        return ([usual] + [value for value in given if value])[-1]

    @property
    def put_back(self) -> str | None:
        """What an earlier run noted when the exporter did worse with the collector, None for nothing."""
        note = places.get(self.item, PUT_BACK)
        return None if note is None or self.has(SWITCH) else str(note)

    @property
    def starts_itself(self) -> bool:
        """Tell whether words in ``args`` reach it: a shell in ``command`` would not hand them on."""
        command = self.container.get("command") or ["node_exporter"]
        return posixpath.basename(str(command[0])) in NAMES

    @property
    def pods(self) -> int:
        return int(places.get(self.item, "/status/desiredNumberScheduled") or 0)


@dataclass(frozen=True)
class Exporters:
    """Those of the cluster; ``may_look`` is False where the user may not list DaemonSets."""

    found: tuple[Exporter, ...] = ()
    may_look: bool = True


def capture(api: Api) -> Exporters:
    """Read every DaemonSet that runs a node-exporter, in all namespaces. Raises ApiError."""
    # of somebody else's namespaces, so it is no reason to ask for more rights
    listed = allowed(lambda: api.items("/apis/apps/v1/daemonsets"))
    refs = [each.ref for item in listed or () for each in of(item)]
    # items of a list lack their kind
    read = [api.get(ref.path) for ref in refs]
    return Exporters(tuple(each for item in read if item for each in of(item)), listed is not None)


def of(item: Item) -> Iterator[Exporter]:
    """Yield the node-exporter of a DaemonSet, where it is one."""
    for container in places.get(item, f"{_POD}/containers") or []:
        if container.get("name") in NAMES or _IMAGE.search(str(container.get("image", ""))):
            yield Exporter(item, container)
            return


def plan(exporters: Exporters, policy: Policy) -> ClusterPlan:
    """Decide what the DaemonSets need; pure, so that captured objects give the same plan anywhere."""
    wanted = [change for exporter in exporters.found for change in _changes(exporter, policy)]
    read = {exporter.ref.path: exporter.item for exporter in exporters.found}
    changes, told = probe_findings.kept_by_tools(TRAP, read, wanted)
    findings = [] if exporters.may_look else [exporter_findings.not_allowed()]
    for exporter in exporters.found:
        findings += _findings(exporter, [change for change in wanted if change.ref == exporter.ref], changes)
    captured = {ref.path: read[ref.path] for ref in objects.refs(changes)}
    return ClusterPlan(tuple(changes), (*findings, *told), captured=captured)


def _findings(exporter: Exporter, wanted: Sequence[FieldChange], changes: Sequence[FieldChange]) -> Iterator[Finding]:
    if exporter.has(f"no-{SWITCH}"):
        yield exporter_findings.turned_off(exporter.where)
    elif exporter.put_back is not None:
        yield exporter_findings.put_back(exporter.ref, exporter.put_back)
    elif not exporter.starts_itself:
        yield exporter_findings.by_hand(exporter.where, exporter.words[0])
    for lack in dict.fromkeys(_LACKS[change.why] for change in wanted):
        yield exporter_findings.lacking(exporter.where, lack, mended=wanted[0] in changes)
    yield from probe_findings.not_rolled_out(TRAP, exporter.ref, exporter.item, "older flags")


def _changes(exporter: Exporter, policy: Policy) -> Iterator[FieldChange]:
    if exporter.has(f"no-{SWITCH}") or exporter.put_back is not None or not exporter.starts_itself:
        return  # somebody turned it off, it did harm, or a person has to; a finding says so
    if not exporter.sees_host:
        yield _change(exporter, HOST_PID, True, _WHY_HOST_PID)
    if not exporter.has(SWITCH):
        yield _change(exporter, _argument(exporter, SWITCH), f"--{SWITCH}", _WHY)
    if policy.textfile and not exporter.has(TEXTFILES) and not exporter.has("no-collector.textfile"):
        source = {"name": VOLUME, "hostPath": {"path": FOLDER, "type": "DirectoryOrCreate"}}
        mount = {"name": VOLUME, "mountPath": MOUNT, "readOnly": True}
        for place, after in (
            (f"{_POD}/volumes/{VOLUME}", source),
            (f"{exporter.within}/volumeMounts/{VOLUME}", mount),
            (_argument(exporter, TEXTFILES), f"--{TEXTFILES}={MOUNT}"),
        ):
            if places.get(exporter.item, place) != after:
                yield _change(exporter, place, after, _WHY_FOLDER)


def note(item: Item, ref: Ref, why: str) -> ClusterPlan:
    """Plan to say on a DaemonSet why it was put back, which restarts nothing."""
    change = FieldChange(TRAP, ref, PUT_BACK, places.get(item, PUT_BACK), why, _WHY, disrupts="")
    return ClusterPlan((change,), captured={ref.path: item})


def _argument(exporter: Exporter, flag: str) -> str:
    return f"{exporter.within}/args/--{flag}"


def _change(exporter: Exporter, place: str, after: object, why: str) -> FieldChange:
    return FieldChange(TRAP, exporter.ref, place, places.get(exporter.item, place), after, why, CONSENT)


def textfile_folder(exporter: Exporter) -> str:
    """Return the folder of the node that its textfile collector reads, '' where it reads none of the node's."""
    given = f"{exporter.value(TEXTFILES).rstrip('/')}/"
    for mount in sorted(exporter.container.get("volumeMounts") or [], key=_depth, reverse=True):
        inside = f"{str(mount['mountPath']).rstrip('/')}/"
        if given.startswith(inside):
            volume = places.get(exporter.item, f"{_POD}/volumes{places.pointer(mount['name'])}/hostPath/path")
            return posixpath.join(str(volume), given[len(inside) :]).rstrip("/") if volume else ""
    return ""


def _depth(mount: Item) -> int:
    return len(str(mount["mountPath"]))


def shown(exporters: Exporters) -> list[dict[str, object]]:
    """Shape what was seen for results."""
    return [
        {
            "name": exporter.ref.name,
            "pods": exporter.pods,
            "processes": exporter.has(SWITCH),
            "host_pid": exporter.sees_host,
            "textfile_folder": textfile_folder(exporter),
        }
        for exporter in exporters.found
    ]
