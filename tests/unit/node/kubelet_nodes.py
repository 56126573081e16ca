"""A node with a kubelet and its configuration, and what is planned for it."""

from __future__ import annotations

from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, kubelet_plan
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet_plan import Wishes

from tests.unit.fake_host import FakeHost

CONFIG = "/var/lib/kubelet/config.yaml"
FOLDER = "/etc/kubernetes/kubelet.conf.d"
UNIT = "/run/systemd/units/invocation:kubelet.service"
KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
# the cluster's own
clusterDNS:
- 10.96.0.10
kind: KubeletConfiguration
maxPods: 110
"""
FLOORS = {"systemReserved.pid": 1024, "kubeReserved.pid": 1024}
DEFAULTS = Wishes(None, FLOORS)
STARTED = 1700000000.0


def node(config: str | None = KUBEADM, *flags: str, folder: bool = False, **files: str) -> FakeHost:
    """A node with a kubelet, started with --config unless ``config`` is None."""
    arguments = ["kubelet", *([f"--config={CONFIG}"] if config is not None else []), *flags]
    arguments += [f"--config-dir={FOLDER}"] if folder else []
    return FakeHost(
        {
            "/proc/712/cmdline": "\0".join(arguments) + "\0",
            "/proc/712/cgroup": "0::/system.slice/kubelet.service\n",
            "/proc/712/stat": "712 (kubelet) S 1 " + " ".join(["0"] * 18),
            "/proc/stat": f"btime {STARTED:.0f}\n",
            **({CONFIG: config} if config else {}),
            **{f"{FOLDER}/{name}.conf": text for name, text in files.items()},
        },
        links={UNIT: "a1"},
        commands={
            "systemctl show --property=MainPID --value kubelet.service": "712\n",
            "systemctl reset-failed kubelet.service": "",
            "systemctl restart kubelet.service": "",
            "systemctl show --property=ActiveState --value kubelet.service": "active\n",
        },
    )


def seen(host: FakeHost) -> Kubelet:
    return kubelet.observe(host, {712: "kubelet"})


def planned(host: FakeHost, wishes: Wishes = DEFAULTS, busiest: int = 0) -> Plan:
    return kubelet_plan.plan(seen(host), busiest, wishes, "pid_limits")


def told(plan: Plan) -> dict[str, str | None]:
    assert all(change.reason.disrupts == "kubelet_restart" for change in plan.changes)
    return {change.target.removeprefix(f"yaml {CONFIG}#"): change.after for change in plan.changes}


RESTART = {"restart kubelet.service": None}
ALL = {"podPidsLimit": "4096", "systemReserved.pid": '"1024"', "kubeReserved.pid": '"1024"', **RESTART}
HAS_ALL = KUBEADM + 'podPidsLimit: 500\nsystemReserved:\n  pid: "2000"\nkubeReserved:\n  pid: 2k\n'
ENFORCED = KUBEADM + "enforceNodeAllocatable: [pods, system-reserved]\nsystemReservedCgroup: /system.slice\n"


def used(host: FakeHost, threads: int) -> FakeHost:
    host.files["/sys/fs/cgroup/system.slice/pids.current"] = f"{threads}\n"
    return host
