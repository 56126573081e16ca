# Private to the collection nodeward.calico: may change in any release.
"""One key of a file that we do not own, so that another tool's rewrite of the rest does not block us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import NodewardError
from ..formats import FORMATS, UnsureError
from ..host import Host
from .base import BLOCK, Reason, require_writable, still, took


@dataclass(frozen=True)
class SetKey:
    """Set one key of a file that is there; None is no such key.

    ``format`` is one of FORMATS; ``before`` and ``after`` are values as that format writes them. The file
    keeps its owner and mode, and a link to it stays.
    """

    format: str
    path: str
    key: str
    before: str | None
    after: str | None
    reason: Reason
    follows: ClassVar[bool] = False

    @property
    def target(self) -> str:
        return f"{self.format} {self.path}#{self.key}"

    def present(self, host: Host) -> str | None:
        text = host.read_text(self.path)
        try:
            return None if text is None else FORMATS[self.format].get(text, self.key)
        except UnsureError as unsure:
            raise self._error(str(unsure)) from unsure

    def check(self, host: Host) -> None:
        still(self.target, self.present(host), self.before)
        require_writable(host, self.path, len(self._rewritten(host) or "") + BLOCK)

    def act(self, host: Host) -> None:
        text = self._rewritten(host)
        if text is not None and text != host.read_text(self.path):
            host.write_file(self.path, text, 0o600)  # the mode is that of the file which is there

    def verify(self, host: Host) -> None:
        took(self.target, self.present(host), self.after)

    def inverse(self) -> SetKey:
        return SetKey(self.format, self.path, self.key, self.after, self.before, self.reason)

    def _rewritten(self, host: Host) -> str | None:
        """Return the file's text with the key as it should be; None where no file is, and need not be."""
        text = host.read_text(self.path)
        if text is None and self.after is None:
            return None
        return self.applied(text)

    def applied(self, text: str | None) -> str:
        """Return the file's text with the key as it should be. Raises NodewardError."""
        if text is None:
            raise self._error("there is no such file")
        try:
            return FORMATS[self.format].put(text, self.key, self.after)
        except UnsureError as unsure:
            raise self._error(str(unsure)) from unsure

    def _error(self, what: str) -> NodewardError:
        return NodewardError(
            what=f"{self.key} cannot be set: {what}",
            where=self.path,
            remedy="Mend the file, or set the key by hand",
        )


def key_change(kind: str, place: str, before: str | None, after: str | None, reason: Reason) -> SetKey:
    """Return the verb for a place as ``SetKey.target`` names it, its format aside."""
    path, _hash, key = place.rpartition("#")
    return SetKey(kind, path, key, before, after, reason)
