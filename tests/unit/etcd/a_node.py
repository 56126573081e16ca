"""A node with one member of etcd, as /proc and its HTTP API show it."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer

from tests.unit.core.etcd_files import MANIFEST
from tests.unit.etcd.test_metrics import TEXT
from tests.unit.fake_host import FakeHost

PID = 4242
MANIFEST_PATH = "/etc/kubernetes/manifests/etcd.yaml"
POD = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-2.scope\n"
OWN_NET, OTHER_NET = "net:[4026531840]", "net:[4026532000]"
CERTIFICATES = {name: f"/etc/kubernetes/pki/etcd/{name}" for name in ("ca.crt", "server.crt", "server.key")}
ARGUMENTS = (
    "etcd",
    "--name=node1",
    "--data-dir=/var/lib/etcd",
    "--heartbeat-interval=100",
    "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
    "--listen-metrics-urls=http://127.0.0.1:2381",
    f"--trusted-ca-file={CERTIFICATES['ca.crt']}",
    f"--cert-file={CERTIFICATES['server.crt']}",
    f"--key-file={CERTIFICATES['server.key']}",
)
CLIENT, METRICS = "https://127.0.0.1:2379", "http://127.0.0.1:2381"
IDS = {"node1": 0x8E9E05C52164694D, "node2": 0xB3504381E8BA3CB, "node3": 0xC0FFEE}
CLUSTER = 0xCAFE
THREADS = (PID, PID + 1)


def members(**more: Any) -> dict[str, Any]:
    """Answer as 3.4.23 does: numbers of 64 bits in decimal, as text."""
    return {
        "header": {"cluster_id": str(CLUSTER), "member_id": str(IDS["node1"]), "raft_term": "7"},
        "members": [
            {"ID": str(number), "name": name, "clientURLs": [f"https://10.0.0.{name[-1]}:2379"], **more.get(name, {})}
            for name, number in IDS.items()
        ],
    }


def node(arguments: tuple[str, ...] = ARGUMENTS, **files: str) -> FakeHost:
    """Return a node of kubeadm's, its manifest beside it."""
    proc = f"/proc/{PID}"
    host = FakeHost(
        {
            f"{proc}/comm": "etcd\n",
            f"{proc}/cmdline": "\0".join(arguments) + "\0",
            f"{proc}/cgroup": POD,
            f"{proc}/environ": "PATH=/bin\0",
            f"{proc}/stat": f"{PID} (etcd) S 17 1 1",
            f"{proc}/mountinfo": "1 1 8:1 / / rw - ext4 x rw\n2 1 8:17 / /var/lib/etcd rw - ext4 y rw\n",
            "/proc/17/comm": "containerd-shim\n",
            **{f"{proc}/task/{thread}/comm": "etcd\n" for thread in THREADS},
            **{f"{proc}/root{path}": f"PEM of {name}\n" for name, path in CERTIFICATES.items()},
            MANIFEST_PATH: MANIFEST,
            **files,
        },
        links={"/proc/1/ns/net": OWN_NET, f"{proc}/ns/net": OWN_NET},
    )
    host.files["/sys/dev/block/8:1/queue/scheduler"] = "none [bfq]\n"
    # the fake follows '..' as the kernel does not: a partition's folder is a link into its disk's
    host.files["/sys/dev/block/queue/scheduler"] = "[mq-deadline] none\n"
    host.priorities = dict.fromkeys(THREADS, 0)
    host.answers = {
        f"GET {METRICS}/metrics": Answer(200, TEXT),
        f"POST {CLIENT}/v3/cluster/member/list": Answer(200, json.dumps(members())),
        f"POST {CLIENT}/v3/maintenance/status": Answer(200, json.dumps({"version": "3.4.23"})),
    }
    return host
