"""Processes that only have the name of one of the node's own: what they say is neither read nor done."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.host_processes import on_the_host
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, processes, textfile_folder, uplink

from tests.unit.fake_host import FakeHost
from tests.unit.node.fake_exporters import ROLE, ExporterHost
from tests.unit.node.kubelet_nodes import node, seen

ROOT, EVE = "Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\n", "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t0\n"
LOGIN = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/{}.service\n"
V1_LOGIN = "8:pids:/user.slice/user-0.slice\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n"
CRON = "0::/system.slice/cron.service\n"
OTHER = "pid:[4026532999]"

# What tells that a process called kubelet, with a smaller id than the node's own, is another's.
KUBELETS = [
    ("a user's", {"status": EVE}, {}),
    ("a program of root's that a user named so", {"status": EVE.replace("\t1000", "\t0").replace("0", "1000", 1)}, {}),
    ("a login's", {"cgroup": LOGIN.format("kubelet")}, {}),
    ("a login's, cgroup v1", {"cgroup": V1_LOGIN}, {}),
    ("another container's", {"cgroup": "0::/docker/1/kubelet.slice/kubelet.service\n"}, {"ns/pid": OTHER}),
    ("of a unit that is not its own", {"cgroup": CRON}, {}),
]


@pytest.mark.parametrize(("files", "links"), [case[1:] for case in KUBELETS], ids=[case[0] for case in KUBELETS])
def test_the_kubelet_is_the_nodes_own(files, links):
    host = node(None, "--kubeconfig=/etc/kubernetes/kubelet.conf", "--node-ip=10.0.0.1")
    host.files |= {f"/proc/500/{name}": text for name, text in {"status": ROOT, **files}.items()}
    host.files["/proc/500/cmdline"] = "kubelet\0--config=/home/eve/x\0--kubeconfig=/home/eve/kc\0"
    host.files["/proc/712/status"] = ROOT
    host.links |= {f"/proc/{pid}/ns/pid": "pid:[4026531836]" for pid in (1, 500, 712)}
    host.links |= {f"/proc/500/{name}": target for name, target in links.items()}
    host.commands["systemctl show --property=MainPID --value cron.service"] = "480\n"
    found = kubelet.observe(host, {500: "kubelet", 712: "kubelet"})
    assert (found.kubeconfig, found.unit, found.config) == ("/etc/kubernetes/kubelet.conf", "kubelet.service", None)
    assert uplink.observe(host, {500: "kubelet", 712: "kubelet"}) == ("10.0.0.1",)


def test_a_unit_with_mounts_of_its_own_is_no_other_container():
    host = node()
    host.links |= {"/proc/1/ns/mnt": "mnt:[1]", "/proc/712/ns/mnt": "mnt:[2]"}
    assert seen(host).unit == "kubelet.service"


def test_a_runtime_is_roots_and_may_be_started_from_a_login():
    names = {5: "dockerd", 6: "containerd"}
    host = FakeHost({"/proc/5/status": EVE, "/proc/6/status": ROOT, "/proc/6/cgroup": V1_LOGIN})
    assert processes.of_root(host, names, names.values()) == [6]
    assert processes.own(host, names, names.values()) == []


def test_an_etcd_that_a_login_has_started_is_none_of_the_nodes():
    host = FakeHost({"/proc/5/comm": "etcd\n", "/proc/5/cgroup": LOGIN.format("etcd"), "/proc/6/comm": "etcd\n"})
    assert on_the_host(host, ("etcd",)) == [6]


@pytest.mark.parametrize("cgroup", [LOGIN.format("node_exporter"), CRON], ids=["a login's", "a job's"])
def test_metrics_go_to_no_folder_that_anybody_may_have_named(cgroup):
    host = ExporterHost(ROLE)
    host.files |= {"/proc/50/comm": "node_exporter\n", "/proc/50/cgroup": cgroup, "/proc/50/status": EVE}
    host.files["/proc/50/cmdline"] = "node_exporter\0--collector.textfile.directory=/home/eve/m\0"
    assert textfile_folder.of(host) == "/var/lib/node_exporter"
    del host.files["/proc/77/comm"]
    assert textfile_folder.of(host) == "/var/lib/prometheus/node-exporter", "the first of the usual ones that is there"


def test_one_that_root_started_by_hand_is_believed():
    host = FakeHost({"/proc/50/comm": "node_exporter\n", "/proc/50/cgroup": CRON, "/proc/50/status": ROOT})
    host.files["/proc/50/cmdline"] = "node_exporter\0--collector.textfile.directory=/srv/metrics\0"
    assert textfile_folder.of(host) == "/srv/metrics"
