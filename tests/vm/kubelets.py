"""Virtual machines as nodes of a cluster, for drills and faults that need a kernel or a clock of their own."""

from __future__ import annotations

from collections.abc import Iterable

from tests.vm.vms import CHECKOUT, Vms

# The lab's stand-in for the kubelet, as kubeadm sets one up.
_ROOTFS = CHECKOUT / "tests/lab/rootfs"
_KUBELET = (
    "usr/bin/kubelet",
    "usr/local/lib/lab/kubelet_node.py",
    "usr/local/lib/lab/stand_in.py",
    "usr/lib/systemd/system/kubelet.service",
    "etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "var/lib/kubelet/config.yaml",
)


def start_kubelets(machines: Vms, names: Iterable[str]) -> None:
    for name in names:
        for path in _KUBELET:
            its = _ROOTFS / path
            machines.put(name, f"/{path}", its.read_text(), its.stat().st_mode & 0o777)
        machines.run(name, "systemctl daemon-reload; systemctl enable --now kubelet")
