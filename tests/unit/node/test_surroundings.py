"""What rules know of a node beside the traps' facts."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import surroundings

from tests.unit.fake_host import FakeHost

MANAGER = "/sys/fs/cgroup/system.slice/NetworkManager.service/cgroup.procs"


def test_a_bare_node_tells_nothing():
    assert surroundings.observe(FakeHost({})) == {
        "kernel": "", "sysctls": {}, "services": [], "network_manager_spares_calico": None,
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
        "network_manager_spares_calico": None,
    }  # fmt: skip


CALICO = "[keyfile]\nunmanaged-devices = interface-name:cali*;interface-name:tunl*\n"
FILES = [
    ("Calico's own file", {"/etc/NetworkManager/conf.d/calico.conf": CALICO}, True),
    ("the main file", {"/etc/NetworkManager/NetworkManager.conf": CALICO}, True),
    ("commented out", {"/etc/NetworkManager/conf.d/calico.conf": "#" + CALICO.split("\n")[1]}, False),
    ("another link", {"/etc/NetworkManager/conf.d/x.conf": "unmanaged-devices=interface-name:docker0\n"}, False),
    ("no file that it reads", {"/etc/NetworkManager/conf.d/calico.conf.bak": CALICO}, False),
    ("none", {}, False),
]


@pytest.mark.parametrize(("files", "spares"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_whether_network_manager_leaves_calico_alone(files, spares):
    told = surroundings.observe(FakeHost({MANAGER: "1\n", **files}))
    assert told["network_manager_spares_calico"] is spares
