# Private to the collection nodeward.calico: may change in any release.
"""A unit of systemd, with variables in its EnvironmentFile (kubespray, Debian) or flags in its ExecStart.

A setting is changed where it stands: etcd does not start with both a variable and a flag for the same one
(pkg/flags verifyEnv). What stands nowhere goes into the environment file, and where there is none into ExecStart.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..._core import unit_files
from ..._core.formats import UnsureError, env, unit_flags
from ..._core.host import Host
from ..settings import NAMES, variable
from . import foreign
from .base import UNIT, Flavour, Place, Running, Site
from .unit import EtcdUnit, is_its_own, why_it_would_not_start

FLAVOUR = Flavour("systemd", restarts=UNIT, priority_by_unit=True)
KUBESPRAY = Flavour(
    "kubespray",
    restarts=UNIT,
    priority_by_unit=True,
    upgrade="kubespray writes /etc/etcd.env anew at its next run, from etcd_heartbeat_interval, etcd_election_timeout, "
    "etcd_snapshot_count, etcd_compaction_retention and etcd_quota_backend_bytes in the inventory",
)
DOCKER = Flavour("kubespray with docker", restarts=UNIT, priority_by_unit=False, upgrade=KUBESPRAY.upgrade)

# Units that start a container which is not in their cgroup, with the file that it gets its variables from.
CONTAINERS = {"etcd.service": "/etc/etcd.env", "etcd-events.service": "/etc/etcd-events.env"}

# Files below are a package's: its next version writes them anew.
OF_PACKAGES = ("/usr/lib/", "/lib/", "/run/")


def recognise(running: Running, host: Host) -> Site | None:
    """Find the unit of a process, or the one that started its container, and where its settings stand."""
    if running.is_pod or running.config_file:
        return None
    name = running.unit
    is_container = not name
    if is_container:
        name = next((unit for unit, path in CONTAINERS.items() if _is_of(host.read_text(path), running)), "")
    read = unit_files.read(host, name) if name else None
    if read is None:
        return None
    unit = EtcdUnit.of(read)
    if not is_container and not is_its_own(unit, running):
        return foreign.started_by(name)
    flavour = FLAVOUR
    if any(path in unit.environments for path in CONTAINERS.values()):
        flavour = DOCKER if is_container else KUBESPRAY
    if is_container and CONTAINERS[name] not in unit.environments:
        text = host.read_text(CONTAINERS[name]) or ""
        unit, flavour = EtcdUnit(name, {}, {CONTAINERS[name]: text}), DOCKER
    return _site(flavour, unit, running)


def _is_of(text: str | None, running: Running) -> bool:
    keys = ("ETCD_NAME", "ETCD_DATA_DIR")
    try:
        told = [env.get(text or "", key) for key in keys]
    except UnsureError:
        return False
    return all(value and env.unquoted(value) == running.environment.get(key) for key, value in zip(keys, told))


def _site(flavour: Flavour, unit: EtcdUnit, running: Running) -> Site:
    places = list(_places(unit))
    homes: dict[str, int] = {}
    obstacles: dict[str, str] = {}
    for name in NAMES:
        home = _home(name, unit, running, places)
        if isinstance(home, int):
            homes[name] = home
        else:
            obstacles[name] = home
    used = sorted(set(homes.values()))
    return Site(
        flavour,
        tuple(places[number] for number in used),
        {name: used.index(number) for name, number in homes.items()},
        unit=unit.name,
        obstacles=obstacles,
        broken=why_it_would_not_start(unit),
    )


def _places(unit: EtcdUnit) -> Iterator[Place]:
    """Yield everything that settings may stand in: variables, flags within a variable, ExecStart."""
    for path, text in unit.environments.items():
        yield Place("env", path, {name: variable(name) for name in NAMES}, text)
        for holder in unit.holders(text):
            yield Place("env", path, {name: f"{holder}:{name}" for name in NAMES}, text)
    if unit.names_etcd:
        yield Place("unit-flags", unit.start, {name: name for name in NAMES}, unit.files[unit.start])


def _home(name: str, unit: EtcdUnit, running: Running, places: list[Place]) -> int | str:
    """Return the number of the place where a setting stands or belongs, or why there is none."""
    try:
        standing = [number for number, place in enumerate(places) if name in place.present()]
    except UnsureError as unsure:
        return f"its files cannot be read safely ({unsure})"
    found = [places[number].path for number in standing]
    found += [path for path in [unit.elsewhere(name)] if path]
    kinds = {(places[number].format, places[number].keys[name] == variable(name)) for number in standing}
    if len(found) > 1 and (len(found) > len(standing) or len(kinds) > 1):
        return f"{name} is set in {' and '.join(dict.fromkeys(found))}, more than once: leave one of them"
    if found and not standing:
        return f"{name} is set by Environment= or the command in {found[0]}; move it into a file of EnvironmentFile="
    if standing:
        return _writable(places, standing[-1])
    return _new_home(name, unit, running, places)


def _new_home(name: str, unit: EtcdUnit, running: Running, places: list[Place]) -> int | str:
    """Return where a setting belongs that stands nowhere yet, or why there is no such place."""
    if name in running.flags or variable(name) in running.environment:
        return f"{name} is set by something that {unit.name} starts, not by a file known here"
    by_variable = [number for number, place in enumerate(places) if place.keys[name] == variable(name)]
    if by_variable:
        # one that is etcd's own, rather than one that it shares (/etc/environment)
        own = [
            number for number in by_variable if any(key.startswith("ETCD_") for key in env.names(places[number].text))
        ]
        return (*own[-1:], by_variable[0])[0]
    if unit.missing:
        return f"{unit.missing[0]}, which {unit.name} names, is not there; make it"
    starts = [number for number, place in enumerate(places) if place.format == "unit-flags"]
    if starts:
        return _writable(places, starts[0])
    return f"{unit.name} has no environment file, nor etcd in its ExecStart; give it an EnvironmentFile="


def _writable(places: list[Place], number: int) -> int | str:
    place = places[number]
    if place.format != "unit-flags":
        return number
    if place.path.startswith(OF_PACKAGES):
        return f"{place.path} is a package's; copy it to /etc/systemd/system (systemctl edit --full) first"
    try:
        unit_flags.get(place.text, NAMES[0])
    except UnsureError as unsure:
        return f"{place.path}: {unsure}"
    return number
