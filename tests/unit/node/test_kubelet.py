"""What the kubelet was started with."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube.quantity import quantity
from ansible_collections.nodeward.calico.plugins.module_utils._node import kubelet, processes
from ansible_collections.nodeward.calico.plugins.module_utils._node.kubelet import Kubelet, Reservation

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
    ("a flag with underscores, as it may be written", "--pod_max_pids=512 --max-pods=250", {}, (250, 512)),
    ("a flag in octal digits", "--pod-max-pids=01000", {}, (110, -1)),
    ("a path from where the kubelet was started", "--config=var/lib/kubelet/config.yaml", {CONFIG: KUBEADM},
     (200, 4096)),
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
    ("a number in a comment", f"--config={CONFIG}", {CONFIG: "#podPidsLimit: 5\nx: y # 'maxPods': 6\n"}, (110, -1)),
    ("a number in quotes in a comment", f"--config={CONFIG}", {CONFIG: '# "maxPods": 5\nkind: x\n'}, (110, -1)),
    ("a number that is nested", f"--config={CONFIG}", {CONFIG: "a:\n  'maxPods': 5\n  b: {\"podPidsLimit\": 6}\n"},
     (110, -1)),
    ("JSON, nested", f"--config={CONFIG}", {CONFIG: json.dumps({"x": {"maxPods": 5, "podPidsLimit": 6}})}, (110, -1)),
    ("JSON, the nested one first", f"--config={CONFIG}", {CONFIG: '{"x": {"maxPods": 5}, "maxPods": 150}'}, (150, -1)),
    ("JSON without end", f"--config={CONFIG}", {CONFIG: '{"a":' * 100_000}, (110, -1)),
    ("anchors elsewhere", f"--config={CONFIG}", {CONFIG: "a: &b c\n# maxPods: 4\n  maxPods: 5\nmaxPods: 150 # x\n"},
     (150, -1)),
    ("garbled", f"--config={CONFIG}", {CONFIG: "\udcff\0{["}, (110, -1)),
    ("drop-ins in their order, .conf only", f"--config={CONFIG} --config-dir=/etc/kubelet.d",
     {CONFIG: KUBEADM, "/etc/kubelet.d/20-b.conf": "maxPods: 220\n", "/etc/kubelet.d/10-a.conf": "maxPods: 210\n",
      "/etc/kubelet.d/30-c.yaml": "maxPods: 230\n"}, (220, 4096)),
    ("drop-ins in folders, at their place", "--config-dir=/etc/kubelet.d/",
     {"/etc/kubelet.d/10-a.conf": "maxPods: 210\npodPidsLimit: 1\n", "/etc/kubelet.d/20-b/c/1.conf": "maxPods: 220\n",
      "/etc/kubelet.d/20-b.conf": "podPidsLimit: 2\n", "/etc/kubelet.d/20-b/z.conf": "podPidsLimit: 3\n"}, (220, 2)),
    ("nothing in a drop-in takes away what was said", f"--config={CONFIG} --config-dir=/etc/kubelet.d",
     {CONFIG: "maxPods: 150\npodPidsLimit: 4096\n", "/etc/kubelet.d/10-a.conf": "podPidsLimit: null\nmaxPods:\n"},
     (110, -1)),
    ("a flag wins over drop-ins", "--config-dir /etc/kubelet.d --max-pods 240",
     {"/etc/kubelet.d/10-a.conf": "maxPods: 210\n"}, (240, -1)),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "files", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_running_kubelet(flags, files, wanted):
    seen = running(flags, files)
    assert (seen.running, seen.max_pods, seen.pod_pids_limit) == (True, *wanted)


def test_a_folder_that_is_a_link_is_not_read():
    """filepath.WalkDir does not walk into a link: neither does the kubelet read what is there."""
    host = FakeHost(
        {"/proc/712/cmdline": "kubelet\0--config-dir=/etc/kubelet.d\0", "/etc/other/10-a.conf": "maxPods: 210\n",
         "/etc/kubelet.d/10-a.conf": "maxPods: 210\n"}, links={"/etc/kubelet.d": "other"}
    )  # fmt: skip
    seen = kubelet.observe(host, {712: "kubelet"})
    assert (seen.max_pods, seen.drop_in, seen.others) == (110, None, ())


def test_paths_are_seen_from_where_the_kubelet_works():
    host = FakeHost(
        {"/proc/712/cmdline": "kubelet\0--config=a.yaml\0--config-dir\0d\0", "/opt/k/a.yaml": "maxPods: 210\n",
         "/opt/k/d/1.conf": "podPidsLimit: 7\n"}, links={"/proc/712/cwd": "/opt/k"}
    )  # fmt: skip
    seen = kubelet.observe(host, {712: "kubelet"})
    assert (seen.max_pods, seen.pod_pids_limit) == (210, 7)
    assert seen.config is not None
    assert seen.config.path == "/opt/k/a.yaml"
    assert seen.drop_in is not None
    assert seen.drop_in.path.startswith("/opt/k/d/")


def test_no_kubelet():
    host = FakeHost({"/proc/1/comm": "systemd\n", "/proc/9/comm": "kubelet-wrapper\n", CONFIG: KUBEADM})
    assert kubelet.observe(host, processes.names(host)) == Kubelet(
        running=False, max_pods=110, pod_pids_limit=-1, left=CONFIG
    )


def test_a_kubelet_that_ended_meanwhile():
    seen = kubelet.observe(FakeHost(), {712: "kubelet"})
    assert (seen.running, seen.unit, seen.started, seen.config) == (True, "", 0.0, None)


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
    seen = kubelet.observe(host, {7: "kubelet", 712: "kubelet"})
    assert (seen.max_pods, seen.unit) == (250, "kubelet.service")
    assert kubelet.observe(host, {7: "kubelet"}) == Kubelet()


# The parent of a kubelet, what systemd tells of the service around it, and whether that is the kubelet's own.
STARTED_BY = [
    ("systemd", "1", "712\n", True),
    ("rke2, k0s or supervisord", "690", "690\n", False),
    ("a script that has ended", "1", "0\n", False),
    ("one that ended in a service that goes on", "1", "690\n", False),
    ("nobody can tell but /proc", "1", None, True),
    ("nobody can tell, and /proc knows better", "690", None, False),
]


@pytest.mark.parametrize(("parent", "main", "is_own"), [c[1:] for c in STARTED_BY], ids=[c[0] for c in STARTED_BY])
def test_a_unit_is_the_kubelets_own_only_where_it_runs_nothing_else(parent, main, is_own):
    ask = "systemctl show --property=MainPID --value rke2-server.service"
    host = FakeHost(
        {
            "/proc/712/cmdline": "kubelet\0",
            "/proc/712/cgroup": "0::/system.slice/rke2-server.service\n",
            "/proc/712/stat": f"712 (kubelet) S {parent} {' '.join(['0'] * 18)}",
        },
        links={"/run/systemd/units/invocation:rke2-server.service": "a1"},
        commands={} if main is None else {ask: main},
    )
    seen = kubelet.observe(host, {712: "kubelet"})
    assert (seen.unit, seen.invocation) == (("rke2-server.service", "a1") if is_own else ("", ""))
    assert host.calls == ([("run", ask)] if parent == "1" else []), "no program where a file tells"


def test_what_systemd_and_proc_tell_of_it():
    stat = "712 (kube) let) S 1 " + " ".join(str(field) for field in range(5, 22)) + " 12345 0"
    seen = running(
        f"--config={CONFIG} --kubeconfig=/etc/kubernetes/kubelet.conf",
        {
            "/proc/712/cgroup": "8:pids:/kubelet.slice/kubelet.service/nested\n0::/\n",
            "/proc/712/stat": stat,
            "/proc/stat": "cpu 1\nbtime 1700000000\n",
            "/proc/sys/kernel/hostname": "Node-1.example\n",
            "/run/systemd/units/x": "",
            "/var/lib/kubelet/kubeadm-flags.env": "",
        },
    )
    assert (seen.unit, seen.started) == ("kubelet.service", 1700000123.45)
    assert (seen.kubeadm, seen.kubeconfig, seen.node_name) == (True, "/etc/kubernetes/kubelet.conf", "node-1.example")


HEALTHZ = [
    ("its default", "", "", "http://127.0.0.1:10248/healthz"),
    ("another port", "healthzPort: 20248\n", "", "http://127.0.0.1:20248/healthz"),
    ("every address", "healthzBindAddress: 0.0.0.0\n", "", "http://127.0.0.1:10248/healthz"),
    ("every address, IPv6", 'healthzBindAddress: "::"\n', "", "http://[::1]:10248/healthz"),
    ("a flag", "healthzPort: 20248\n", "--healthz-port=30248 --healthz-bind-address=10.0.0.1",
     "http://10.0.0.1:30248/healthz"),
    ("switched off", "healthzPort: 0\n", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("config", "flags", "url"), [case[1:] for case in HEALTHZ], ids=[case[0] for case in HEALTHZ])
def test_where_it_says_that_it_is_well(config, flags, url):
    assert running(f"--config={CONFIG} {flags}", {CONFIG: config}).healthz == url


UNREAD = [
    ("digits of another kind", "podPidsLimit: 0x400\n", ["podPidsLimit"]),
    ("in quotes", 'podPidsLimit: "500"\n', ["podPidsLimit"]),
    ("in a text that is not understood", "a: &b c\nx: {podPidsLimit: 5}\nsystemReserved: *b\n",
     ["podPidsLimit", "systemReserved.pid"]),
    ("in a comment of such a text", "a: &b c # podPidsLimit: 5\n#systemReserved:\n", []),
    ("in a comment on its first line", "# podPidsLimit: 5\na: &b c\n", []),
    ("told in such a text", "a: &b c\npodPidsLimit: 5\n", []),
    ("nothing", "podPidsLimit: null\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("config", "keys"), [case[1:] for case in UNREAD], ids=[case[0] for case in UNREAD])
def test_numbers_that_cannot_be_told(config, keys):
    assert dict(running(f"--config={CONFIG}", {CONFIG: config}).unread) == dict.fromkeys(keys, CONFIG)


def test_the_last_list_of_what_is_enforced_wins():
    seen = running(
        f"--config={CONFIG} --config-dir=/etc/kubelet.d",
        {CONFIG: ENFORCED, "/etc/kubelet.d/1.conf": "enforceNodeAllocatable: [pods]\n", **SYSTEM},
    )
    assert seen.reserved["systemReserved.pid"] == Reservation()


V2 = "/sys/fs/cgroup"
SYSTEM = {f"{V2}/system.slice/pids.current": "300\n", f"{V2}/kube.slice/kube-daemons.slice/pids.current": "40\n"}
ENFORCED = "enforceNodeAllocatable:\n- pods\n- system-reserved\nsystemReservedCgroup: /system.slice\n"
RESERVATIONS = [
    ("none", "", "", (None, "", None), (None, "", None)),
    ("in the file", 'systemReserved:\n  cpu: 1\n  pid: "500"\nkubeReserved: \n  pid: "1k"\n', "",
     (500, "", None), (1000, "", None)),
    ("on one line", "systemReserved: {cpu: 1,'pid': \"500\"}\nkubeReserved: {opid: 1}\n", "",
     (500, "", None), (None, "", None)),
    ("JSON", '{"systemReserved": {"pid": "500"}}', "", (500, "", None), (None, "", None)),
    ("a flag wins, the whole map", 'systemReserved:\n  pid: "500"\n', "--system-reserved=cpu=1",
     (None, "", None), (None, "", None)),
    ("a flag", "", "--kube-reserved=cpu=1,pid=2Ki", (None, "", None), (2048, "", None)),
    ("enforced", ENFORCED, "", (None, "/system.slice", 300), (None, "", None)),
    ("enforced, in flow style", ENFORCED.replace("\n- pods\n- system-reserved", " [pods, 'system-reserved']"), "",
     (None, "/system.slice", 300), (None, "", None)),
    ("enforced, JSON", '{"enforceNodeAllocatable": ["system-reserved"], "systemReservedCgroup": "system.slice"}', "",
     (None, "/system.slice", 300), (None, "", None)),
    ("enforced by flags", "",
     "--enforce-node-allocatable=pods,kube-reserved --kube-reserved-cgroup=/kube-daemons.slice",
     (None, "", None), (None, "/kube.slice/kube-daemons.slice", 40)),
    ("compressible only", ENFORCED.replace("system-reserved", "system-reserved-compressible"), "",
     (None, "", None), (None, "", None)),
    ("a flag's list wins", ENFORCED, "--enforce-node-allocatable=pods", (None, "", None), (None, "", None)),
    ("enforced on what cannot be seen", ENFORCED.replace("/system.slice", "/gone"), "", (None, "/gone", None),
     (None, "", None)),
    ("a cgroup that is not enforced", "systemReservedCgroup: /system.slice\n", "", (None, "", None), (None, "", None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "flags", "system", "kube"), [case[1:] for case in RESERVATIONS], ids=[case[0] for case in RESERVATIONS]
)
def test_what_it_keeps_for_others(config, flags, system, kube):
    seen = running(f"--config={CONFIG} {flags}", {CONFIG: config, **SYSTEM})
    assert seen.reserved == {"systemReserved.pid": Reservation(*system), "kubeReserved.pid": Reservation(*kube)}


SOURCES = [
    ("kubeadm's", {"/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--pod-max-pids=5"\n'},
     "/var/lib/kubelet/kubeadm-flags.env"),
    ("the packager's", {"/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--pod-max-pids 5\n"}, "/etc/default/kubelet"),
    ("a drop-in's", {"/etc/systemd/system/kubelet.service.d/x.conf": "ExecStart=kubelet --pod-max-pids=5\n"},
     "/etc/systemd/system/kubelet.service.d/x.conf"),
    ("nowhere to be found", {}, "kubelet.service"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "source"), [case[1:] for case in SOURCES], ids=[case[0] for case in SOURCES])
def test_where_a_flag_comes_from(files, source):
    cgroup = {"/proc/712/cgroup": "0::/system.slice/kubelet.service\n"}
    assert running("--pod-max-pids=5 --v=2", files | cgroup).flags == {"pod-max-pids": source}


QUANTITIES = [("1024", 1024), ("2k", 2000), ("2Ki", 2048), ("1.5k", 1500), ("1e3", 1000), ("1E3", 1000), ("1M", 10**6),
              ("", None), ("many", None), ("-1", None), ("1ki", None), ("1K", None), (None, None)]  # fmt: skip


@pytest.mark.parametrize(("text", "number"), QUANTITIES)
def test_quantities(text, number):
    assert quantity(text) == number
