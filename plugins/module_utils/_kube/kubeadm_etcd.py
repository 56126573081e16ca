# Private to the collection nodeward.calico: may change in any release.
"""kubeadm's own copy of etcd's flags, from which its next upgrade writes the manifest of every member anew.

It is data.ClusterConfiguration of the ConfigMap kubeadm-config in kube-system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.errors import NodewardError
from .._core.formats import UnsureError
from .._core.host import Host
from .._core.plan import Finding
from . import conflict, kubeadm_args, kubeconfig
from .client import Client
from .cluster_journal import COLLECTION, ClusterJournal

TRAP = "etcd_timing"
NAME = "kubeadm-config"
WHERE = f"ConfigMap kube-system/{NAME}"
KEY = "ClusterConfiguration"

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
    "arguments": {"type": "dict", "default": {}},
    "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
}

_WHY = "the next kubeadm upgrade writes the members' manifests from it"
_BACK = "back to what it was before the first run"

# (before, after) by argument
_Changes = dict[str, "tuple[str | None, str | None]"]


def run(host: Host, path: str, wanted: Mapping[str, str], restore: bool, check_mode: bool) -> dict[str, Any]:
    """Set or restore the arguments with the kubeconfig at ``path``, and return the module's result.

    Where there is no such file or ConfigMap, or it cannot be edited safely, a finding says so: the members
    themselves are well. Raises NodewardError with nothing changed, or with what the journal knows.
    """
    if host.read_text(path) is None:
        return _result({}, _WHY, [_untouched(path, "no such file")])
    client = Client(host, kubeconfig.read(path, host.read_text))
    try:
        return conflict.retried(
            lambda: _restored(client, check_mode) if restore else _hardened(client, wanted, check_mode)
        )
    except UnsureError as unsure:
        return _result({}, _WHY, [_untouched(WHERE, str(unsure))])


def _hardened(client: Client, wanted: Mapping[str, str], check_mode: bool) -> dict[str, Any]:
    item = client.get(f"{COLLECTION}/{NAME}")
    if item is None:
        return _result({}, _WHY, [_untouched(WHERE, "there is none")])
    text = _text(item)
    changes: _Changes = {
        key: (kubeadm_args.get(text, key), value)
        for key, value in wanted.items()
        if kubeadm_args.get(text, key) != value
    }
    changed = _put(item, changes)
    if changes and not check_mode:
        ClusterJournal(client).record(TRAP, {_target(key): change for key, change in changes.items()})
        client.replace(f"{COLLECTION}/{NAME}", changed)
    return _result(changes, _WHY, [])


def _restored(client: Client, check_mode: bool) -> dict[str, Any]:
    known = ClusterJournal(client)
    entries = {target.rpartition(" ")[2]: e for target, e in known.entries.items() if target.startswith(_target(""))}
    item = client.get(f"{COLLECTION}/{NAME}") if entries else None
    if item is None:
        return _result({}, _BACK, [])
    present = {key: kubeadm_args.get(_text(item), key) for key in entries}
    changes: _Changes = {
        key: (present[key], entry.before) for key, entry in entries.items() if entry.is_ours(present[key])
    }
    left = [key for key, entry in entries.items() if present[key] not in (*entry.ours, entry.before)]
    changed = _put(item, changes)
    if not check_mode:
        if changes:
            client.replace(f"{COLLECTION}/{NAME}", changed)
        known.forget([_target(key) for key in entries if key not in left])
    return _result(changes, _BACK, [_changed_since(key, present[key], entries[key].before) for key in left])


def _text(item: Mapping[str, Any]) -> str:
    return str((item.get("data") or {}).get(KEY) or "")


def _put(item: Mapping[str, Any], changes: _Changes) -> dict[str, Any]:
    text = _text(item)
    for key, (_before, after) in changes.items():
        text = kubeadm_args.put(text, key, after)
    return {"apiVersion": "v1", "kind": "ConfigMap", **item, "data": {**(item.get("data") or {}), KEY: text}}


def _target(key: str) -> str:
    return f"kubeadm-config etcd {key}"


def _result(changes: _Changes, why: str, findings: list[Finding]) -> dict[str, Any]:
    where = f"{WHERE} etcd.local.extraArgs"
    lines = [(key, *change) for key, change in changes.items()]
    diff = {
        "before_header": where,
        "after_header": where,
        "before": "".join(f"{key}: {before}\n" for key, before, _after in lines if before is not None),
        "after": "".join(f"{key}: {after}\n" for key, _before, after in lines if after is not None),
    }
    return {
        "changed": bool(changes),
        "changes": [
            {"trap": TRAP, "target": f"{where} {key}", "before": before, "after": after, "why": why, "disrupts": ""}
            for key, before, after in lines
        ],
        "findings": [finding.describe() for finding in findings],
        "diff": [diff] if changes else [],
    }


def _untouched(where: str, observed: str) -> Finding:
    return Finding(
        id=f"{TRAP}.kubeadm_untouched",
        severity="medium",
        where=where,
        observed=observed,
        wanted="kubeadm's copy of etcd's flags, to be set as well",
        why=_WHY,
        remedy=f"Set etcd.local.extraArgs by hand (kubectl -n kube-system edit configmap {NAME})",
    )


def _changed_since(key: str, value: str | None, before: str | None) -> Finding:
    return Finding(
        id=f"{TRAP}.changed_since",
        severity="medium",
        where=f"{WHERE} etcd.local.extraArgs {key}",
        observed="absent" if value is None else value,
        wanted="absent" if before is None else before,
        why="someone else changed it after we did, so it is left as it is",
        remedy="See who set it; if it is not wanted, set it back by hand",
    )


def wanted(given: Mapping[str, Any]) -> dict[str, str]:
    """Read the module's arguments. Raises NodewardError."""
    for name, value in given.items():
        if not name or not str(value) or '"' in str(value) or "\\" in str(value) or "\n" in str(value):
            raise NodewardError(f"{value!r} is no value of {name!r}", "kubeadm_etcd_args", "Give plain words")
    return {name: str(value) for name, value in given.items()}
