# Private to the collection nodeward.calico: may change in any release.
"""etcd with --config-file: a YAML file is all that it reads, flags and variables are ignored."""

from __future__ import annotations

from ..._core import unit_files
from ..._core.host import Host
from ..settings import NAMES
from . import foreign
from .base import UNIT, Flavour, Place, Running, Site
from .unit import EtcdUnit, is_its_own

FLAVOUR = Flavour("config-file", restarts=UNIT, priority_by_unit=True, quotes_words=True, reads_file=True)


def recognise(running: Running, host: Host) -> Site | None:
    """Find the file of a member that a unit of systemd runs."""
    path = running.config_file
    if not path or not running.unit or running.is_pod:
        return None
    read = unit_files.read(host, running.unit)
    if read is None:
        return None
    if not is_its_own(EtcdUnit.of(read), running):
        return foreign.started_by(running.unit)
    text = host.read_text(path) if path.startswith("/") else None
    if text is None:
        relative = f"{path} is named without its folder; name it from / on in --config-file"
        obstacle = f"{path} is not there" if path.startswith("/") else relative
        return Site(FLAVOUR, unit=running.unit, obstacles=dict.fromkeys(NAMES, obstacle))
    place = Place("yaml-keys", path, {name: name for name in NAMES}, text)
    return Site(FLAVOUR, (place,), dict.fromkeys(NAMES, 0), unit=running.unit)
