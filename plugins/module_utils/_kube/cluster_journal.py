# Private to the collection nodeward.calico: may change in any release.
"""What places in cluster objects looked like before our first change to them, kept in a ConfigMap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .._core import journal
from .._core.errors import NodewardError
from .._core.journal import Entry, Journal
from .port import Objects

NAME = "nodeward-journal"
COLLECTION = "/api/v1/namespaces/kube-system/configmaps"
KEY = "journal.json"


class ClusterJournal:
    """The journal as it is on the server; a change of it that meets another's raises ApiError with status 409."""

    def __init__(self, client: Objects) -> None:
        self._client = client
        self._map = client.get(f"{COLLECTION}/{NAME}")
        self.entries: dict[str, Entry] = self._read()

    def record(self, trap: str, changes: Mapping[str, tuple[str | None, str | None]], dry_run: bool = False) -> None:
        """Write down changes (before, after) by place, before they are made. The oldest before is kept.

        A dry run shows whether we may.
        """
        entries = dict(self.entries)
        for target, (before, after) in changes.items():
            known = entries.get(target)
            if known is None:
                entries[target] = Entry(trap, before, after)
            else:
                entries[target] = known.changed(before, after)
        self._write(entries, dry_run)

    def forget(self, targets: list[str]) -> None:
        """Remove places that are back; an empty journal is no journal."""
        self._write({target: entry for target, entry in self.entries.items() if target not in targets})

    def revert(self, targets: Iterable[str], known: Mapping[str, Entry]) -> None:
        """Have these places as they stood in the journal before: what an earlier run did is still to be known."""
        gone = set(targets)
        kept = {target: entry for target, entry in self.entries.items() if target not in gone or target in known}
        self._write({target: known[target] if target in gone else entry for target, entry in kept.items()})

    def _read(self) -> dict[str, Entry]:
        try:
            entries = dict(journal.decode(((self._map or {}).get("data") or {}).get(KEY)).entries)
            for target, entry in entries.items():
                if " /" in target:  # a place in an object, whose values are JSON
                    _require_json(target, entry)
        except NodewardError as error:
            raise NodewardError(error.what, f"ConfigMap kube-system/{NAME}", error.remedy) from error
        return entries

    def _write(self, entries: dict[str, Entry], dry_run: bool = False) -> None:
        if entries == self.entries:
            return
        text = Journal(tuple(entries.items())).encode()
        if self._map is None:
            new: dict[str, Any] = {"metadata": {"name": NAME, "namespace": "kube-system"}, "data": {KEY: text}}
            self._map = self._client.create(COLLECTION, {"apiVersion": "v1", "kind": "ConfigMap", **new}, dry_run)
        elif entries:
            self._map = self._client.replace(f"{COLLECTION}/{NAME}", {**self._map, "data": {KEY: text}}, dry_run)
        else:
            self._client.delete(f"{COLLECTION}/{NAME}", self._map["metadata"]["resourceVersion"])
            self._map = None
        self.entries = entries


def _require_json(target: str, entry: Entry) -> None:
    for text in (entry.before, entry.after, entry.earlier):
        try:
            json.loads(text or "null")
        except ValueError as error:
            raise NodewardError(
                what=f"says something of {target} that is no JSON",
                where="",
                remedy="Mend or remove that entry by hand (kubectl -n kube-system edit configmap nodeward-journal)",
            ) from error
