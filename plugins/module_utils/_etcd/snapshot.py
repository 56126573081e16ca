# Private to the collection nodeward.calico: may change in any release.
"""A snapshot of the whole database before the first member is touched. It holds every Secret of the cluster.

etcd streams the database and then its SHA-256 (server/etcdserver/api/v3rpc/maintenance.go Snapshot), which is left at
the end of the file as etcdctl does; `etcdctl snapshot restore` checks it.
"""

from __future__ import annotations

import posixpath
import re
import time

from .._core.errors import NodewardError
from .._core.host import Host
from .api import Etcd

FOLDER = "/var/lib/nodeward/etcd"
# Tried in this order where the one before is on the disk of etcd's own data.
ELSEWHERE = (FOLDER, "/var/backups/nodeward-etcd", "/root/nodeward-etcd", "/opt/nodeward-etcd")
# They go when they are too old, also where no run ever comes again. `e`: only where the folder is there.
TIDIED = "/etc/tmpfiles.d/nodeward-etcd.conf"
_TIDIES = "".join(
    ["# Managed by nodeward.calico: its snapshots of etcd hold every Secret, and go after a week.\n"]
    + [f"e {folder} 0700 root root 7d\n" for folder in ELSEWHERE]
)
KEPT = 2  # snapshots, the newest
OLDEST = 7 * 86400.0  # seconds
LONGEST_NAME = 100  # characters of a member's name
_NAME = re.compile(r"etcd-.+-([0-9]{8}T[0-9]{6}Z)\.db")
# What a run that was killed while it wrote has left (the names that write_stream and etcdctl give it meanwhile).
_LEFT = re.compile(r"\.etcd-.+-[0-9]{8}T[0-9]{6}Z\.db\.nodeward|etcd-.+-[0-9]{8}T[0-9]{6}Z\.db\.part")


def take(host: Host, etcd: Etcd, name: str, size: int, data_dir: str, folder: str = "") -> str:
    """Write a snapshot of the member ``name``, return its path, and remove older ones of ours.

    Raises NodewardError. ``size`` is that of the database in bytes; twice as much has to be free.
    """
    age(host, folder)  # what goes makes room
    where = folder or _folder(host, data_dir, size)
    if host.free_space(where) < 2 * size:
        raise NodewardError(
            what=f"has not twice the {size} bytes of the database free",
            where=where,
            remedy="Make room, or name another folder (etcd_timing_snapshot_folder)",
        )
    stamp = _stamp(host.wall_clock())
    # etcd takes any text for a member's name; here it is part of a file's
    path = posixpath.join(where, f"etcd-{re.sub('[^A-Za-z0-9._-]', '_', name)[:LONGEST_NAME]}-{stamp}.db")
    try:
        if host.read_text(TIDIED) != _TIDIES:
            host.write_file(TIDIED, _TIDIES, 0o644)
        etcd.save(path, size)
    except OSError as error:
        raise NodewardError(
            what=f"the snapshot cannot be written: {error.strerror}; no member was touched",
            where=path,
            remedy="Make room there, or name another folder (etcd_timing_snapshot_folder), then run again",
        ) from error
    age(host, folder, path)
    return path


def _folder(host: Host, data_dir: str, size: int) -> str:
    """Return the first folder on another disk than etcd's that has room, else the first with room, else the first."""
    roomy = [folder for folder in ELSEWHERE if host.free_space(folder) >= 2 * size]
    own = host.disk(data_dir)
    return next((folder for folder in roomy if host.disk(folder) != own), (*roomy, FOLDER)[0])


def age(host: Host, folder: str = "", newest: str = "") -> None:
    """Remove our snapshots beyond the newest ones, all that are too old, and parts of one. Raises NodewardError.

    ``newest`` is the path of one that was just written and stays, whatever the clock says.
    """
    for each in dict.fromkeys([folder or FOLDER, *ELSEWHERE]):
        try:
            _age(host, each, newest)
        except OSError as error:
            raise NodewardError(
                what=f"an old snapshot, which holds every Secret, cannot be removed: {error.strerror}",
                where=str(error.filename or each),
                remedy="Remove it by hand, then run again",
            ) from error


def _age(host: Host, folder: str, newest: str) -> None:
    for name in host.list_folder(folder):
        if _LEFT.fullmatch(name):
            host.remove_file(posixpath.join(folder, name))
    found = [(match[1], name) for name in host.list_folder(folder) for match in [_NAME.fullmatch(name)] if match]
    now = _stamp(host.wall_clock())
    limit = _stamp(host.wall_clock() - OLDEST)
    # one from the future was written while the clock ran ahead: nobody knows when, and it goes first
    found.sort(key=lambda each: (posixpath.join(folder, each[1]) == newest, each[0] <= now, *each), reverse=True)
    for number, (stamp, name) in enumerate(found):
        path = posixpath.join(folder, name)
        if path != newest and (number >= KEPT or stamp < limit):
            host.remove_file(path)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
