# Private to the collection nodeward.calico: may change in any release.
"""What keeps the kubelet's configuration from being set: told, or refused, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from .._core.formats import UnsureError
from .._core.plan import Finding, Refusal
from . import kubelet_file
from .kubelet import OVERRIDING, POD_LIMIT, Kubelet
from .kubelet_file import OWN_NAME, ConfigFile

# The options of pid_limits by the key that they are floors of.
FLOOR_OPTIONS = {"systemReserved.pid": "system_reserved_pids", "kubeReserved.pid": "kube_reserved_pids"}

WHY = {
    POD_LIMIT: "one leaking container can take every process id of the node (incident B)",
    "systemReserved.pid": "without process ids kept for it, pods can leave the system none (incident B)",
    "kubeReserved.pid": "without process ids kept for them, pods can leave kubelet and runtime none (incident B)",
}


def refused_files(kubelet: Kubelet, trap: str) -> Iterator[Refusal]:
    """Refuse a configuration with which the kubelet does not start again, and our own file where it is a link."""
    if kubelet.drop_in is not None and kubelet.drop_in.link is not None:
        yield Refusal(
            trap=trap,
            what=f"is a link to {kubelet.drop_in.link}: someone has masked or moved our drop-in",
            where=kubelet.drop_in.path,
            remedy=f"Remove the link, or leave this trap out (--skip-tags {trap})",
        )
    for file in _files(kubelet):
        if file.why_broken():
            yield Refusal(
                trap=trap,
                what=f"the configuration that the running kubelet was started with {file.why_broken()}",
                where=file.path,
                remedy="Mend it: the kubelet does not start again with it",
            )


def broken_files(kubelet: Kubelet, trap: str) -> Iterator[Finding]:
    """Find the same where nothing has to be written: there is nothing to refuse."""
    for refusal in refused_files(kubelet, trap):
        yield Finding(
            id=f"{trap}.kubelet_config",
            severity="high",
            where=refusal.where,
            observed=refusal.what,
            wanted="one with which it starts again",
            why="the kubelet runs on with what it has read, until it is restarted",
            remedy=refusal.remedy,
        )


def _files(kubelet: Kubelet) -> list[ConfigFile]:
    """Return the files of others that are no JSON."""
    return [file for file in (kubelet.config, *kubelet.others) if file is not None and not file.is_json]


def refused_reservation(kubelet: Kubelet, key: str, number: int, trap: str) -> Iterator[Refusal]:
    """Refuse a limit that a cgroup already uses more than half of."""
    reservation = kubelet.reserved.get(key)
    if reservation is None or not reservation.enforced_on:
        return
    if reservation.used is None or 2 * reservation.used > number:
        used = (
            f"it cannot be told how many threads run in it: {number} may be less than they need"
            if reservation.used is None
            else f"{reservation.used} threads run in it: {number} would leave less than half of it free"
        )
        yield Refusal(
            trap=trap,
            what=f"enforceNodeAllocatable makes {key} the limit of this cgroup, and {used}",
            where=reservation.enforced_on,
            remedy=f"Set {trap}_{FLOOR_OPTIONS[key]} to twice the threads or more, or to 0 to leave it alone",
        )


def not_running(kubelet: Kubelet, trap: str) -> Iterator[Finding]:
    """Find a kubelet that is installed and does not run: what it would be told to read is not known."""
    if kubelet.left:
        yield Finding(
            id=f"{trap}.kubelet_not_running",
            severity="info",
            where=kubelet.left,
            observed="no kubelet runs",
            wanted="a kubelet that runs, or none on this node",
            why="its limits are found by its command line, so nothing was done about them; the rest was done",
            remedy="See journalctl -u kubelet, start it and run harden again",
        )


def obstacles(kubelet: Kubelet, needs: Mapping[str, int], trap: str) -> Iterator[Finding]:
    """Find what keeps all keys from being set."""
    told = ", ".join(f"{key} {number}" for key, number in needs.items())
    if kubelet.config is None and kubelet.drop_in is None:
        yield Finding(
            id=f"{trap}.kubelet_flags",
            severity="medium",
            where=kubelet.unit or "kubelet",
            observed="a kubelet that was started with flags only",
            wanted=told,
            why=WHY[next(iter(needs))],
            remedy=f"Start it with --config, or add {_as_flags(needs)} to its command line",
        )
    elif not (kubelet.unit and kubelet.invocation):
        yield Finding(
            id=f"{trap}.kubelet_unit",
            severity="medium",
            where="kubelet",
            observed="a kubelet that no service of systemd runs",
            wanted=told,
            why="it cannot be restarted here, and a file that is written would arm its next start",
            remedy="Set the keys where that kubelet is managed, and restart it there",
        )
    elif kubelet.drop_in is None and kubelet.config is not None and kubelet.config.is_json:
        yield Finding(
            id=f"{trap}.kubelet_config",
            severity="medium",
            where=kubelet.config.path,
            observed="a configuration in JSON",
            wanted=told,
            why="only YAML is edited here, with its comments and order kept",
            remedy="Set the keys by hand and restart the kubelet, or give it a folder (--config-dir)",
        )
    elif not any(file.why_broken() for file in _files(kubelet)):
        yield from _unsure(kubelet, told, trap)


def unread(kubelet: Kubelet, keys: Collection[str], trap: str) -> Iterator[Finding]:
    """Find those of ``keys`` that have a number which cannot be told: it may be the one that is wanted."""
    for key in keys:
        if key in kubelet.unread:
            yield Finding(
                id=f"{trap}.kubelet_config",
                severity="medium",
                where=kubelet.unread[key],
                observed=f"{key} is there, in a way of writing that is not known here",
                wanted=f"{key} as a plain number",
                why=WHY[key],
                remedy="Write it in decimal digits, or see yourself that it is enough",
            )


def _unsure(kubelet: Kubelet, told: str, trap: str) -> Iterator[Finding]:
    """Find files that the kubelet may well read and we do not: what they set is not known."""
    for file in _files(kubelet):
        unsure = file.unsure()
        if unsure:
            yield Finding(
                id=f"{trap}.kubelet_config",
                severity="medium",
                where=f"{file.path} line {unsure.line}",
                observed=unsure.what,
                wanted=told,
                why="a file that is not understood whole is neither edited nor overridden here",
                remedy="Write it as one 'key: value' a line, or set the keys by hand and restart the kubelet",
            )


def hindrances(kubelet: Kubelet, key: str, trap: str) -> Iterator[Finding]:
    """Find what keeps one key from being set."""
    flag = OVERRIDING[key]
    own = kubelet.drop_in
    later = [file for file in kubelet.others if own and file.is_after(own) and file.sets(key)]
    if flag in kubelet.flags:
        yield Finding(
            id=f"{trap}.kubelet_flags",
            severity="medium",
            where=kubelet.flags[flag],
            observed=f"the flag --{flag}",
            wanted=key,
            why="a flag wins over the kubelet's configuration, so writing there would change nothing",
            remedy=f"Change or remove --{flag} there and restart the kubelet",
        )
    elif later:
        yield from (_overridden(file, key, trap) for file in later)
    elif kubelet.drop_in is None and kubelet.config is not None:
        try:
            kubelet.config.get(key)
        except UnsureError as unsure:
            yield Finding(
                id=f"{trap}.kubelet_config",
                severity="medium",
                where=f"{kubelet.config.path} line {unsure.line}",
                observed=unsure.what,
                wanted=key,
                why=WHY[key],
                remedy="Write it as one 'key: value' a line, or set it by hand",
            )


def _overridden(file: ConfigFile, key: str, trap: str) -> Finding:
    return Finding(
        id=f"{trap}.overridden",
        severity="medium",
        where=file.path,
        observed=f"{key}: {kubelet_file.word_at(key, file.text or '')}",
        wanted=key,
        why=f"this file is read after {OWN_NAME}, so it wins; the key was not written",
        remedy="Remove the key there, or have the tool that writes it set the wanted value",
    )


def _as_flags(needs: Mapping[str, int]) -> str:
    values = {key: str(number) if key == POD_LIMIT else f"pid={number}" for key, number in needs.items()}
    return " ".join(f"--{OVERRIDING[key]}={value}" for key, value in values.items())
