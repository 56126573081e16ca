"""link_mtu on lab nodes: incident C, files that outlive a boot, a node without pyroute2. Looked at with ip(8)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fleet.fleet import NODES, Fleet, Run
from tests.fleet.transfer import RECEIVER, SENDER
from tests.lab import bird

POD = "/usr/local/lib/lab/pod"
LARGE = 1_000_000  # bytes: some 700 full packets
NETWORKD_DROP_IN = "/etc/systemd/network/10-eth0.network.d/99-zz-nodeward-link_mtu.conf"
BROUGHT = "/run/nodeward/pyroute2.zip"


def mtu(fleet: Fleet, node: str, link: str, inside: str = "") -> int:
    text = fleet.lab.run(node, f"{inside} ip -json link show dev {link}").stdout
    return int(json.loads(text)[0]["mtu"])


def harden(fleet: Fleet, *words: str, allow: str = "") -> Run:
    return fleet.play("harden", "--tags", "link_mtu", "-e", f"harden_allow={allow}", "-e", "harden_pause=0", *words)


def targets(run: Run, node: str, part: str = "changes") -> list[str]:
    return [f"{change['target']}: {change['before']} -> {change['after']}" for change in run.node(node)[part]]


def ids(run: Run, node: str) -> list[str]:
    return [finding["id"] for finding in run.node(node)["findings"]]


# --- incident C -------------------------------------------------------------------------------------


@pytest.fixture
def incident_c(fleet: Fleet) -> Fleet:
    """An uplink of 1450, and Felix with MTU 1450 on it, as it was in incident C; a pod on two nodes."""
    for node, name, address in (("node1", "a", "10.233.1.10"), ("node2", "b", "10.233.2.10")):
        fleet.lab.run(
            node, f"ip link set eth0 mtu 1450; echo 1450 > /etc/lab/felix-mtu; {POD} add {name} {address} 1450"
        )
        fleet.lab.run(node, "systemctl start lab-felix")
        bird.until(lambda: mtu(fleet, node, "tunl0") == 1450, "Felix to set the tunnel")  # noqa: B023
    fleet.lab.run("node2", f"cat > /root/receive.py <<'EOF'{RECEIVER}EOF")
    fleet.lab.run("node1", f"cat > /root/send.py <<'EOF'{SENDER}EOF")
    fleet.lab.run("node2", f"systemd-run --quiet {POD} exec b python3 /root/receive.py; sleep 0.5")
    return fleet


def sent(fleet: Fleet, size: int) -> str:
    return fleet.lab.run("node1", f"{POD} exec a python3 /root/send.py 10.233.2.10 {size} 3").stdout


def test_a_transfer_between_pods_hangs_before_and_completes_after(incident_c: Fleet) -> None:
    fleet = incident_c
    link = fleet.lab.run("node1", f"{POD} link a").stdout.strip()
    made = fleet.lab.run("node1", f"{POD} exec a cat /sys/class/net/eth0/ifindex; pgrep -x sleep").stdout
    assert (sent(fleet, 100), sent(fleet, LARGE)) == ("100", ""), "the lab no longer replays incident C"

    first = harden(fleet)
    assert first.code == 0
    assert targets(first, "node1") == [], "Felix runs, so nothing may be written to its tunnel"
    assert targets(first, "node1", "pending") == [f"peer {link}: 1450 -> 1400", f"link {link}: 1450 -> 1400"]
    [owned] = [each for each in first.node("node1")["findings"] if each["id"] == "link_mtu.owned_by_felix"]
    assert (owned["severity"], owned["observed"]) == ("high", "1450")
    assert "veth_mtu" in owned["remedy"]
    assert sent(fleet, LARGE) == ""

    second = harden(fleet, allow="pod_veth_change")
    assert second.code == 0
    assert targets(second, "node1") == targets(first, "node1", "pending")
    assert (mtu(fleet, "node1", link), mtu(fleet, "node1", "eth0", f"{POD} exec a")) == (1400, 1400)
    assert (mtu(fleet, "node1", "tunl0"), mtu(fleet, "node1", "eth0")) == (1450, 1450)
    assert sent(fleet, LARGE) == str(LARGE)
    assert fleet.lab.run("node1", f"{POD} exec a cat /sys/class/net/eth0/ifindex; pgrep -x sleep").stdout == made

    third = harden(fleet, allow="pod_veth_change")
    assert [third.recap(node)["changed"] for node in NODES] == [0, 0, 0]

    fleet.lab.run("node2", f"{POD} del b")
    back = fleet.play(
        "restore", "--tags", "link_mtu", "-e", "harden_allow=pod_veth_change,uplink_change", "-e", "harden_pause=0"
    )
    assert back.code == 0
    assert (mtu(fleet, "node1", link), mtu(fleet, "node1", "eth0", f"{POD} exec a")) == (1450, 1450)
    assert back.node("node2")["findings"] == [], "a pod that has ended is nothing to tell of"


# --- without Felix ----------------------------------------------------------------------------------


def test_a_tunnel_is_lowered_at_once_also_on_a_node_without_pyroute2(fleet: Fleet) -> None:
    assert fleet.lab.run("node3", "python3 -c 'import pyroute2'", check=False).returncode == 1
    assert [mtu(fleet, node, "tunl0") for node in NODES] == [1480] * 3, "as vxlan on 1500 that is 30 too many"

    checked = harden(fleet, "--check")
    assert checked.code == 0
    assert "link_mtu.missing" in ids(checked, "node3")
    assert fleet.lab.run("node3", f"test -e {BROUGHT}", check=False).returncode == 1, "check mode brought it"
    assert "link_mtu.missing" in ids(fleet.play("audit", "--tags", "link_mtu"), "node3")

    run = harden(fleet)
    assert run.code == 0
    assert [targets(run, node) for node in NODES] == [["link tunl0: 1480 -> 1450"]] * 3
    assert [mtu(fleet, node, "tunl0") for node in NODES] == [1450] * 3
    assert fleet.lab.run("node3", f"stat -c '%a %U' /run/nodeward {BROUGHT}").stdout.split() == [
        "700",
        "root",
        "600",
        "root",
    ]

    again = harden(fleet, "-vvv")
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]
    for node in NODES:
        assert again.output.count(f"<{fleet.lab.address(node)}> SSH: EXEC") == 1


def test_a_controller_without_pyroute2_says_what_to_install(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pyroute2'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = harden(fleet)
    assert run.code == 0
    assert "link_mtu.missing" in ids(run, "node3")
    assert mtu(fleet, "node3", "tunl0") == 1480
    assert mtu(fleet, "node1", "tunl0") == 1450


# --- the uplink -------------------------------------------------------------------------------------


def test_the_uplink_keeps_its_mtu_over_a_boot(fleet: Fleet) -> None:
    fleet.lab.run("node1", "/usr/local/lib/lab/manage networkd")
    fleet.lab.run("node2", "/usr/local/lib/lab/manage ifupdown")
    interfaces = fleet.lab.run("node2", "cat /etc/network/interfaces").stdout
    before = {node: fleet.look(node) for node in NODES}

    wanted = ("-e", "link_mtu_uplink_mtu=1460")
    first = harden(fleet, *wanted)
    assert [mtu(fleet, node, "eth0") for node in NODES] == [1500] * 3, "there was no consent"
    assert "link eth0: 1500 -> 1460" in targets(first, "node1", "pending")

    run = harden(fleet, *wanted, allow="uplink_change")
    assert run.code == 0
    for node in NODES:
        assert (mtu(fleet, node, "eth0"), mtu(fleet, node, "tunl0")) == (1460, 1410)
    assert "link_mtu.not_persistent" in ids(run, "node3")
    assert "MTUBytes=1460\n" in fleet.lab.run("node1", f"cat {NETWORKD_DROP_IN}").stdout
    after = fleet.lab.run("node2", "cat /etc/network/interfaces").stdout
    assert sorted(set(after.splitlines()) - set(interfaces.splitlines())) == ["    mtu 1460"]
    assert set(interfaces.splitlines()) <= set(after.splitlines())

    again = harden(fleet, *wanted, allow="uplink_change")
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]

    for node in ("node1", "node2"):
        fleet.lab.stop(node)
        fleet.lab.start(node)
        assert mtu(fleet, node, "eth0") == 1460
        assert mtu(fleet, node, "tunl0") == 1480, "made anew at boot"
    assert harden(fleet, *wanted, allow="uplink_change").code == 0
    assert [mtu(fleet, node, "tunl0") for node in NODES] == [1410] * 3

    back = fleet.play("restore", "--tags", "link_mtu", "-e", "harden_allow=uplink_change", "-e", "harden_pause=0")
    assert back.code == 0
    for node in NODES:
        assert (mtu(fleet, node, "eth0"), mtu(fleet, node, "tunl0")) == (1500, 1480)
    assert fleet.lab.run("node2", "cat /etc/network/interfaces").stdout == interfaces
    for node in NODES:
        assert [line for line in fleet.look(node) if "network" in line] == [
            line for line in before[node] if "network" in line
        ]


# --- bad input --------------------------------------------------------------------------------------

BAD = [
    ("no such link", "", "link_mtu_uplink=eth9", ("there is no link eth9", "link_mtu_uplink", "eth0")),
    ("an address of nobody", "", "link_mtu_address=192.0.2.77", ("no link carries 192.0.2.77", "Give an address")),
    ("too small", "", "link_mtu_uplink_mtu=1279", ("1279 is below 1280", "link_mtu_uplink_mtu")),
    ("too large", "", "link_mtu_uplink_mtu=65536", ("takes no MTU of 65536", "at most 65535")),
    (
        "two default routes",
        # without tunl0, whose outer address would tell
        "ip link delete tunl0; ip link add up2 type veth; ip link set up2 up; ip route add default dev up2 metric 5",
        "link_mtu_uplink_mtu=1500",
        ("eth0 and up2", "link_mtu_address"),
    ),
]


@pytest.mark.parametrize(("prepared", "given", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_refused_before_anything_is_touched(
    fleet: Fleet, prepared: str, given: str, told: tuple[str]
) -> None:
    if prepared:
        fleet.lab.run("node1", prepared)
    before = fleet.look("node1")
    audit = fleet.play("audit", "--tags", "link_mtu", "--limit", "node1", "-e", given)
    assert "link_mtu.refused" in ids(audit, "node1")
    run = fleet.play("harden", "--limit", "node1", "-e", given, "-e", "harden_allow=uplink_change")
    assert run.code == 2
    for words in told:
        assert words in run.node("node1")["error"]
    assert fleet.look("node1") == before
    assert mtu(fleet, "node1", "eth0") == 1500
