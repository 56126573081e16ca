"""The cgroups of real nodes, as files: what systemd, a runtime and a kubelet build."""

from __future__ import annotations

# The kubelet's PID capacity (kernel.pid_max at its start) as the limit of all pods; one pod with podPidsLimit.
_SYSTEMD_PODS = {
    "/kubepods.slice": ("46080", 31000),
    "/kubepods.slice/kubepods-burstable.slice": ("max", 30500),
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice": ("4096", 30500),
}
_CGROUPFS_PODS = {
    "/kubepods": ("46080", 31000),
    "/kubepods/burstable": ("max", 30500),
    "/kubepods/burstable/pod1": ("4096", 30500),
}
_SERVICES = {
    "/system.slice": ("max", 900),
    "/system.slice/kubelet.service": ("4915", 40),
    "/system.slice/containerd.service": ("max", 700),  # TasksMax=infinity, as its unit ships it
    "/system.slice/cron.service": ("4915", 1),
}


def _files(mount: str, cgroups: dict[str, tuple[str, int]]) -> dict[str, str]:
    files: dict[str, str] = {}
    for path, (maximum, current) in cgroups.items():
        files[f"{mount}{path}/pids.max"] = f"{maximum}\n"
        files[f"{mount}{path}/pids.current"] = f"{current}\n"
    return files


def _processes(cgroup: str, **services: int) -> dict[str, str]:
    files = {"/proc/1/comm": "systemd\n", "/proc/loadavg": "12.50 9.80 7.20 14/46210 991823\n"}
    for name, pid in services.items():
        files[f"/proc/{pid}/comm"] = f"{name}\n"
        files[f"/proc/{pid}/cgroup"] = cgroup.format(name=name)
    return files


_V1_LINES = (
    "12:cpuset:/\n8:pids:/system.slice/{name}.service\n7:cpu,cpuacct:/other\n"
    "1:name=systemd:/system.slice/{name}.service\n0::/system.slice/{name}.service\n"
)
_V2_LINE = "0::/system.slice/{name}.service\n"

V1_SYSTEMD = {
    **_processes(_V1_LINES, kubelet=712, containerd=655, cron=500),
    **_files("/sys/fs/cgroup/pids", {**_SERVICES, **_SYSTEMD_PODS}),
    "/sys/fs/cgroup/pids/tasks": "",
    "/sys/fs/cgroup/unified/cgroup.procs": "",
}
V1_CGROUPFS = {
    **_processes(_V1_LINES, kubelet=712, containerd=655),
    **_files("/sys/fs/cgroup/pids", {**_SERVICES, **_CGROUPFS_PODS}),
}
V2_SYSTEMD = {
    **_processes(_V2_LINE, kubelet=712, containerd=655, cron=500),
    **_files("/sys/fs/cgroup", {**_SERVICES, **_SYSTEMD_PODS}),
    "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma\n",
}
V2_CGROUPFS = {
    **_processes(_V2_LINE, kubelet=712, containerd=655),
    **_files("/sys/fs/cgroup", {**_SERVICES, **_CGROUPFS_PODS}),
}
# kind: the kubelet and its pods in slices of their own, below --cgroup-root=/kubelet
V2_KIND = {
    **_processes("0::/kubelet.slice/{name}.service\n", kubelet=712),
    **_files(
        "/sys/fs/cgroup",
        {
            "/kubelet.slice": ("20000", 15000),
            "/kubelet.slice/kubelet.service": ("max", 40),
            "/kubelet.slice/kubelet-kubepods.slice": ("9000", 8000),
        },
    ),
}
V2_USER_SLICE = {
    **_processes("0::/user.slice/user-0.slice/session-1.scope\n", kubelet=712),
    **_files(
        "/sys/fs/cgroup",
        {
            "/user.slice": ("max", 90),
            "/user.slice/user-0.slice": ("10813", 80),
            "/user.slice/user-0.slice/session-1.scope": ("max", 80),
        },
    ),
}
