# Private to the collection nodeward.calico: may change in any release.
"""The largest packet that really passes between two nodes: a switch or a cloud in between may carry less than both."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .._core import echo
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import Finding
from . import calico_links

TRAP = "link_mtu"
NAME = "paths"

# How the ids of its findings begin. They carry the trap's name, but only a run that measures tells that they are gone.
IDS = (f"{TRAP}.path:", f"{TRAP}.path_silent:", f"{TRAP}.paths_not_measured")

OPTIONS: dict[str, dict[str, Any]] = {
    "probe_paths": {"type": "bool"},  # no default: one would count as asked for
    "paths_to": {
        "type": "list",
        "elements": "dict",
        "options": {
            "node": {"type": "str", "required": True},
            "over": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "mtu": {"type": "int", "required": True},
            "carries": {"type": "int"},
        },
    },
}

PATIENCE = 0.5  # seconds for one answer; between nodes of one cluster it takes some milliseconds
TRIES = 2  # packets of one size, before it counts as one that does not pass
SEARCHES = 2  # where the first one was misled
PAUSE = 0.02  # seconds between two packets, so at most 50 a second leave a node
# Seconds in which one node begins paths; the last one may take 19 more, as 18 sizes are lost on the worst, and twice
# that where packets are lost by chance, too.
BUDGET = 45.0
MOST = 24  # paths that one run of one node measures
# Bytes: IPv6's least, tunnels of all kinds on 1500 and on clouds' 1460 and 1450, PPPoE, Ethernet, clouds' jumbo frames.
USUAL = (1280, 1350, 1370, 1380, 1390, 1400, 1410, 1430, 1440, 1450, 1460, 1480, 1492, 1500, 8900, 8981)


@dataclass(frozen=True)
class Path:
    """One way to another node. ``mtu`` is what both ends are set to.

    ``passes`` is None where nothing was answered, at first or in the end. ``over`` is the link of this node that is
    meant to be taken. ``carries`` is what the uplinks of both ends carry, and leave a tunnel, where that is known.
    ``not_sent`` says that the node's own kernel let the smallest size that failed not out. All sizes in bytes, IP
    header included.
    """

    node: str
    over: str
    address: str
    mtu: int
    passes: int | None
    packets: int
    carries: int | None = None
    not_sent: bool = False


class _Prober:
    """Asks one address, counts the packets, and keeps how the last size that failed did so: it is the smallest."""

    def __init__(self, host: Host, address: str) -> None:
        self._host = host
        self._address = address
        self.packets = 0
        self.failed = ""

    def passes(self, size: int) -> bool:
        told = echo.LOST
        for _try in range(TRIES):
            self.packets += 1
            told = self._host.echo(self._address, size, PATIENCE)
            self._host.sleep(PAUSE)
            if told != echo.LOST:
                break
        if told != echo.ANSWERED:
            self.failed = told
        return told == echo.ANSWERED


def measure(host: Host, targets: Sequence[Mapping[str, Any]]) -> tuple[list[Path], int]:
    """Measure the paths, and return how many were left for lack of time.

    Sends two packets where a path is well, and up to 46 where an unusual size passes (36 up to 1500 bytes, 40 up to
    9000); at most twice as many where it loses packets by chance, too. What is begun within BUDGET is measured to its
    end.

    Raises NodewardError, before the first packet, where one of the targets cannot be meant.
    """
    _require_usable(targets)
    paths: list[Path] = []
    start = host.clock()
    for target in targets[:MOST]:
        if host.clock() - start > BUDGET:
            break
        paths.append(_measured(host, **target))
    return paths, len(targets) - len(paths)


def _require_usable(targets: Sequence[Mapping[str, Any]]) -> None:
    for number, target in enumerate(targets):
        _require_address(str(target["address"]), f"paths_to[{number}].address")
        if not echo.SMALLEST <= target["mtu"] <= echo.LARGEST:
            raise NodewardError(
                what=f"{target['mtu']} is no size of a packet",
                where=f"paths_to[{number}].mtu",
                remedy=f"Give the bytes that should pass, {echo.SMALLEST} to {echo.LARGEST}",
            )


def _require_address(address: str, where: str) -> None:
    remedy = "Give the IPv4 or IPv6 address of a link of the other node, without a prefix length"
    try:
        known = ipaddress.ip_address(address)
    except ValueError as error:
        raise NodewardError(f"{address!r} is no IP address", where, remedy) from error
    if known.is_loopback or known.is_multicast or known.is_unspecified:
        raise NodewardError(f"{address} is no address of another node", where, remedy)


def _measured(host: Host, node: str, over: str, address: str, mtu: int, carries: int | None = None) -> Path:
    prober = _Prober(host, address)
    passes = largest(prober.passes, mtu)
    return Path(node, over, address, mtu, passes, prober.packets, carries, prober.failed == echo.NOT_SENT)


def largest(passes: Callable[[int], bool], mtu: int) -> int | None:
    """Return the largest size up to ``mtu`` that passes, None where nothing does, or no answers come in the end.

    What is told has MTUs lowered, so it is asked for once more, after all that took its time: on a network that loses
    packets a size seems not to pass now and then, and of a node that went away, or came back, none does meanwhile.
    What passes is asked for before and after what does not.
    """
    if not passes(echo.SMALLEST):
        return None
    if passes(mtu):
        return mtu
    least = echo.SMALLEST
    for _search in range(SEARCHES):
        found = _between(passes, least, mtu)
        if not passes(found):
            return None
        if passes(mtu):
            return mtu
        if found + 1 == mtu or not passes(found + 1):
            return found if passes(found) else None
        least = found + 1
    return None


def _between(passes: Callable[[int], bool], least: int, most: int) -> int:
    """Search between a size that passes and one that does not.

    What is lost takes its time, so the usual sizes are tried before all others: mostly it is one of them.
    """
    sizes = [least, *(size for size in USUAL if least < size < most), most]
    low, high = 0, len(sizes) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(sizes[middle]) else (low, middle)
    least, most = sizes[low], sizes[high]
    middle = least + 1  # mostly the first is it already
    while most - least > 1:
        least, most = (middle, most) if passes(middle) else (least, middle)
        middle = (least + most) // 2
    return least


def findings(paths: Sequence[Path], left: int) -> Iterator[Finding]:
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
    elif not paths:
        yield _nothing_asked()


def _nothing_asked() -> Finding:
    return Finding(
        id=f"{TRAP}.paths_not_measured",
        severity="info",
        where="the paths to other nodes",
        observed="none was measured: no other node with a known uplink was seen, or this node's own is not known",
        wanted="a path to another node, by which to tell what really passes",
        why="no node's own setting shows that something in between carries less",
        remedy="Run it on this node together with others (--limit leaves them out), once link_mtu sees their uplinks. "
        "For that each needs pyroute2 (python3-pyroute2, or what harden brought since the last boot)",
    )


def _smaller(path: Path) -> Finding:
    severity, wanted, why, remedy = _cause(path, path.passes or 0)
    return Finding(
        id=f"{TRAP}.path:{path.over}:{path.node}",
        severity=severity,
        where=f"{path.over} to {path.node} ({path.address})",
        observed=f"packets of up to {path.passes} bytes pass",
        wanted=wanted,
        why=why,
        remedy=remedy,
    )


def _cause(path: Path, passes: int) -> tuple[str, str, str, str]:
    """Return how bad it is, what is wanted, why, and the remedy: the link itself, this node, or what is in between.

    What this node's kernel refuses it says to whoever sends it, who then sends less: nothing vanishes.
    """
    wanted = f"{path.mtu} bytes, what both ends are set to"
    if path.carries is not None and passes >= path.carries:
        return "high", *_too_large(path)
    if path.not_sent:
        why = "the link that it leaves by carries less: this node's kernel refused to send what is larger, and said so"
        return "low", wanted, why, f"See by which link it goes, and whether it should: ip route get {path.address}"
    why = "a switch or a cloud in between carries less, and drops what is larger without a word (incident C)"
    remedy = (
        "Have it carry more there, or lower the nodes' uplinks to what passes (link_mtu_uplink_mtu) and the tunnels "
    )
    return "high", wanted, why, remedy + "with them"


def _too_large(path: Path) -> tuple[str, str, str]:
    """Return what is wanted, why, and the remedy for a link that is larger than what is below it carries."""
    if path.over in calico_links.NAMES:
        wanted = f"a tunnel of at most {path.carries} bytes, what the uplinks leave it; both ends are set to {path.mtu}"
        why = "the tunnel is larger than its uplink carries, and what is larger is dropped without a word (incident C)"
        remedy = f"ansible-playbook nodeward.calico.harden --tags {TRAP}, on both nodes; where Felix keeps the tunnel, "
        return wanted, why, remedy + "it names Calico's setting"
    wanted = f"{path.carries} bytes, what the links below carry; both ends are set to {path.mtu}"
    why = "an uplink, here or there, stands on a link that carries less and drops what is larger without a word"
    return wanted, why, "Have the ports of the bridge or bond carry more, or it less, on both nodes: ip -d link"


def _silent(path: Path) -> Finding:
    observed = "no ICMP echo is answered"
    why = "the node is down, a firewall or a policy drops ICMP, or the tunnel carries nothing"
    remedy = f"See whether ping {path.address} is answered on this node"
    if path.packets > TRIES:
        observed = "ICMP echo was answered at first, and then not, or not always"
    if path.not_sent:
        observed = "this node's own kernel sends nothing there"
        why = "this node has no route to it, the link is down, or a firewall of its own refuses ICMP"
        remedy = f"See by which link and route it goes: ip route get {path.address}"
    return Finding(
        id=f"{TRAP}.path_silent:{path.over}:{path.node}",
        severity="low",
        where=f"{path.over} to {path.node} ({path.address})",
        observed=observed,
        wanted="an answer, by which the path can be measured",
        why=why,
        remedy=remedy,
    )


def shown(paths: Iterable[Path], left: int) -> dict[str, Any]:
    """Shape what was measured for results, with the number of packets that it took and how fast they went at most."""
    measured = [asdict(path) for path in paths]
    packets = sum(path["packets"] for path in measured)
    return {"measured": measured, "left": left, "packets": packets, "per_second": round(1 / PAUSE)}
