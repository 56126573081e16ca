"""What rules know of a node beside the traps' facts."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import surroundings

from tests.unit.fake_host import FakeHost

MANAGER = "/sys/fs/cgroup/system.slice/NetworkManager.service/cgroup.procs"


def test_a_bare_node_tells_nothing():
    assert surroundings.observe(FakeHost({})) == {
        "kernel": "", "sysctls": {}, "services": [], "network_manager_takes": None,
    }  # fmt: skip


def test_what_is_there_is_told():
    host = FakeHost(
        {
            "/proc/sys/kernel/osrelease": "6.12.1\n",
            "/proc/sys/vm/max_map_count": "65530\n",
            "/proc/sys/net/netfilter/nf_conntrack_max": "garbage\n",
            "/sys/fs/cgroup/systemd/system.slice/firewalld.service/cgroup.procs": "7\n",
        }
    )
    assert surroundings.observe(host) == {
        "kernel": "6.12.1", "sysctls": {"vm.max_map_count": 65530}, "services": ["firewalld"],
        "network_manager_takes": None,
    }  # fmt: skip


CALICO = "[keyfile]\nunmanaged-devices = interface-name:cali*;interface-name:tunl*\n"
FOLDER = "/etc/NetworkManager/conf.d"
TUNNEL = {"/sys/class/net/tunl0/mtu": "1480\n"}
FILES = [
    ("Calico's own file", {f"{FOLDER}/calico.conf": CALICO, **TUNNEL}, []),
    ("the main file", {"/etc/NetworkManager/NetworkManager.conf": CALICO}, []),
    ("commented out", {f"{FOLDER}/calico.conf": "#" + CALICO.split("\n")[1]}, ["cali*"]),
    ("another link", {f"{FOLDER}/x.conf": "unmanaged-devices=interface-name:docker0\n"}, ["cali*"]),
    ("no file that it reads", {f"{FOLDER}/calico.conf.bak": CALICO}, ["cali*"]),
    ("without the tunnel", {f"{FOLDER}/a.conf": "unmanaged-devices=interface-name:cali*\n", **TUNNEL}, ["tunl0"]),
    (
        "with commas",
        {f"{FOLDER}/a.conf": "unmanaged-devices+=interface-name:=tunl0,interface-name:cali*", **TUNNEL},
        [],
    ),
    ("another tunnel", {f"{FOLDER}/a.conf": CALICO, "/sys/class/net/vxlan.calico/mtu": "1450"}, ["vxlan.calico"]),
    ("none", {**TUNNEL}, ["cali*", "tunl0"]),
]


@pytest.mark.parametrize(("files", "taken"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_whether_network_manager_leaves_calico_alone(files, taken):
    told = surroundings.observe(FakeHost({MANAGER: "1\n", **files}))
    assert told["network_manager_takes"] == taken
