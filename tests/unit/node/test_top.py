"""Who holds the threads: pods by both cgroup drivers and three runtimes, services and logins."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._node import pods, top
from ansible_collections.nodeward.calico.plugins.module_utils._node.pods import Pod
from ansible_collections.nodeward.calico.plugins.module_utils._node.top import Holder

from tests.unit.fake_host import FakeHost

V1, V2 = "/sys/fs/cgroup/pids", "/sys/fs/cgroup"
UID = "5f0e8a4c-7d1b-4a57-9a2e-0c1d2e3f4a5b"
STATIC = "0123456789abcdef0123456789abcdef"  # the hash of its configuration
CART, PAUSE = "ca" * 32, "0f" * 32

BURSTABLE = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
SYSTEMD = f"{BURSTABLE}{UID.replace('-', '_')}.slice"
KIND = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
LOGS = {
    f"/var/log/pods/shop_cart-7d9f_{UID}/cart/0.log": "",
    f"/var/log/pods/kube-system_etcd-n1_{STATIC}/etcd/0.log": "",
}
LINKS = {f"/var/log/containers/cart-7d9f_shop_cart-{CART}.log": f"/var/log/pods/shop_cart-7d9f_{UID}/cart/0.log"}


def observe(host: FakeHost | LocalHost, mount: str) -> tuple[Holder, ...]:
    return top.observe(host, mount, pods.observe(host, mount))


def cgroups(mount: str, numbers: dict[str, int]) -> dict[str, str]:
    return {f"{mount}{path}/pids.current": f"{number}\n" for path, number in numbers.items()}


def annotated(**labels: str) -> str:
    return json.dumps({"annotations": {f"io.kubernetes.{key.replace('__', '.')}": v for key, v in labels.items()}})


CONTAINERD = annotated(**{"cri__sandbox-namespace": "shop", "cri__sandbox-name": "cart-1"})
CONTAINERD_CART = annotated(
    **{"cri__sandbox-namespace": "shop", "cri__sandbox-name": "cart-1", "cri__container-name": "cart"}
)
CRIO_CART = annotated(pod__namespace="shop", pod__name="cart-1", container__name="cart")
DOCKER_CART = json.dumps({"Config": {"Labels": json.loads(CRIO_CART)["annotations"]}})
CONTAINERD_PATH = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/config.json"
CRIO_PATH = f"/run/containers/storage/overlay-containers/{CART}/userdata/config.json"
DOCKER_PATH = f"/var/lib/docker/containers/{CART}/config.v2.json"

TITLES: list[tuple[str, str, dict[str, int], dict[str, str], str]] = [
    ("containerd, systemd driver", SYSTEMD, {f"/cri-containerd-{CART}.scope": 99, f"/cri-containerd-{PAUSE}.scope": 1},
     LOGS, "shop/cart-7d9f (container cart)"),
    ("CRI-O, systemd driver", SYSTEMD, {f"/crio-{CART}.scope": 99, f"/crio-conmon-{CART}.scope": 1}, LOGS,
     "shop/cart-7d9f (container cart)"),
    ("docker, systemd driver", SYSTEMD, {f"/docker-{CART}.scope": 99}, LOGS, "shop/cart-7d9f (container cart)"),
    ("cgroupfs driver", f"/kubepods/burstable/pod{UID}", {f"/{CART}": 99}, LOGS, "shop/cart-7d9f (container cart)"),
    ("guaranteed, systemd driver", f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice",
     {f"/cri-containerd-{CART}.scope": 99}, LOGS, "shop/cart-7d9f (container cart)"),
    ("guaranteed, cgroupfs driver", f"/kubepods/pod{UID}", {f"/{CART}": 99}, LOGS, "shop/cart-7d9f (container cart)"),
    ("best effort, kind", f"{KIND}/kubelet-kubepods-besteffort-pod{UID.replace('-', '_')}.slice",
     {f"/cri-containerd-{CART}.scope": 99}, LOGS,
     "shop/cart-7d9f (container cart)"),
    ("a static pod", f"{BURSTABLE}{STATIC}.slice", {}, LOGS, "kube-system/etcd-n1"),
    ("no container has half of it", SYSTEMD, {f"/cri-containerd-{CART}.scope": 49}, LOGS, "shop/cart-7d9f"),
    ("another container than the log's", SYSTEMD, {f"/cri-containerd-{PAUSE}.scope": 99}, LOGS, "shop/cart-7d9f"),
    ("containerd's labels", SYSTEMD, {f"/cri-containerd-{CART}.scope": 99},
     {CONTAINERD_PATH.format(CART): CONTAINERD_CART}, "shop/cart-1 (container cart)"),
    ("the sandbox's labels", SYSTEMD, {f"/cri-containerd-{PAUSE}.scope": 99},
     {CONTAINERD_PATH.format(PAUSE): CONTAINERD}, "shop/cart-1"),
    ("CRI-O's labels", SYSTEMD, {f"/crio-{CART}.scope": 99}, {CRIO_PATH: CRIO_CART}, "shop/cart-1 (container cart)"),
    ("docker's labels", SYSTEMD, {f"/docker-{CART}.scope": 99}, {DOCKER_PATH: DOCKER_CART},
     "shop/cart-1 (container cart)"),
    ("labels cut short", SYSTEMD, {f"/cri-containerd-{CART}.scope": 99},
     {CONTAINERD_PATH.format(CART): CONTAINERD_CART[:40]}, f"pod {UID}"),
    ("labels of another shape", SYSTEMD, {f"/docker-{CART}.scope": 99}, {DOCKER_PATH: '{"Config": []}'}, f"pod {UID}"),
    ("nothing tells", SYSTEMD, {}, {}, f"pod {UID}"),
]  # fmt: skip


@pytest.mark.parametrize("mount", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    ("cgroup", "below", "files", "name"), [case[1:] for case in TITLES], ids=[case[0] for case in TITLES]
)
def test_what_a_pod_is_called(mount, cgroup, below, files, name):
    tree = cgroups(mount, {cgroup: 100, **{cgroup + path: number for path, number in below.items()}})
    links = LINKS if files is LOGS else {}
    host = FakeHost({**tree, **files}, links=links)
    (pod,) = pods.observe(host, mount)
    assert (pod.threads, pod.cgroup) == (100, cgroup)
    assert pods.title(host, mount, pod) == name
    assert observe(host, mount) == (Holder(name, cgroup, 100),)
    assert host.calls == []


NODE = {
    "/kubepods.slice": 31100,
    "/kubepods.slice/kubepods-burstable.slice": 31000,
    SYSTEMD: 31000,
    f"{SYSTEMD}/cri-containerd-{CART}.scope": 30999,
    "/kubepods.slice/kubepods-pod1.slice": 100,
    "/system.slice": 900,
    "/system.slice/containerd.service": 700,
    "/system.slice/kubelet.service": 40,
    "/system.slice/cron.service": 1,
    "/system.slice/docker-ab.scope": 30,
    "/system.slice/system-getty.slice": 2,
    "/system.slice/system-getty.slice/getty@tty1.service": 2,
    "/user.slice": 90,
    "/user.slice/user-1000.slice": 90,
    "/user.slice/user-1000.slice/session-1.scope": 90,
    "/init.scope": 1,
}


@pytest.mark.parametrize("mount", [V1, V2], ids=["v1", "v2"])
def test_nothing_is_counted_twice_and_the_largest_come_first(mount):
    files = {**cgroups(mount, NODE), **LOGS, f"{mount}{SYSTEMD}/pids.max": "max\n"}
    files[f"{mount}/user.slice/user-1000.slice/pids.max"] = "10813\n"
    holders = observe(FakeHost(files, links=LINKS), mount)
    assert [(holder.name, holder.threads, holder.limit) for holder in holders] == [
        ("shop/cart-7d9f (container cart)", 31000, None),
        ("containerd.service", 700, None),
        ("pod 1", 100, None),
        ("user-1000.slice", 90, 10813),
        ("kubelet.service", 40, None),
    ]
    assert [holder.name for holder in top.within(holders, "/kubepods.slice")] == [holders[0].name, "pod 1"]
    assert top.within(holders, "/system.slice/kubelet.service") == []


def test_all_pods_with_their_threads():
    host = FakeHost(cgroups(V2, NODE))
    assert pods.observe(host, V2) == [Pod(UID, SYSTEMD, 31000), Pod("1", "/kubepods.slice/kubepods-pod1.slice", 100)]


def test_a_pod_that_ended_while_it_was_looked_at(tmp_path):
    (tmp_path / f"sys/fs/cgroup{SYSTEMD}").mkdir(parents=True)  # its files are gone
    assert observe(LocalHost(str(tmp_path)), V2) == ()


def test_a_node_without_cgroups_holds_nothing():
    assert observe(FakeHost(), V2) == ()
