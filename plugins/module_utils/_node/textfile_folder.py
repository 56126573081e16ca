# Private to the collection nodeward.calico: may change in any release.
"""The folder of node-exporter's textfile collector, into which programs of ours write their metrics."""

from __future__ import annotations

import re

from .._core.host import Host
from . import exporters, process_metrics

# Where the textfile collector of node-exporter reads by default: Debian's package, prometheus.prometheus' role.
TEXTFILE_FOLDERS = ("/var/lib/prometheus/node-exporter", "/var/lib/node_exporter", "/var/lib/node-exporter")

# Our programs may write to the folder of the metrics.
_NOT_FOR_METRICS = (
    *("/dev/", "/proc/", "/sys/", "/run/", "/var/run/", "/usr/", "/etc/", "/bin/", "/sbin/", "/lib/", "/lib64/"),
    *("/boot/", "/tmp/", "/var/tmp/", "/var/lock/"),  # noqa: S108 - refused, not used
    *("/var/spool/", "/var/lib/kubelet/", "/var/lib/etcd/"),
)
_OF_ALL = (
    *("/home", "/media", "/mnt", "/opt", "/root", "/srv", "/var"),
    *("/var/cache", "/var/lib", "/var/local", "/var/log", "/var/mail", "/var/opt"),
)


def of(host: Host) -> str:
    """Return where the node's own node-exporter reads, or will once process_metrics has told it to, '' for nowhere.

    Root writes there, so one that anybody may have started is not asked.
    """
    exporter = exporters.own(exporters.observe(host))
    if exporter is not None and exporter.is_trusted:
        folder = exporter.textfile_folder.rstrip("/") or process_metrics.FOLDER
        return "" if unfit(folder) else folder
    return next((path for path in TEXTFILE_FOLDERS if host.is_folder(path)), "")


def unfit(folder: str) -> str:
    """Say why a folder is none for metrics, '' where it may be one."""
    # the path stands in a unit, where spaces and % say something else
    if not re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9._+-]+)+/?", folder):
        return f"{folder!r} is no absolute path of letters, digits and . _ + - without . and .."
    if folder.rstrip("/") in _OF_ALL or f"{folder}/".startswith(_NOT_FOR_METRICS):
        return f"{folder} is a folder for everything, or is, or is in, one that the system itself reads or clears"
    return ""
