"""Live use, on cgroup v1 and v2, with both cgroup drivers of the kubelet."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._node import pid_use, processes
from ansible_collections.nodeward.calico.plugins.module_utils._node.pid_use import Limit, Use

from tests.unit.fake_host import FakeHost
from tests.unit.node import cgroup_trees

KUBELET = Limit("/system.slice/kubelet.service", 4915, 40)

TREES: list[tuple[str, dict[str, str], list[Limit]]] = [
    ("v1, systemd driver", cgroup_trees.V1_SYSTEMD, [Limit("/kubepods.slice", 46080, 31000), KUBELET]),
    ("v1, cgroupfs driver", cgroup_trees.V1_CGROUPFS, [Limit("/kubepods", 46080, 31000), KUBELET]),
    ("v2, systemd driver", cgroup_trees.V2_SYSTEMD, [Limit("/kubepods.slice", 46080, 31000), KUBELET]),
    ("v2, cgroupfs driver", cgroup_trees.V2_CGROUPFS, [Limit("/kubepods", 46080, 31000), KUBELET]),
    ("v2, kind", cgroup_trees.V2_KIND,
     [Limit("/kubelet.slice", 20000, 15000), Limit("/kubelet.slice/kubelet-kubepods.slice", 9000, 8000)]),
    ("v2, started from a login", cgroup_trees.V2_USER_SLICE, [Limit("/user.slice/user-0.slice", 10813, 80)]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "limits"), [case[1:] for case in TREES], ids=[case[0] for case in TREES])
def test_captured_trees(files, limits):
    host = FakeHost(files)
    assert pid_use.observe(host, processes.names(host)) == Use(46210, tuple(limits))


@pytest.mark.parametrize(("files", "limits"), [case[1:] for case in TREES], ids=[case[0] for case in TREES])
def test_the_same_trees_on_a_disk(tmp_path, files, limits):
    for path, text in files.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    host = LocalHost(str(tmp_path))
    assert pid_use.observe(host, processes.names(host)) == Use(46210, tuple(limits))


@pytest.mark.parametrize("lines", ["", "0::/\n", "3:cpu:/x\n0::/\n"], ids=["ended", "in the root", "no pids"])
def test_a_service_without_a_cgroup_has_no_limit(lines):
    limits = {"/sys/fs/cgroup/pids.max": "5\n", "/sys/fs/cgroup/x/pids.max": "5\n"}
    host = FakeHost({"/proc/712/comm": "kubelet\n", "/proc/712/cgroup": lines, **limits})
    assert pid_use.observe(host, {712: "kubelet"}) == Use(0, ())


def test_a_cgroup_that_is_gone_has_no_limit():
    host = FakeHost({"/proc/712/cgroup": "0::/system.slice/kubelet.service\n", "/proc/loadavg": "0 0 0 1/7 9\n"})
    assert pid_use.observe(host, {712: "kubelet"}) == Use(7, ())


@pytest.mark.parametrize("name", pid_use.POD_SERVICES)
def test_every_service_that_carries_pods_is_known_by_its_short_name(name):
    assert len(name) <= 15, "the kernel cuts longer ones (/proc/PID/comm)"


NODE_WIDE = {"kernel.pid_max": 49152, "kernel.threads-max": 192731}
ORDERS = [
    ("the smaller one first of those that count the same", Use(46210), ["kernel.pid_max", "kernel.threads-max"]),
    ("a cgroup nearer to its limit", Use(10, (Limit("/a", 100, 90),)), ["/a", "kernel.pid_max", "kernel.threads-max"]),
    (
        "a small limit hides no node-wide one that is nearly used up",
        Use(46210, (Limit("/a", 100, 1),)),
        ["kernel.pid_max", "kernel.threads-max", "/a"],
    ),
    ("nothing used", Use(0, (Limit("/a", 100, 0),)), ["/a", "kernel.pid_max", "kernel.threads-max"]),
]


@pytest.mark.parametrize(("use", "order"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_the_limit_that_is_hit_first_comes_first(use, order):
    assert [limit.name for limit in use.limits(NODE_WIDE)] == order


def test_shares():
    assert Limit("x", 200, 50).share == 0.25
    assert Limit("x", 0, 5).share == 5  # pids.max 0 is a limit too
