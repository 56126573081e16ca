"""What the kubelet was started with."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, processes
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet

from tests.unit.fake_host import FakeHost

CONFIG = "/var/lib/kubelet/config.yaml"
# As kubeadm writes it, shortened.
KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  webhook:
    enabled: true
    maxPods: 5
kind: KubeletConfiguration
# maxPods: 6
#maxPods: 7
maxPods: 200
notmaxPods: 8
podPidsLimit: 4096 # as the docs advise
staticPodPath: /etc/kubernetes/manifests
"""
KUBEADM_FLAGS = (
    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
)


def running(flags: str, files: dict[str, str] | None = None) -> Kubelet:
    arguments = ["/usr/bin/kubelet", *flags.split()]
    host = FakeHost(
        {"/proc/1/comm": "systemd\n", "/proc/712/comm": "kubelet\n", "/proc/712/cmdline": "\0".join(arguments) + "\0"}
        | (files or {})
    )
    return kubelet.observe(host, processes.names(host))


CASES: list[tuple[str, str, dict[str, str], tuple[int, int]]] = [
    ("neither flags nor file", "", {}, (110, -1)),
    ("--config=FILE", f"{KUBEADM_FLAGS} --config={CONFIG}", {CONFIG: KUBEADM}, (200, 4096)),
    ("--config FILE", f"--config {CONFIG} -v 2", {CONFIG: KUBEADM}, (200, 4096)),
    ("a file that is gone", f"--config={CONFIG}", {}, (110, -1)),
    ("a file that no flag names", "", {CONFIG: KUBEADM}, (110, -1)),
    ("flags", "--max-pods=250 --pod-max-pids 2048", {}, (250, 2048)),
    ("flags win over the file", f"--max-pods=250 --config={CONFIG}", {CONFIG: KUBEADM}, (250, 4096)),
    ("no limit, as a flag", f"--pod-max-pids -1 --config={CONFIG}", {CONFIG: KUBEADM}, (200, -1)),
    ("a flag without value at the end", "--max-pods", {}, (110, -1)),
    ("a flag without value before another", "--max-pods --pod-max-pids=7", {}, (110, 7)),
    ("a flag that is no number", f"--max-pods=many --config={CONFIG}", {CONFIG: KUBEADM}, (200, 4096)),
    ("JSON", f"--config={CONFIG}", {CONFIG: json.dumps({"maxPods": 150, "podPidsLimit": 1024})}, (150, 1024)),
    ("JSON, indented", f"--config={CONFIG}", {CONFIG: json.dumps({"a": {}, "maxPods": 150}, indent=2)}, (150, -1)),
    ("YAML, quoted name", f"--config={CONFIG}", {CONFIG: '"maxPods" : 150\n'}, (150, -1)),
    ("0 is the default for pods and no limit for PIDs", f"--config={CONFIG}",
     {CONFIG: "maxPods: 0\npodPidsLimit: 0\n"}, (110, -1)),
    ("no numbers", f"--config={CONFIG}", {CONFIG: "maxPods: null\npodPidsLimit: lots\n"}, (110, -1)),
    ("more digits than any number has", f"--config={CONFIG}", {CONFIG: f"maxPods: {'9' * 5000}\n"}, (110, -1)),
    ("garbled", f"--config={CONFIG}", {CONFIG: "\udcff\0{["}, (110, -1)),
    ("drop-ins in their order, .conf only", f"--config={CONFIG} --config-dir=/etc/kubelet.d",
     {CONFIG: KUBEADM, "/etc/kubelet.d/20-b.conf": "maxPods: 220\n", "/etc/kubelet.d/10-a.conf": "maxPods: 210\n",
      "/etc/kubelet.d/30-c.yaml": "maxPods: 230\n"}, (220, 4096)),
    ("a flag wins over drop-ins", "--config-dir /etc/kubelet.d --max-pods 240",
     {"/etc/kubelet.d/10-a.conf": "maxPods: 210\n"}, (240, -1)),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "files", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_running_kubelet(flags, files, wanted):
    assert running(flags, files) == Kubelet(True, *wanted)


def test_no_kubelet():
    host = FakeHost({"/proc/1/comm": "systemd\n", "/proc/9/comm": "kubelet-wrapper\n", CONFIG: KUBEADM})
    assert kubelet.observe(host, processes.names(host)) == Kubelet(running=False, max_pods=110, pod_pids_limit=-1)


def test_a_kubelet_that_ended_meanwhile():
    assert kubelet.observe(FakeHost(), {712: "kubelet"}) == Kubelet(running=True)


def test_processes():
    host = FakeHost(
        {
            "/proc/1/comm": "systemd\n",
            "/proc/30/comm": "kubelet\n",
            "/proc/4/comm": "kubelet\n",
            "/proc/4/cmdline": "kubelet\0--a\0\0--b\0",
            "/proc/30/cgroup": "8:pids:/system.slice/kubelet.service\n",
            "/proc/29/comm": "kubelet\n",
            "/proc/29/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope\n",
            "/proc/5/stat": "gone meanwhile",
            "/proc/self/comm": "python\n",
            "/proc/loadavg": "0 0 0 1/2 3\n",
        }
    )
    names = processes.names(host)
    assert names == {1: "systemd", 29: "kubelet", 30: "kubelet", 4: "kubelet", 5: ""}
    assert processes.called(host, names, ("kubelet", "other")) == [4, 30]
    assert processes.command_line(host, 4) == ["kubelet", "--a", "", "--b"]
    assert processes.command_line(host, 1) == []


def test_a_pod_that_calls_itself_kubelet_is_not_believed():
    host = FakeHost(
        {
            "/proc/7/cmdline": "kubelet\0--max-pods=5\0--pod-max-pids=7\0",
            "/proc/7/cgroup": "8:pids:/kubepods/burstable/pod1/1\n",
            "/proc/712/cmdline": "kubelet\0--max-pods=250\0",
            "/proc/712/cgroup": "8:pids:/system.slice/kubelet.service\n",
        }
    )
    assert kubelet.observe(host, {7: "kubelet", 712: "kubelet"}) == Kubelet(True, 250)
    assert kubelet.observe(host, {7: "kubelet"}) == Kubelet()
