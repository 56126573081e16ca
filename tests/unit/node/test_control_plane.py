"""Which nodes are done last, one by one."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._node import run

from tests.unit.fake_host import FakeHost

API_SERVER = {"/proc/900/comm": "kube-apiserver\n"}

CASES: list[tuple[str, dict[str, str], bool]] = [
    ("kubeadm", {"/etc/kubernetes/manifests/kube-apiserver.yaml": "x"}, True),
    ("rke2 server", {"/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml": "x"}, True),
    ("rke2 agent", {"/proc/900/comm": "rke2\n"}, False),
    ("a unit that is down", {"/etc/systemd/system/kube-apiserver.service": "x"}, True),
    ("k3s server", {"/proc/900/comm": "k3s-server\n"}, True),
    ("k3s server that is down", {"/etc/systemd/system/k3s.service": "x"}, True),
    ("k3s agent", {"/etc/systemd/system/k3s-agent.service": "x", "/proc/900/comm": "k3s-agent\n"}, False),
    ("k0s, with a user of its own", {**API_SERVER, "/proc/900/status": "Uid:\t9\t9\t9\t9\n"}, True),
    ("microk8s", {"/proc/900/comm": "kubelite\n"}, True),
    ("in a pod", {**API_SERVER, "/proc/900/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n"}, False),
    ("a worker", {"/proc/900/comm": "kubelet\n"}, False),
]


@pytest.mark.parametrize(("files", "is_one"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_node_of_the_control_plane_is_told_by_its_api_server(files, is_one):
    assert run._result(Plan(), (), (), {}, FakeHost(files))["control_plane"] is is_one
