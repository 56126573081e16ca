"""k3s and microk8s have the kubelet in themselves: its limits are told of, not set."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, kubelet_plan
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_plan import Wishes

from tests.unit.fake_host import FakeHost
from tests.unit.node.kubelet_nodes import DEFAULTS, KUBEADM

K3S, MICROK8S = "/etc/rancher/k3s/config.yaml", "/var/snap/microk8s/current/args/kubelet"
ALL = "podPidsLimit 4096, systemReserved.pid 1024, kubeReserved.pid 1024"
LIST = "kubelet-arg:\n- pod-max-pids=500\n- system-reserved=cpu=1,pid=1k\n"
DROP_IN = KUBEADM + 'podPidsLimit: 500\nsystemReserved:\n  pid: "2000"\nkubeReserved: {pid: "1"}\n'

CASES: list[tuple[str, str, dict[str, str], Wishes, str]] = [
    ("k3s server", "k3s-server", {}, DEFAULTS, ALL),
    ("k3s agent", "k3s-agent", {}, DEFAULTS, ALL),
    ("microk8s", "kubelite", {}, DEFAULTS, ALL),
    ("pods alone", "k3s-server", {}, Wishes(2000, {}), "podPidsLimit 2000"),
    ("nothing wanted", "k3s-server", {}, Wishes(-1, {}), ""),
    ("given in the list", "k3s-server", {K3S: LIST}, DEFAULTS, "kubeReserved.pid 1024"),
    ("in a comment", "k3s-server", {K3S: LIST.replace("- ", "#- ")}, DEFAULTS, ALL),
    ("in the unit", "k3s-server",
     {"/etc/systemd/system/x.service": "ExecStart=/bin/k3s \\\n server \\\n '--kubelet-arg=pod-max-pids=9'\n"},
     DEFAULTS, "systemReserved.pid 1024, kubeReserved.pid 1024"),
    ("in a drop-in of k3s", "k3s-agent", {f"{K3S}.d/a.yaml": "kubelet-arg: pod-max-pids=9\n"}, Wishes(None, {}), ""),
    ("in a drop-in of the kubelet", "k3s-agent", {"/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/a.conf": DROP_IN},
     DEFAULTS, ""),
    ("another flag", "k3s-agent", {K3S: "kubelet-arg: [x-pod-max-pids=1]\n"}, Wishes(None, {}), "podPidsLimit 4096"),
    ("arguments of microk8s", "kubelite",
     {MICROK8S: "--pod-max-pids 9\n--system-reserved=pid=5\n--kube-reserved=cpu=1\n"}, DEFAULTS,
     "kubeReserved.pid 1024"),
    ("files that nobody reads", "kubelite", {"/a.conf": DROP_IN, f"{K3S}.d/a.yaml": LIST}, DEFAULTS, ALL),
]  # fmt: skip


def planned(name: str, files: dict[str, str], wishes: Wishes = DEFAULTS):
    host = FakeHost({"/proc/9/cgroup": "0::/system.slice/x.service\n", **files})
    seen = kubelet.observe(host, {9: name})
    assert (seen.running, host.calls) == (False, [])
    json.dumps(kubelet.shown(seen))
    return kubelet_plan.plan(seen, 0, wishes, "pid_limits")


@pytest.mark.parametrize(("name", "files", "wishes", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_it_is_not_given_is_told(name, files, wishes, wanted):
    plan = planned(name, files, wishes)
    assert (plan.changes, plan.refusals) == ((), ())
    assert [(each.id, each.where, each.wanted) for each in plan.findings] == (
        [("pid_limits.kubelet_inside", "x.service", wanted)] if wanted else []
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("k3s-server", "kubelet-arg in /etc/rancher/k3s/config.yaml: pod-max-pids=4096, system-reserved=pid=1024"),
     ("kubelite", f"{MICROK8S}, a line each: --pod-max-pids=4096, --system-reserved=pid=1024")],
)  # fmt: skip
def test_the_remedy_is_the_distributions(name, words):
    [finding] = planned(name, {}).findings
    assert words in finding.remedy
    assert "restart x.service" in finding.remedy


@pytest.mark.parametrize(
    "files",
    [{"/proc/9/status": "Uid:\t1000\t1000\t1000\t1000\n"}, {"/proc/9/cgroup": "0::/user.slice/user-0.slice/a.scope\n"},
     {"/proc/9/cgroup": "0::/init.scope\n"}],
    ids=["a user's", "a login's", "no service"],
)  # fmt: skip
def test_only_a_service_of_roots_counts(files):
    assert planned("k3s-server", files).findings == ()


def test_a_kubelet_that_runs_and_one_that_is_left_come_first_and_last():
    files = {
        "/proc/9/cgroup": "0::/system.slice/x.service\n",
        "/proc/7/cmdline": "kubelet\0",
        kubelet.KUBEADM_CONFIG: "a",
    }
    assert kubelet.observe(FakeHost(files), {9: "k3s-server", 7: "kubelet"}).inside is None
    assert kubelet.observe(FakeHost(files), {9: "k3s-server"}).left == ""
