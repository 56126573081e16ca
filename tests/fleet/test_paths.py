"""audit_probe_paths on lab nodes: something between two nodes carries less than both ends are set to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fleet.fleet import NODES, Fleet, Run
from tests.lab.host import run

ASKED = "-eaudit_probe_paths=true"


@contextmanager
def smaller(fleet: Fleet, node: str, mtu: int) -> Iterator[None]:
    """Have the bridge's port of a node carry less: what is larger is dropped there, and nobody is told (no ICMP)."""
    port = fleet.lab.port(node)
    run(["ip", "link", "set", port, "mtu", str(mtu)])
    try:
        yield
    finally:
        run(["ip", "link", "set", port, "mtu", "1500"])


def audit(fleet: Fleet, *words: str) -> Run:
    return fleet.play("audit", "--tags", "link_mtu", *words)


def ping(fleet: Fleet, node: str, address: str, size: int) -> bool:
    """Tell whether a packet of this size, 28 bytes of headers with it, is answered."""
    return fleet.lab.run(node, f"ping -M do -c 1 -W 1 -s {size - 28} {address}", check=False).returncode == 0


def found(made: Run, node: str) -> list[tuple[str, str]]:
    findings = made.node(node)["findings"]
    return [(each["id"], each["observed"]) for each in findings if each["id"].startswith("link_mtu.path")]


def reason(made: Run, node: str, finding: str) -> str:
    [why] = [each["why"] for each in made.node(node)["findings"] if each["id"] == finding]
    return str(why)


def over(made: Run, node: str, link: str) -> list[dict[str, Any]]:
    return [path for path in made.node(node)["facts"]["paths"]["measured"] if path["over"] == link]


def test_a_path_that_carries_less_is_named_from_both_ends(fleet: Fleet) -> None:
    assert ping(fleet, "node1", "10.233.2.1", 1450)
    assert not ping(fleet, "node1", "10.233.2.1", 1480), "the lab's tunnel is not too large any more"
    made = audit(fleet, ASKED)
    [tunnel] = [each for each in found(made, "node1") if each[0].endswith(":node2")]
    assert tunnel == ("link_mtu.path:tunl0:node2", "packets of up to 1450 bytes pass"), "its uplink is well"
    assert reason(made, "node1", tunnel[0]).startswith("the tunnel is larger than its uplink carries")

    assert fleet.play("harden", "--tags", "link_mtu").code == 0
    before = {node: fleet.look(node) for node in NODES}

    with smaller(fleet, "node2", 1400):
        assert ping(fleet, "node1", fleet.lab.address("node2"), 1400)
        assert not ping(fleet, "node1", fleet.lab.address("node2"), 1401)
        made = audit(fleet, ASKED)
        told = "packets of up to 1400 bytes pass"
        assert ("link_mtu.path:eth0:node2", told) in found(made, "node1")
        assert ("link_mtu.path:eth0:node2", told) in found(made, "node3")
        assert "in between carries less" in reason(made, "node1", "link_mtu.path:eth0:node2")
        assert "in between carries less" in reason(made, "node1", "link_mtu.path:tunl0:node2")
        # out of the small port the bridge lets four bytes more pass, the size of a VLAN tag
        paths = {f"link_mtu.path:{link}:{node}" for link in ("eth0", "tunl0") for node in ("node1", "node3")}
        assert {each[0] for each in found(made, "node2")} == paths
        assert not [each for each in found(made, "node1") if each[0].endswith(":node3")], "that path is well"
        assert [found(audit(fleet), node) for node in NODES] == [[], [], []], "nothing is sent unless it is asked for"

    well = audit(fleet, ASKED)
    assert [found(well, node) for node in NODES] == [[], [], []]
    to = over(well, "node1", "eth0")
    assert {path["node"]: path["passes"] for path in to} == {"node2": 1500, "node3": 1500}
    # two sizes, each of which may be tried twice: an answer is late now and then on a machine that is busy
    assert all(2 <= path["packets"] <= 4 for path in to), to
    assert {node: fleet.look(node) for node in NODES} == before
