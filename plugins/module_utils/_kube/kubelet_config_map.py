# Private to the collection nodeward.calico: may change in any release.
"""kubeadm's own copy of the kubelet's configuration, from which every upgrade writes that of the nodes.

It is data.kubelet of the ConfigMap kubelet-config in kube-system, kubelet-config-1.N before Kubernetes 1.24
(kubeadm's phases/kubelet and constants.GetKubeletConfigMapName). The hash that kubeadm annotates it with is
left as it is: kubeadm takes a text that does not match it for a user's, and keeps it
(cmd/kubeadm/app/componentconfigs/checksums.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._core.errors import NodewardError
from .._core.formats import UnsureError, yaml_block
from .._core.formats.yaml_lines import unquoted
from .._core.host import Host
from .._core.plan import Finding
from . import conflict, kubeconfig
from .client import Client
from .cluster_journal import COLLECTION, ClusterJournal
from .quantity import quantity

TRAP = "pid_limits"
CAP = "podPidsLimit"
OPTIONS = {
    CAP: "pod_pids_limit",
    "systemReserved.pid": "system_reserved_pids",
    "kubeReserved.pid": "kube_reserved_pids",
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["hardened", "restored"], "default": "hardened"},
    **{option: {"type": "int"} for option in OPTIONS.values()},
    "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
}

_WHY = "the next kubeadm upgrade writes the nodes' configuration from it"

# (before, after) by key, as YAML writes them
_Changes = dict[str, "tuple[str | None, str | None]"]


@dataclass(frozen=True)
class ConfigMap:
    """The ConfigMap as the server has it."""

    item: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def where(self) -> str:
        return f"ConfigMap kube-system/{self.name}"

    @property
    def text(self) -> str:
        return str((self.item.get("data") or {}).get("kubelet") or "")

    def get(self, key: str) -> str | None:
        """Return a value as it is written. Raises NodewardError."""
        try:
            return yaml_block.get(self.text, key)
        except UnsureError as unsure:
            raise self._error(key, unsure) from unsure

    def changed(self, changes: _Changes) -> dict[str, Any]:
        """Return the object with these keys set, of the version that was read. Raises NodewardError."""
        text = self.text
        for key, (_before, after) in changes.items():
            try:
                text = yaml_block.put(text, key, after)
            except UnsureError as unsure:
                raise self._error(key, unsure) from unsure
        return {**self.item, "data": {**self.item["data"], "kubelet": text}}

    def _error(self, key: str, unsure: UnsureError) -> NodewardError:
        return NodewardError(
            what=f"{key} cannot be set in its text: {unsure}",
            where=self.where,
            remedy=f"Mend it, or set the key by hand (kubectl -n kube-system edit configmap {self.name})",
        )


def run(host: Host, path: str, wanted: Mapping[str, int | None], restore: bool, check_mode: bool) -> dict[str, Any]:
    """Set or restore the keys with the kubeconfig at ``path``, and return the module's result.

    Where there is no such file a finding says so: some keep it off their nodes, and the nodes themselves are well.
    Raises NodewardError with nothing changed, or with what the journal knows.
    """
    if host.read_text(path) is None:
        return {"changed": False, "changes": [], "findings": [_no_way_in(path, restore).describe()], "diff": []}
    client = Client(host, kubeconfig.read(path, host.read_text))
    return conflict.retried(lambda: (_restored if restore else _hardened)(client, wanted, check_mode))


def _hardened(client: Client, wanted: Mapping[str, int | None], check_mode: bool) -> dict[str, Any]:
    present = find(client)
    changes = plan(present, wanted)
    if changes and not check_mode:
        ClusterJournal(client).record(TRAP, {_target(key): change for key, change in changes.items()})
        client.replace(f"{COLLECTION}/{present.name}", present.changed(changes))
    return _result(present, changes, _WHY, [])


def _restored(client: Client, _wanted: Mapping[str, int | None], check_mode: bool) -> dict[str, Any]:
    known = ClusterJournal(client)
    entries = {key: known.entries[_target(key)] for key in OPTIONS if _target(key) in known.entries}
    if not entries:
        return {"changed": False, "changes": [], "findings": [], "diff": []}
    present = find(client)
    values = {key: present.get(key) for key in entries}
    changes: _Changes = {
        key: (values[key], entry.before) for key, entry in entries.items() if entry.is_ours(values[key])
    }
    left = [key for key, entry in entries.items() if values[key] not in (*entry.ours, entry.before)]
    if not check_mode:
        if changes:
            client.replace(f"{COLLECTION}/{present.name}", present.changed(changes))
        known.forget([_target(key) for key in entries if key not in left])
    findings = [_changed_since(present, key, values[key], entries[key].before) for key in left]
    return _result(present, changes, "back to what it was before the first run", findings)


def find(client: Client) -> ConfigMap:
    """Return the ConfigMap that kubeadm reads. Raises NodewardError where there is none."""
    item = client.get(f"{COLLECTION}/kubelet-config")
    if item is None:
        item = max(_versioned(client), key=lambda each: _minor(each["metadata"]["name"]), default=None)
    if item is None:
        raise NodewardError(
            what="there is no kubelet-config, so this is no cluster of kubeadm's",
            where="ConfigMaps of kube-system",
            remedy="Leave this out, or see why kubeadm's ConfigMap is gone (kubeadm init phase upload-config kubelet)",
        )
    return ConfigMap({"apiVersion": "v1", "kind": "ConfigMap", **item})


def _versioned(client: Client) -> Iterator[dict[str, Any]]:
    listed = client.get(COLLECTION) or {}
    yield from (item for item in listed.get("items") or [] if _minor(item["metadata"]["name"]) >= 0)


def _minor(name: str) -> int:
    found = re.fullmatch(r"kubelet-config-1\.([0-9]{1,4})", name)
    return int(found.group(1)) if found else -1


def plan(present: ConfigMap, wanted: Mapping[str, int | None]) -> _Changes:
    """Decide what is set: the cap where there is none, a floor where it is lower. Raises NodewardError."""
    changes: _Changes = {}
    for key, number in wanted.items():
        if number is None or number < 1:
            continue
        value = present.get(key)
        has = quantity(unquoted(value)) if value is not None else None
        is_met = (has or 0) >= 1 if key == CAP else (has or 0) >= number
        if not is_met:
            changes[key] = (value, str(number) if key == CAP else f'"{number}"')
    return changes


def _target(key: str) -> str:
    """Name the place whatever the ConfigMap is called: its name changes with an upgrade to 1.24."""
    return f"kubelet-config {key}"


def _result(present: ConfigMap, changes: _Changes, why: str, findings: list[Finding]) -> dict[str, Any]:
    described = [
        {"trap": TRAP, "target": f"{present.where} {key}", "before": before, "after": after, "why": why, "disrupts": ""}
        for key, (before, after) in changes.items()
    ]
    diff = {
        "before_header": present.where,
        "after_header": present.where,
        # these keys alone: what else is in it may be nobody's business (staticPodURLHeader)
        "before": "".join(f"{key}: {before}\n" for key, (before, _after) in changes.items() if before is not None),
        "after": "".join(f"{key}: {after}\n" for key, (_before, after) in changes.items() if after is not None),
    }
    return {
        "changed": bool(changes),
        "changes": described,
        "findings": [finding.describe() for finding in findings],
        "diff": [diff] if changes else [],
    }


def _no_way_in(path: str, restore: bool) -> Finding:
    return Finding(
        id=f"{TRAP}.kubeadm_untouched",
        severity="medium",
        where=path,
        observed="no such file",
        wanted="a kubeconfig that may change ConfigMaps in kube-system",
        why="kubeadm's ConfigMap may still hold our limits"
        if restore
        else "the next kubeadm upgrade takes the limits back",
        remedy="Run the module kubelet_config_map where there is one, or edit the ConfigMap kubelet-config by hand",
    )


def _changed_since(present: ConfigMap, key: str, value: str | None, before: str | None) -> Finding:
    return Finding(
        id=f"{TRAP}.changed_since",
        severity="medium",
        where=f"{present.where} {key}",
        observed="absent" if value is None else value,
        wanted="absent" if before is None else before,
        why="someone else changed it after we did, so it is left as it is",
        remedy="See who set it; if it is not wanted, set it back by hand",
    )
