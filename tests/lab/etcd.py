"""Three members of Debian's etcd on the lab's nodes, over TLS with certificates for clients.

node1 is a unit with Debian's environment file, node2 one with kubespray's, node3 a static pod as kubeadm writes it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.api.pki import Authority
from tests.lab.host import LabError
from tests.lab.lab import Lab

NODES = ("node1", "node2", "node3")
PKI = "/etc/kubernetes/pki/etcd"
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"
ENVIRONMENTS = {"node1": "/etc/default/etcd", "node2": "/etc/etcd.env"}
_UNIT = """\
[Unit]
Description=etcd
[Service]
Type=notify
EnvironmentFile={path}
ExecStart=/usr/bin/etcd $DAEMON_ARGS
Restart=on-abnormal
LimitNOFILE=65536
[Install]
WantedBy=multi-user.target
"""
_RUNNING = "pgrep -x etcd >/dev/null"


class Etcd:
    """The cluster; `folder` of this machine holds what a client of it needs."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.addresses = {node: lab.address(node) for node in NODES}

    def ensure(self) -> bool:
        """Have it run: reuse what runs on all nodes, else make it anew, without what was in it. True where made."""
        if self._is_whole():
            return False
        self.on_all(lambda _node: "systemctl stop etcd lab-static-pods pod-etcd-yaml; rm -rf /var/lib/etcd; true")
        self.start()
        return True

    def _is_whole(self) -> bool:
        if not (self.folder / "client.pem").exists():
            return False
        if any(self.lab.run(node, _RUNNING, check=False).returncode for node in NODES):
            return False
        try:
            self.wait(20)
        except LabError:  # a node that was reset has another authority's certificates, or none
            return False
        return True

    # --- making it ------------------------------------------------------------------------------------

    def start(self, heartbeat: int = 100, election: int = 1000) -> None:
        """Write everything and start all three."""
        authority = Authority()
        self.folder.mkdir(parents=True, exist_ok=True)
        for node in NODES:
            address = self.addresses[node]
            pair = authority.member([node, "localhost"], [address, "127.0.0.1"])
            self.write(node, f"{PKI}/ca.crt", authority.pem)
            self.write(node, f"{PKI}/server.crt", pair.certificate)
            self.write(node, f"{PKI}/server.key", pair.key, 0o600)
        client = authority.client("writer", ())
        (self.folder / "client.pem").write_text(client.certificate + client.key)
        (self.folder / "ca.pem").write_text(authority.pem)
        for node, path in ENVIRONMENTS.items():
            self.write(node, path, self._environment(node, heartbeat, election))
            self.write(node, "/etc/systemd/system/etcd.service", _UNIT.format(path=path))
        self.write("node3", MANIFEST, self._manifest(heartbeat, election))
        self.on_all(
            lambda node: "systemctl daemon-reload; systemctl enable --quiet --now --no-block " + self.unit(node)
        )
        self.wait()

    def unit(self, node: str) -> str:
        return "lab-static-pods" if node == "node3" else "etcd"

    def path(self, node: str, path: str) -> Path:
        """Where a file of a node is on this machine."""
        return self.lab.inventory.parent / "nodes" / node / "root" / path.lstrip("/")

    def write(self, node: str, path: str, text: str, mode: int = 0o644) -> None:
        place = self.path(node, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def read(self, node: str, path: str) -> str:
        return self.path(node, path).read_text()

    def on_all(self, command: Any) -> None:
        """Run a command on all nodes at once."""
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(lambda node: self.lab.run(node, command(node)), NODES))

    def _options(self, node: str) -> dict[str, str]:
        address = self.addresses[node]
        cluster = ",".join(f"{each}=https://{self.addresses[each]}:2380" for each in NODES)
        tls = {"cert-file": f"{PKI}/server.crt", "key-file": f"{PKI}/server.key", "trusted-ca-file": f"{PKI}/ca.crt"}
        return {
            "name": node,
            "data-dir": "/var/lib/etcd",
            "listen-client-urls": f"https://127.0.0.1:2379,https://{address}:2379",
            "advertise-client-urls": f"https://{address}:2379",
            "listen-peer-urls": f"https://{address}:2380",
            "initial-advertise-peer-urls": f"https://{address}:2380",
            "initial-cluster": cluster,
            "listen-metrics-urls": "http://127.0.0.1:2381",
            "client-cert-auth": "true",
            "peer-client-cert-auth": "true",
            # the default from 3.5 on: without it a member that comes back late makes an election (seen here, 8 s long)
            "pre-vote": "true",
            "logger": "zap",
            **tls,
            **{f"peer-{name}": value for name, value in tls.items()},
        }

    def _environment(self, node: str, heartbeat: int, election: int) -> str:
        options = {**self._options(node), "heartbeat-interval": str(heartbeat), "election-timeout": str(election)}
        lines = [f"ETCD_{name.upper().replace('-', '_')}={value}" for name, value in options.items()]
        return "\n".join([f"# etcd of {node}", *lines, ""])

    def _manifest(self, heartbeat: int, election: int) -> str:
        options = {**self._options("node3"), "heartbeat-interval": str(heartbeat), "election-timeout": str(election)}
        flags = "".join(f"    - --{name}={value}\n" for name, value in sorted(options.items()))
        return (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n  namespace: kube-system\nspec:\n  containers:\n"
            f"  - command:\n    - etcd\n{flags}    image: etcd:3.4.23\n    name: etcd\n  hostNetwork: true\n"
        )

    # --- asking it ------------------------------------------------------------------------------------

    def call(self, node: str, path: str, body: dict[str, Any], timeout: float = 5.0) -> dict[str, Any]:
        """Make one call of the gateway; raises OSError or HTTPException."""
        line = self.connection(node, timeout)
        try:
            return ask(line, path, body)
        finally:
            line.close()

    def connection(self, node: str, timeout: float) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(str(self.folder / "client.pem"))
        return http.client.HTTPSConnection(self.addresses[node], 2379, timeout=timeout, context=context)

    def status(self, node: str) -> dict[str, Any]:
        return self.call(node, "/v3/maintenance/status", {})

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until every member answers a linearizable read, which needs a leader; nothing is written."""
        deadline = time.monotonic() + timeout
        for node in NODES:
            while True:
                try:
                    self.call(node, "/v3/kv/range", {"key": coded("ready")}, 2.0)
                    break
                except (OSError, http.client.HTTPException, ValueError) as error:
                    if time.monotonic() > deadline:
                        raise LabError(f"etcd on {node} is not ready after {timeout} s: {error}") from error
                    time.sleep(0.2)


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def ask(line: http.client.HTTPSConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    line.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = line.getresponse()
    told = json.loads(answer.read())
    if answer.status != 200:
        raise OSError(f"{answer.status}: {told.get('error')}")
    assert isinstance(told, dict)
    return told
