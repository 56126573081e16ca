"""Which processes are members, and what started them."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import running

from tests.unit.etcd.a_node import PID, node

CGROUPS: list[tuple[str, str, str]] = [
    ("a unit of its own", "0::/system.slice/etcd.service\n", "etcd.service"),
    ("Docker with the driver cgroupfs", "0::/system.slice/docker.service/docker/0a1b2c\n", ""),
    ("containerd", "0::/system.slice/containerd.service/x\n", ""),
    ("systemd within a container", "0::/system.slice/docker.service/docker/1/system.slice/a.service\n", "a.service"),
]


@pytest.mark.parametrize(("text", "unit"), [c[1:] for c in CGROUPS], ids=[c[0] for c in CGROUPS])
def test_the_unit_of_a_container_s_runtime_is_not_etcd_s(text, unit):
    [found] = running.find(node(**{f"/proc/{PID}/cgroup": text}))
    assert found.unit == unit


@pytest.mark.parametrize("command", ["grpc-proxy", "gateway"])
def test_what_has_no_database_is_no_member(command):
    assert running.find(node(("etcd", command, "start", "--endpoints=10.0.0.1:2379"))) == []


def test_a_member_may_be_called_so():
    [found] = running.find(node(("etcd", "--name", "gateway")))
    assert found.options["name"] == "gateway"
