"""Which labs this machine has, over all checkouts: their subnets, and what was changed on the machine for them."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from pathlib import Path
from typing import Any, TypedDict, cast

from tests.lab.host import RUN, LabError, locked, run, write

# A private range that is none of the defaults of kubeadm (10.96/12), kubespray (10.233/16), Calico
# (192.168/16), k3s and flannel (10.42/15, 10.244/16), so that a drill may use those inside of the nodes.
POOL = ipaddress.IPv4Network("10.176.0.0/12")
_FILE = RUN / "registry.json"
_LOCK = RUN / "lock"
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")


class Entry(TypedDict):
    """One lab: where it comes from and what it holds."""

    checkout: str
    name: str
    subnet: str
    nodes: int


class _Registry(TypedDict, total=False):
    labs: dict[str, Entry]
    inotify: dict[str, int]


def entries() -> dict[str, Entry]:
    """All labs of this machine by id."""
    return _load().get("labs", {})


def claim(lab_id: str, checkout: Path, name: str, nodes: int) -> ipaddress.IPv4Network:
    """The subnet of this lab: the one it has, or a free one that no route of this machine covers."""
    with locked(_LOCK, "the lab registry", 60):
        registry = _load()
        labs = registry.setdefault("labs", {})
        old = labs.get(lab_id)
        subnet = ipaddress.IPv4Network(old["subnet"]) if old else _free_subnet(lab_id, labs)
        labs[lab_id] = Entry(checkout=str(checkout), name=name, subnet=str(subnet), nodes=nodes)
        _raise_inotify(registry)
        _save(registry)
        return subnet


def release(lab_id: str) -> None:
    """Forget a lab; with the last one everything that was changed on the machine goes back."""
    with locked(_LOCK, "the lab registry", 60):
        registry = _load()
        registry.setdefault("labs", {}).pop(lab_id, None)
        if registry["labs"]:
            _save(registry)
            return
        changed = registry.get("inotify")
        if changed and int(_INSTANCES.read_text()) == changed["set"]:  # else someone else has set it since
            _INSTANCES.write_text(f"{changed['old']}\n")
        for path in (_FILE, _LOCK):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # someone waits for a lock in there
            RUN.rmdir()


def _load() -> _Registry:
    try:
        return cast(_Registry, json.loads(_FILE.read_text()))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LabError(f"{_FILE} is garbled ({error}): remove it when no lab is up") from error


def _save(registry: _Registry) -> None:
    write(_FILE, json.dumps(registry, indent=1) + "\n")


def _raise_inotify(registry: _Registry) -> None:
    """About 7 instances a node are used at boot; without any left a node comes up with failed units."""
    nodes = sum(lab["nodes"] for lab in registry["labs"].values())
    now = int(_INSTANCES.read_text())
    if now < 64 + 10 * nodes:
        wanted = max(8192, 64 + 10 * nodes)
        old = registry.get("inotify", {"old": now})["old"]
        registry["inotify"] = {"old": old, "set": wanted}
        _save(registry)  # before the change: a crash between the two must not lose the old value
        _INSTANCES.write_text(f"{wanted}\n")


def _free_subnet(lab_id: str, labs: dict[str, Entry]) -> ipaddress.IPv4Network:
    taken = [ipaddress.IPv4Network(lab["subnet"]) for lab in labs.values()] + _routes()
    subnets = list(POOL.subnets(new_prefix=24))
    first = int(lab_id, 16) % len(subnets)
    for subnet in subnets[first:] + subnets[:first]:
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise LabError(f"no free /24 in {POOL}: every one is taken by a lab or covered by a route of this machine")


def _routes() -> list[ipaddress.IPv4Network]:
    routes: list[dict[str, Any]] = json.loads(
        run(["ip", "-json", "-4", "route", "show", "table", "all"]).stdout or "[]"
    )
    return [ipaddress.IPv4Network(route["dst"]) for route in routes if route["dst"] not in ("default", "0.0.0.0/0")]
