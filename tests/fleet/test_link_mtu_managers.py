"""link_mtu under NetworkManager and netplan: what outlives a boot, and that nothing is lost while it is set.

Looked at with nmcli, netplan and ip(8).
"""

from __future__ import annotations

import json

from tests.fleet.fleet import NODES, Fleet, Run

# node3 has no pyroute2 of its own.
MANAGERS = {"node1": "NetworkManager", "node2": "netplan", "node3": "netplan-NetworkManager"}
OVER_NETWORK_MANAGER = ("node1", "node3")
PROFILE = "/etc/NetworkManager/system-connections/uplink.nmconnection"
YAML = "/etc/netplan/99-zz-nodeward-link_mtu.yaml"
# All that a manager of links reads at boot, with mode and owner, and what it was made into.
FILES = (
    "cd /; find etc/NetworkManager etc/netplan etc/systemd/network run/systemd/network"
    " run/NetworkManager/system-connections -type f -not -name lo.nm* -not -name tunl0.nm*"
    " -printf '%p %m %U\\n' -exec sha256sum {} + 2>/dev/null | sort"
)
# What others put on an uplink, as kube-vip and BIRD do: no profile knows of it.
OTHERS = "ip address add 192.0.2.99/32 dev eth0; ip route add 198.51.100.0/24 via {} dev eth0 proto bird"
WATCH = "systemd-run -q --unit=watch -p StandardOutput=file:/root/seen ip -oneline monitor address route link"


def mtu(fleet: Fleet, node: str) -> int:
    return int(json.loads(fleet.lab.run(node, "ip -json link show dev eth0").stdout)[0]["mtu"])


def all_of(fleet: Fleet, command: str) -> dict[str, str]:
    return {node: fleet.lab.run(node, command).stdout for node in NODES}


def boot_all(fleet: Fleet) -> None:
    fleet.lab.stop()
    fleet.lab.start()
    for node in NODES:
        reached = fleet.lab.run(node, "systemctl is-system-running; ip -4 -br address show eth0; ip route show default")
        assert reached.stdout.startswith("running\n")
        assert (fleet.lab.address(node) in reached.stdout, "default via" in reached.stdout) == (True, True)


def in_memory(fleet: Fleet, node: str) -> str:
    """Return the MTU of the profile that is up, as NetworkManager has it."""
    name = fleet.lab.run(node, "nmcli -g GENERAL.CONNECTION device show eth0").stdout.strip()
    return fleet.lab.run(node, f"nmcli -g 802-3-ethernet.mtu connection show {name}").stdout.strip()


def play(fleet: Fleet, playbook: str) -> Run:
    words = ("-e", "link_mtu_uplink_mtu=1460") if playbook == "harden" else ()
    run = fleet.play(playbook, "--tags", "link_mtu", "-e", "harden_allow=uplink_change", "-e", "harden_pause=0", *words)
    assert run.code == 0
    return run


def test_the_uplink_keeps_its_mtu_over_a_boot_and_nothing_is_lost_meanwhile(fleet: Fleet) -> None:
    for node, manager in MANAGERS.items():
        fleet.lab.run(node, f"/usr/local/lib/lab/manage {manager}")
    files = all_of(fleet, FILES)
    profile = fleet.lab.run("node1", f"cat {PROFILE}").stdout

    all_of(fleet, "ip link set eth0 mtu 1460")
    boot_all(fleet)
    assert [mtu(fleet, node) for node in NODES] == [1500] * 3, "an MTU set by hand outlives a boot: nothing to mend"

    all_of(fleet, OTHERS.format(fleet.lab.gateway))
    all_of(fleet, f"{WATCH}; sleep 0.2")
    run = play(fleet, "harden")
    seen = all_of(fleet, "systemctl stop watch; cat /root/seen; rm /root/seen")
    for node in NODES:
        assert "mtu 1460" in seen[node], "ip(8) saw nothing"
        assert [line for line in seen[node].splitlines() if "Deleted" in line or "DOWN" in line] == []
        assert mtu(fleet, node) == 1460
        assert "not_persistent" not in str(run.node(node)["findings"])

    after = fleet.lab.run("node1", f"cat {PROFILE}").stdout
    assert after == profile.replace("[ethernet]\n", "[ethernet]\nmtu=1460\n")
    assert fleet.lab.run("node1", f"stat -c '%a %U' {PROFILE}").stdout == "600 root\n"
    for node in ("node2", "node3"):
        assert fleet.lab.run(node, f"stat -c '%a %U' {YAML}").stdout == "600 root\n"
        assert "mtu: 1460\n" in fleet.lab.run(node, "netplan get ethernets.uplink").stdout
    assert [in_memory(fleet, node) for node in OVER_NETWORK_MANAGER] == ["1460"] * 2

    again = play(fleet, "harden")
    assert [again.recap(node)["changed"] for node in NODES] == [0, 0, 0]

    boot_all(fleet)
    assert [mtu(fleet, node) for node in NODES] == [1460] * 3

    play(fleet, "restore")
    assert [mtu(fleet, node) for node in NODES] == [1500] * 3
    assert all_of(fleet, FILES) == files
    assert [in_memory(fleet, node) for node in OVER_NETWORK_MANAGER] == ["auto"] * 2
    boot_all(fleet)
    assert [mtu(fleet, node) for node in NODES] == [1500] * 3
