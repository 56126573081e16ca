# Private to the collection nodeward.calico: may change in any release.
"""Writing a member's configuration and starting it anew, with the way back. What happens between is member.py's."""

from __future__ import annotations

from collections.abc import Sequence

from .._core import journal
from .._core.apply import forgotten
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.verbs import Change, Reason, SetKey, WriteFile
from .._core.verbs.units import start_anew
from . import note
from .flavours import KUBELET
from .health import PATIENCE
from .seen import Seen


class Configuration:
    """The files of one member. Everything that it writes, it can put back byte for byte."""

    def __init__(self, host: Host, seen: Seen, changes: Sequence[SetKey], forget: bool = False) -> None:
        self._host = host
        self._seen = seen
        self._changes = list(changes)
        self._forget = forget
        self._texts = {change.path: host.read_text(change.path) for change in changes}
        self._journal = host.read_text(journal.PATH)
        self._is_started = False

    @property
    def writes(self) -> bool:
        """Whether there is anything to write: a restart may be all that a killed run has left to do."""
        return bool(self._changes)

    @property
    def by_kubelet(self) -> bool:
        return self._seen.site.flavour.restarts == KUBELET

    def check(self) -> None:
        """Raise NodewardError for what can be known to fail, having only looked."""
        for change in self._changes:
            change.check(self._host)
        for step in self._recorded():
            step.check(self._host)

    def require_same(self) -> None:
        """Raise NodewardError where somebody else wrote a file since: what would go back is not what they wrote."""
        for path in self.not_back():
            raise NodewardError(
                what="somebody else has written it since this run read it; nothing was changed",
                where=path,
                remedy="See what writes it (an upgrade, kubespray) and that it is through, then run again",
            )

    def write(self) -> None:
        """Write a note, the journal, then the files: for a static pod a restart. Raises NodewardError, OSError."""
        if self._changes:
            note.leave(self._host, self._seen.name, self._seen.site.unit, self._changes)
        recorded = self._recorded()
        for step in recorded if not self._forget else ():
            step.act(self._host)
        for path, text in self._rewritten().items():
            self._host.write_file(path, text, 0o600)  # the mode is that of the file which is there
        for change in self._changes:
            change.verify(self._host)
        for step in recorded if self._forget else ():
            step.act(self._host)

    def start(self) -> None:
        """Have systemd start it anew, in order: etcd hands its leadership over at SIGTERM. Raises NodewardError."""
        self._is_started = True
        if not self.by_kubelet:
            unit = self._seen.site.unit
            self._host.run(["systemctl", "daemon-reload"])
            start_anew(self._host, unit, PATIENCE)

    def _rewritten(self) -> dict[str, str]:
        """Return the new text of each file: one write, or who is killed between two leaves half of them.

        Raises NodewardError.
        """
        texts: dict[str, str] = {}
        for change in self._changes:
            text = texts.get(change.path, self._host.read_text(change.path))
            texts[change.path] = change.applied(text)
        return {path: text for path, text in texts.items() if text != self._host.read_text(path)}

    def not_back(self) -> list[str]:
        """Return the files that are not as they were."""
        return [path for path, text in self._texts.items() if self._host.read_text(path) != text]

    def is_touched(self) -> bool:
        """Tell whether it may run with something else by now; a unit reads what was written when it starts anew.

        Raises OSError.
        """
        return self._is_started or (self.by_kubelet and bool(self.not_back()))

    def put_back(self) -> None:
        """Bring files and journal back to what they were. Raises OSError."""
        for path in self.not_back():
            self._host.write_file(path, self._texts[path] or "", 0o600)
        if self._host.read_text(journal.PATH) != self._journal:
            if self._journal is None:
                self._host.remove_file(journal.PATH)
            else:
                self._host.write_file(journal.PATH, self._journal, journal.MODE)

    def _recorded(self) -> Sequence[Change]:
        if self._forget:
            return forgotten([change.target for change in self._changes], self._host)
        known = journal.decode(self._journal)
        after = known.record(self._changes)
        if after == known:
            return ()
        reason = Reason("journal", "what restore goes by")
        return (WriteFile(journal.PATH, self._journal, after.encode(), reason, journal.MODE),)


def told(error: Exception) -> str:
    """Say an error in a sentence."""
    if isinstance(error, NodewardError):
        return f"{error.where}: {error.what}"
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
