# Private to the collection nodeward.calico: may change in any release.
"""The largest packet that really passes between two nodes: a switch or a cloud in between may carry less than both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .._core import echo
from .._core.host import Host
from .._core.plan import Finding

TRAP = "link_mtu"
NAME = "paths"

OPTIONS: dict[str, dict[str, Any]] = {
    "probe_paths": {"type": "bool", "default": False},
    "paths_to": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "node": {"type": "str", "required": True},
            "over": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "mtu": {"type": "int", "required": True},
        },
    },
}

PATIENCE = 0.5  # seconds for one answer; between nodes of one cluster it takes some milliseconds
TRIES = 2  # packets of one size, before it counts as one that does not pass
PAUSE = 0.02  # seconds between two packets, so at most 50 a second leave a node
BUDGET = 45.0  # seconds for all paths of one node
MOST = 24  # paths that one run of one node measures
# Bytes: IPv6's least, tunnels of all kinds on 1500 and on clouds' 1460 and 1450, PPPoE, Ethernet, clouds' jumbo frames.
USUAL = (1280, 1350, 1370, 1380, 1390, 1400, 1410, 1430, 1440, 1450, 1460, 1480, 1492, 1500, 8900, 8981)


@dataclass(frozen=True)
class Path:
    """One way to another node. ``mtu`` is what both ends are set to; ``passes`` is None where nothing was answered.

    ``over`` is the link of this node that the packets leave by. All sizes in bytes, IP header included.
    """

    node: str
    over: str
    address: str
    mtu: int
    passes: int | None
    packets: int


class _Prober:
    """Asks one address, and counts the packets."""

    def __init__(self, host: Host, address: str) -> None:
        self._host = host
        self._address = address
        self.packets = 0

    def passes(self, size: int) -> bool:
        for _try in range(TRIES):
            self.packets += 1
            told = self._host.echo(self._address, size, PATIENCE)
            self._host.sleep(PAUSE)
            if told != echo.LOST:
                return told == echo.ANSWERED
        return False


def measure(host: Host, targets: Sequence[Mapping[str, Any]]) -> tuple[list[Path], int]:
    """Measure the paths, and return how many were left for lack of time; sends two packets where a path is well."""
    paths: list[Path] = []
    start = host.clock()
    for target in targets[:MOST]:
        if host.clock() - start > BUDGET:
            break
        paths.append(_measured(host, **target))
    return paths, len(targets) - len(paths)


def _measured(host: Host, node: str, over: str, address: str, mtu: int) -> Path:
    prober = _Prober(host, address)
    passes = largest(prober.passes, mtu)
    return Path(node, over, address, mtu, passes, prober.packets)


def largest(passes: Callable[[int], bool], mtu: int) -> int | None:
    """Return the largest size up to ``mtu`` that passes, None where the smallest does not.

    What is lost takes its time, so the usual sizes are tried before all others.
    """
    if not passes(echo.SMALLEST):
        return None
    if passes(mtu):
        return mtu
    sizes = [echo.SMALLEST, *(size for size in USUAL if size < mtu), mtu]
    low, high = 0, len(sizes) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(sizes[middle]) else (low, middle)
    return _between(passes, sizes[low], sizes[high])


def _between(passes: Callable[[int], bool], low: int, high: int) -> int:
    """Search between one that passes and one that does not: mostly the first is it already."""
    middle = low + 1
    while high - low > 1:
        low, high = (middle, high) if passes(middle) else (low, middle)
        middle = (low + high) // 2
    return low


def findings(paths: Iterable[Path], left: int) -> Iterator[Finding]:
    """Say which paths carry less than both of their ends are set to, and what could not be told."""
    for path in paths:
        if path.passes is None:
            yield _silent(path)
        elif path.passes < path.mtu:
            yield _smaller(path)
    if left:
        yield Finding(
            id=f"{TRAP}.paths_not_measured",
            severity="info",
            where="the paths to other nodes",
            observed=f"{left} were not measured: {BUDGET:g} s or {MOST} paths were used up",
            wanted="all paths that were asked for",
            why="a path that carries nothing takes seconds to measure",
            remedy="Mend what was found on the others, then look again",
        )


def _smaller(path: Path) -> Finding:
    return Finding(
        id=f"{TRAP}.path:{path.over}:{path.node}",
        severity="high",
        where=f"{path.over} to {path.node} ({path.address})",
        observed=f"packets of up to {path.passes} bytes pass",
        wanted=f"{path.mtu} bytes, what both ends are set to",
        why="a switch or a cloud in between carries less, and drops what is larger without a word (incident C)",
        remedy="Have it carry more there, or lower the nodes' uplinks to what passes (link_mtu_uplink_mtu) and the "
        "tunnels with them",
    )


def _silent(path: Path) -> Finding:
    return Finding(
        id=f"{TRAP}.path_silent:{path.over}:{path.node}",
        severity="low",
        where=f"{path.over} to {path.node} ({path.address})",
        observed="no ICMP echo is answered",
        wanted="an answer, by which the path can be measured",
        why="the node is down, a firewall or a policy drops ICMP, or the tunnel carries nothing",
        remedy=f"See whether ping {path.address} is answered on this node",
    )


def shown(paths: Iterable[Path], left: int) -> dict[str, Any]:
    """Shape what was measured for results, with the number of packets that it took."""
    measured = [asdict(path) for path in paths]
    return {"measured": measured, "left": left, "packets": sum(path["packets"] for path in measured)}
