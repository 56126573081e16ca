"""What stands in for Calico and Kubernetes on the lab's nodes does what the real thing does. Needs root."""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from tests.lab import Lab, LabError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

POD = "/usr/local/lib/lab/pod"
LARGE = 1_000_000  # bytes: some 700 full packets

# Reads all, and answers with how much it was.
RECEIVER = """
import socket
with socket.create_server(("", 9000)) as server:
    while True:
        peer, _ = server.accept()
        with peer:
            count = 0
            while data := peer.recv(65536):
                count += len(data)
            peer.sendall(str(count).encode())
"""
# The answer, or nothing when there is none for 3 s.
SENDER = """
import socket, sys
with socket.create_connection(("10.233.2.10", 9000), timeout=3) as peer:
    try:
        peer.sendall(b"x" * int(sys.argv[1]))
        peer.shutdown(socket.SHUT_WR)
        print(peer.recv(100).decode(), end="")
    except TimeoutError:
        pass
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab("labstand", nodes=3)
    lab.down()
    lab.up()
    yield lab
    lab.down()


def out(lab: Lab, node: str, command: str) -> str:
    return lab.run(node, command).stdout.strip()


def until(seen: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)


def test_only_the_tunnel_is_there_by_default(lab: Lab) -> None:
    units = "lab-felix kubelet containerd systemd-networkd networking lab-bare-uplink"
    for node in ("node1", "node2", "node3"):
        states = lab.run(node, f"systemctl is-active {units}; systemctl is-enabled {units}", check=False).stdout.split()
        assert states == ["inactive"] * 6 + ["static"] + ["disabled"] * 5
        assert out(lab, node, "cat /sys/class/net/tunl0/mtu") == "1480"
    assert out(lab, "node1", "ping -c 1 -W 2 10.233.2.1 > /dev/null; ip route get 10.233.2.9").startswith("10.233.2.9")


def test_the_last_node_has_no_pyroute2(lab: Lab) -> None:
    for node in ("node1", "node2"):
        assert out(lab, node, "python3 -c 'import pyroute2; print(pyroute2.__name__)'") == "pyroute2"
    refused = lab.run("node3", "python3 -c 'import pyroute2'", check=False)
    assert "No module named 'pyroute2'" in refused.stderr
    assert lab.run("node3", "python3 -c 'import pr2modules'", check=False).returncode == 1


def test_felix_sets_the_tunnel_back(lab: Lab) -> None:
    set_back = "ip link set tunl0 mtu 1400; sleep 11; cat /sys/class/net/tunl0/mtu"
    assert out(lab, "node3", set_back) == "1400"
    lab.run("node3", "echo 1470 > /etc/lab/felix-mtu; systemctl start lab-felix")
    try:
        until(lambda: out(lab, "node3", "cat /sys/class/net/tunl0/mtu") == "1470", 5)
        assert out(lab, "node3", set_back) == "1470"
        assert out(lab, "node3", "journalctl -t calico-node").count("Tunnel device MTU needs to be updated") == 2
        pid = out(lab, "node3", "pgrep -x calico-node")
        assert pid == out(lab, "node3", "systemctl show -P MainPID lab-felix")
        assert out(lab, "node3", f"tr '\\0' ' ' < /proc/{pid}/cmdline") == "calico-node -felix"
        assert re.search(r"/kubepods\.slice/.*-pod[0-9a-f_]{36}\.slice/cri-containerd-[0-9a-f]{64}\.scope",
                         out(lab, "node3", f"cat /proc/{pid}/cgroup"))  # fmt: skip
    finally:
        lab.run("node3", "systemctl stop lab-felix")
    assert lab.run("node3", "pgrep -x calico-node", check=False).returncode == 1


def test_pods_come_and_go(lab: Lab) -> None:
    before = out(lab, "node3", "ip -oneline link; ip netns; ip route")
    lab.run("node3", f"{POD} add web 10.233.3.10 1400")
    link = out(lab, "node3", f"{POD} link web")
    assert re.fullmatch("cali[0-9a-f]{11}", link)
    assert (
        out(lab, "node3", f"cat /sys/class/net/{link}/mtu; {POD} exec web cat /sys/class/net/eth0/mtu").split()
        == ["1400"] * 2
    )
    [pid] = out(lab, "node3", "pgrep -x sleep").split()
    inside = out(lab, "node3", f"nsenter --net=/proc/{pid}/ns/net ip -4 -oneline address show dev eth0")
    assert "10.233.3.10/32" in inside
    assert "/kubepods.slice/kubepods-besteffort.slice/" in out(lab, "node3", f"cat /proc/{pid}/cgroup")
    lab.run("node3", f"{POD} del web")
    assert out(lab, "node3", "ip -oneline link; ip netns; ip route") == before


def test_incident_c(lab: Lab) -> None:
    """A tunnel that is too large for its uplink: what is small passes, what is large hangs, and nobody is told."""
    for node, name, address in (("node1", "a", "10.233.1.10"), ("node2", "b", "10.233.2.10")):
        lab.run(node, f"ip link set eth0 mtu 1450; ip link set tunl0 mtu 1450; {POD} add {name} {address} 1450")
    lab.run("node2", f"cat > /root/receive.py <<'EOF'{RECEIVER}EOF")
    lab.run("node1", f"cat > /root/send.py <<'EOF'{SENDER}EOF")
    lab.run("node2", f"systemd-run --quiet {POD} exec b python3 /root/receive.py; sleep 0.5")
    send = f"{POD} exec a python3 /root/send.py"
    assert out(lab, "node1", f"{send} 100") == "100"
    assert out(lab, "node1", f"{send} {LARGE}") == ""
    told = out(lab, "node1", f"{POD} exec a cat /proc/net/snmp").splitlines()
    names, counts = (line.split() for line in told if line.startswith("Icmp:"))
    assert counts[names.index("InMsgs")] == "0"
    for node, name in (("node1", "a"), ("node2", "b")):
        lab.run(node, f"ip link set $({POD} link {name}) mtu 1400; {POD} exec {name} ip link set eth0 mtu 1400")
        lab.run(node, "ip link set tunl0 mtu 1400")
    assert out(lab, "node1", f"{send} {LARGE}") == str(LARGE)


def test_the_kubelet_takes_its_file(lab: Lab) -> None:
    healthz = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:10248/healthz\").read())'"
    file = "/var/lib/kubelet/config.yaml"
    lab.run("node1", "systemctl start kubelet containerd")
    until(lambda: lab.run("node1", healthz, check=False).stdout == "b'ok'\n", 10)
    assert took(lab) == {"podPidsLimit": -1, "systemReserved": {}, "kubeReserved": {}, "pids": 49152}
    pid = out(lab, "node1", "pgrep -x kubelet")
    line = out(lab, "node1", f"tr '\\0' ' ' < /proc/{pid}/cmdline")
    assert line.startswith("/usr/bin/kubelet --bootstrap-kubeconfig=")
    assert f"--kubeconfig=/etc/kubernetes/kubelet.conf --config={file} " in line
    assert out(lab, "node1", "pgrep -x containerd") == out(lab, "node1", "systemctl show -P MainPID containerd")
    lab.run("node1", f"printf 'podPidsLimit: 4096\\nsystemReserved:\\n  pid: \"1000\"\\n' >> {file}")
    assert took(lab)["podPidsLimit"] == -1
    lab.run("node1", "sysctl -qw kernel.pid_max=60000; systemctl restart kubelet")
    until(lambda: took(lab)["podPidsLimit"] == 4096, 10)
    assert (took(lab)["systemReserved"], took(lab)["pids"]) == ({"pid": "1000"}, 60000)


def took(lab: Lab) -> dict[str, object]:
    """What the running kubelet read at its start."""
    read: dict[str, object] = json.loads(out(lab, "node1", "cat /run/lab/kubelet.json"))
    return {key: value for key, value in read.items() if key != "pid"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "failed to load kubelet config file"),
        ("[a]", "not a mapping"),
        ("kind: Other\napiVersion: v1", "failed to decode kubelet config"),
        ("kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\npodPidsLimit: x", "podPidsLimit"),
    ],
)
def test_the_kubelet_refuses_a_file(lab: Lab, text: str, told: str) -> None:
    lab.run("node1", f"printf '{text}' > /root/bad.yaml")
    refused = lab.run("node1", "/usr/bin/kubelet --config=/root/bad.yaml", check=False, timeout=10)
    assert (refused.returncode, told in refused.stdout) == (1, True), refused


def test_the_kubelet_from_flags_and_drop_ins(lab: Lab) -> None:
    kind = "apiVersion: kubelet.config.k8s.io/v1beta1\\nkind: KubeletConfiguration\\n"
    lab.run("node1", f"mkdir /root/d; printf '{kind}kubeReserved: {{pid: \"7\"}}\\n' > /root/d/10-x.conf")
    arguments = "--config-dir /root/d --pod-max-pids=99 --system-reserved=cpu=1,pid=5"
    unit = "/etc/systemd/system/kubelet.service.d/20-flags.conf"
    lab.run("node1", f"printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/kubelet {arguments}\\n' > {unit}")
    lab.run("node1", "systemctl daemon-reload; systemctl restart kubelet")
    until(lambda: took(lab)["podPidsLimit"] == 99, 10)
    assert (took(lab)["systemReserved"], took(lab)["kubeReserved"]) == ({"cpu": "1", "pid": "5"}, {"pid": "7"})
    lab.run("node1", f"rm -r {unit} /root/d; systemctl daemon-reload; systemctl restart kubelet")


class ApiServer(http.server.BaseHTTPRequestHandler):
    """As much of one as shows what the kubelet's stand-in asks for."""

    seen: ClassVar[list[tuple[str, str, str | None]]] = []
    made: ClassVar[list[dict[str, object]]] = []

    def do_POST(self) -> None:
        self._take(201)
        self.made.append(self.body)

    def do_PATCH(self) -> None:
        self._take(200 if self.made else 404)

    def _take(self, code: int) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.command, self.path, self.headers["Authorization"]))
        self.send_response(code)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_kubelet_keeps_its_node_ready(lab: Lab) -> None:
    gateway = out(lab, "node1", "ip route show default | cut -d ' ' -f 3")
    with http.server.ThreadingHTTPServer((gateway, 0), ApiServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"http://{gateway}:{server.server_port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        lab.run("node1", f"mkdir -p /etc/kubernetes; echo '{json.dumps(config)}' > /etc/kubernetes/kubelet.conf")
        until(lambda: len(ApiServer.seen) >= 4, 20)
        lab.run("node1", "systemctl stop kubelet containerd")
        server.shutdown()
    status = ("PATCH", "/api/v1/nodes/node1/status", "Bearer t")
    assert ApiServer.seen[:4] == [status, ("POST", "/api/v1/nodes", "Bearer t"), status, status]
    assert ApiServer.made[0]["kind"] == "Node"
    assert "Successfully registered node" in out(lab, "node1", "journalctl -u kubelet")


def test_networkd_configures_the_uplink_at_every_boot(lab: Lab) -> None:
    lab.reset("node1")
    lab.run("node1", "/usr/local/lib/lab/manage networkd 1440")
    for _boot in range(2):
        assert "(configured)" in out(lab, "node1", "networkctl status eth0 --lines=0")
        state = "/run/systemd/netif/links/$(cat /sys/class/net/eth0/ifindex)"
        assert "\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n" in out(lab, "node1", f"cat {state}")
        sees_uplink(lab, "node1")
        lab.stop("node1")
        lab.start("node1")


def test_ifupdown_configures_the_uplink_at_every_boot(lab: Lab) -> None:
    lab.reset("node2")
    lab.run("node2", "/usr/local/lib/lab/manage ifupdown 1440")
    for _boot in range(2):
        assert "eth0=eth0" in out(lab, "node2", "cat /run/network/ifstate")
        assert "eth0=eth0" in out(lab, "node2", "ifquery --state")
        sees_uplink(lab, "node2")
        lab.stop("node2")
        lab.start("node2")


def sees_uplink(lab: Lab, node: str) -> None:
    assert out(lab, node, "systemctl is-system-running; cat /sys/class/net/eth0/mtu").split() == ["running", "1440"]
    assert lab.address(node) in out(lab, node, "ip -4 -oneline address show dev eth0")
    assert out(lab, node, "ip route show default").count("default via") == 1
    lab.run(node, "ping -c 1 -W 2 10.233.3.1")


def test_a_manager_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(LabError, match="no manager wicked; there are networkd, ifupdown, NetworkManager, netplan"):
        lab.run("node3", "/usr/local/lib/lab/manage wicked")
