# Private to the collection nodeward.calico: may change in any release.
"""etcd with --config-file: a YAML file is all that it reads, flags and variables are ignored."""

from __future__ import annotations

from ..._core.errors import NodewardError
from ..._core.host import Host
from ..._core.verbs.units import main_process
from ..settings import NAMES
from .base import UNIT, Flavour, Place, Running, Site

FLAVOUR = Flavour("config-file", restarts=UNIT, priority_by_unit=True, quotes_words=True, reads_file=True)


def recognise(running: Running, host: Host) -> Site | None:
    """Find the file of a member that is the main process of a unit of systemd."""
    path = running.config_file
    if not path or not running.unit or running.is_pod or not _is_main(host, running):
        return None
    text = host.read_text(path) if path.startswith("/") else None
    if text is None:
        relative = f"{path} is named without its folder; name it from / on in --config-file"
        obstacle = f"{path} is not there" if path.startswith("/") else relative
        return Site(FLAVOUR, unit=running.unit, obstacles=dict.fromkeys(NAMES, obstacle))
    place = Place("yaml-keys", path, {name: name for name in NAMES}, text)
    return Site(FLAVOUR, (place,), dict.fromkeys(NAMES, 0), unit=running.unit)


def _is_main(host: Host, running: Running) -> bool:
    """Tell whether a restart of its unit is its own: what is around others (supervisord, cron) is not restarted."""
    try:
        return main_process(host, running.unit) == running.pid
    except NodewardError:
        return False
