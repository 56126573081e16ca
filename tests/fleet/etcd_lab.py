"""Three members of Debian's etcd on the lab's nodes, over TLS, and a client that writes to them all the time.

node1 is a unit with Debian's environment file, node2 one with kubespray's, node3 a static pod as kubeadm writes it.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.api import build
from tests.api.pki import Authority
from tests.fleet.fleet import NODES
from tests.lab import Lab, LabError

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
_PODS = """\
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/lab/static_pods.py
"""


class EtcdLab:
    """The cluster. Its files are written once a test; `start` brings it up."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self._authority = Authority()
        self.addresses = {node: lab.address(node) for node in NODES}

    # --- making it ------------------------------------------------------------------------------------

    def start(self, heartbeat: int = 100, election: int = 1000) -> None:
        """Write everything and start all three."""
        program = build.ensure() / "etcd"
        for node in NODES:
            shutil.copy(program, self.path(node, "/usr/bin/etcd"))
            address = self.addresses[node]
            pair = self._authority.member([node, "localhost"], [address, "127.0.0.1"])
            self.write(node, f"{PKI}/ca.crt", self._authority.pem)
            self.write(node, f"{PKI}/server.crt", pair.certificate)
            self.write(node, f"{PKI}/server.key", pair.key, 0o600)
        client = self._authority.client("writer", ())
        (self.folder / "client.pem").write_text(client.certificate + client.key)
        (self.folder / "ca.pem").write_text(self._authority.pem)
        for node, path in ENVIRONMENTS.items():
            self.write(node, path, self._environment(node, heartbeat, election))
            self.write(node, "/etc/systemd/system/etcd.service", _UNIT.format(path=path))
        self.write("node3", MANIFEST, self._manifest(heartbeat, election))
        self.write("node3", "/usr/local/lib/lab/static_pods.py", Path(__file__).with_name("static_pods.py").read_text())
        self.write("node3", "/etc/systemd/system/lab-static-pods.service", _PODS)
        self.on_all(lambda node: "systemctl daemon-reload; systemctl start --no-block " + self.unit(node))
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

    def delay(self, node: str, seconds: float) -> None:
        """Let the others reach a member through a slow link from now on."""
        address, script = self.addresses[node], "/usr/local/lib/lab/delay_proxy.py"
        self.write(node, script, Path(__file__).with_name("delay_proxy.py").read_text())
        self.lab.run(
            node, f"systemd-run --quiet --unit=lab-delay /usr/bin/python3 {script} {address} 2390 2380 {seconds}"
        )
        told = self.status(node)["header"]["member_id"]
        self.call(node, "/v3/cluster/member/update", {"ID": told, "peerURLs": [f"https://{address}:2390"]})

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

    def leader(self) -> str:
        """The name of the node that leads."""
        for node in NODES:
            told = self.status(node)
            if told["leader"] == told["header"]["member_id"]:
                return node
        raise LabError("etcd has no leader")

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until a write goes through on every member."""
        deadline = time.monotonic() + timeout
        for node in NODES:
            while True:
                try:
                    self.call(node, "/v3/kv/put", {"key": coded("ready"), "value": coded(node)}, 2.0)
                    break
                except (OSError, http.client.HTTPException, ValueError) as error:
                    if time.monotonic() > deadline:
                        raise LabError(f"etcd on {node} is not ready after {timeout} s: {error}") from error
                    time.sleep(0.2)

    def fill(self, megabytes: int) -> None:
        """Write so much, delete it and compact: the space stays with the database."""
        text = coded("x" * (512 * 1024))
        for number in range(2 * megabytes):
            self.call("node1", "/v3/kv/put", {"key": coded(f"fill/{number}"), "value": text}, 10.0)
        told = self.call("node1", "/v3/kv/deleterange", {"key": coded("fill/"), "range_end": coded("fill0")}, 10.0)
        revision = int(told["header"]["revision"])
        self.call("node1", "/v3/kv/compaction", {"revision": str(revision), "physical": True}, 10.0)
        # the others compact on their own time, and bolt frees pages with a later write only
        deadline = time.monotonic() + 60
        while any(int(told["dbSize"]) < 2 * int(told["dbSizeInUse"]) for told in map(self.status, NODES)):
            if time.monotonic() > deadline:
                raise LabError("a member's database is not free after 60 s: " + str(list(map(self.status, NODES))))
            self.wait()
            time.sleep(0.2)

    def sizes(self) -> dict[str, int]:
        """The size of each member's database, in bytes."""
        return {node: int(self.status(node)["dbSize"]) for node in NODES}

    def values(self) -> dict[str, tuple[str, str]]:
        """What the three run with: heartbeat and election timeout from their command lines and environments."""
        look = r"""
        pid=$(pgrep -x etcd | head -n 1)
        tr '\0' '\n' < /proc/$pid/environ | sed -n 's/^ETCD_HEARTBEAT_INTERVAL=/h /p; s/^ETCD_ELECTION_TIMEOUT=/e /p'
        tr '\0' '\n' < /proc/$pid/cmdline | sed -n 's/^--heartbeat-interval=/h /p; s/^--election-timeout=/e /p'
        """
        found = {}
        for node in NODES:
            told = dict(line.split() for line in self.lab.run(node, look).stdout.splitlines())
            found[node] = (told["h"], told["e"])
        return found

    def pids(self) -> dict[str, str]:
        return self.pids_of(*NODES)

    def pids_of(self, *nodes: str) -> dict[str, str]:
        return {node: self.lab.run(node, "pgrep -x etcd").stdout.strip() for node in nodes}


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


@dataclass
class Writer:
    """Puts numbered keys, one after the other through all members in turn, until it is stopped.

    ``acknowledged`` has every key that etcd said it has, with when. A key that was not acknowledged is tried again
    at the next member. ``fewest`` is the smallest number of members that took a linearizable read at once.
    """

    cluster: EtcdLab
    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    fewest: int = len(NODES)
    tried: int = 0

    def __post_init__(self) -> None:
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._watch)]

    def __enter__(self) -> Writer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def gap(self) -> float:
        """The longest time between two writes that etcd acknowledged, in seconds."""
        moments = [moment for _number, moment in self.acknowledged]
        return max(later - earlier for earlier, later in pairwise(moments))

    def lost(self) -> list[int]:
        """The keys that etcd acknowledged and does not have."""
        told = self.cluster.call(
            NODES[0], "/v3/kv/range", {"key": coded("w/"), "range_end": coded("w0"), "keys_only": True}, 30.0
        )
        there = {base64.b64decode(pair["key"]).decode() for pair in told.get("kvs", [])}
        return [number for number, _moment in self.acknowledged if f"w/{number:08}" not in there]

    def _write(self) -> None:
        lines: dict[str, http.client.HTTPSConnection] = {}
        number, turn = 0, 0
        while not self._ends.is_set():
            node = NODES[turn % len(NODES)]
            turn += 1
            try:
                line = lines.setdefault(node, self.cluster.connection(node, 0.4))
                ask(line, "/v3/kv/put", {"key": coded(f"w/{number:08}"), "value": coded("x" * 64)})
                self.acknowledged.append((number, time.monotonic()))
                number += 1
            except (OSError, http.client.HTTPException, ValueError):
                lines.pop(node).close()
            self.tried += 1
            time.sleep(0.005)
        for line in lines.values():
            line.close()

    def _watch(self) -> None:
        """Look how many take a linearizable read, some times a second."""
        while not self._ends.wait(0.1):
            well = 0
            for node in NODES:
                try:
                    self.cluster.call(node, "/v3/kv/range", {"key": coded("ready")}, 1.0)
                    well += 1
                except (OSError, http.client.HTTPException, ValueError):
                    pass
            self.fewest = min(self.fewest, well)
