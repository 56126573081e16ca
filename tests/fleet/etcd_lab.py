"""The lab's cluster of etcd (tests/lab/etcd.py) in the hands of a test, and a client that writes to it all the time."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.fleet.fleet import NODES
from tests.lab import LabError
from tests.lab.etcd import PKI, Etcd, ask, coded


class EtcdLab(Etcd):
    """The lab's cluster, and what a test asks of it and does to it."""

    def delay(self, node: str, seconds: float) -> None:
        """Let the others reach a member through a slow link from now on."""
        address, script = self.addresses[node], "/usr/local/lib/lab/delay_proxy.py"
        self.write(node, script, Path(__file__).with_name("delay_proxy.py").read_text())
        self.lab.run(
            node, f"systemd-run --quiet --unit=lab-delay /usr/bin/python3 {script} {address} 2390 2380 {seconds}"
        )
        told = self.status(node)["header"]["member_id"]
        self.call(node, "/v3/cluster/member/update", {"ID": told, "peerURLs": [f"https://{address}:2390"]})

    def leader(self) -> str:
        """The name of the node that leads."""
        for node in NODES:
            told = self.status(node)
            if told["leader"] == told["header"]["member_id"]:
                return node
        raise LabError("etcd has no leader")

    def lead(self, node: str, timeout: float = 60.0) -> None:
        """Have this node lead; a member that has to catch up first does not take it over at once."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, LabError):
                leader = self.leader()
                if leader == node:
                    return
                target = self.status(node)["header"]["member_id"]
                self.call(leader, "/v3/maintenance/transfer-leadership", {"targetID": target}, 10.0)
            time.sleep(0.1)
        raise LabError(f"etcd on {node} does not lead after {timeout:g} s")

    def metrics(self, node: str) -> dict[str, float]:
        """A member's own metrics, by name and labels as they are written."""
        line = self.connection(node, 10.0)
        line.request("GET", "/metrics")
        lines = line.getresponse().read().decode().splitlines()
        line.close()
        return {name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[:1] != "#")}

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
            self.call("node1", "/v3/kv/put", {"key": coded("ready"), "value": coded("x")}, 10.0)
            time.sleep(0.2)

    def start_alone(self, node: str, path: str) -> None:
        """End the cluster, and start one of one member with a file (--config-file) that says nothing of a gateway."""
        self.on_all(lambda _node: "systemctl stop etcd lab-static-pods pod-etcd-yaml; rm -rf /var/lib/etcd; true")
        options = self._options(node)
        options["initial-cluster"] = f"{node}={options['initial-advertise-peer-urls']}"
        plain = {name: value for name, value in options.items() if "-file" not in name and "cert-auth" not in name}
        lines = [f"{name}: {value if name == 'pre-vote' else json.dumps(value)}" for name, value in plain.items()]
        for section in ("client", "peer"):
            lines += [f"{section}-transport-security:", "  client-cert-auth: true"]
            lines += [f"  {name}: {options[name]}" for name in ("cert-file", "key-file", "trusted-ca-file")]
        text = ["# by hand", *lines, "heartbeat-interval: 100", "election-timeout: 1000", ""]
        self.write(node, path, "\n".join(text))
        unit, start = "/etc/systemd/system/etcd.service", f"ExecStart=/usr/bin/etcd --config-file={path}"
        self.lab.run(
            node, f"sed -i 's|^EnvironmentFile=.*||; s|^ExecStart=.*|{start}|' {unit}; systemctl daemon-reload"
        )
        self.lab.run(node, "systemctl enable --now etcd")

    def etcdctl(self, node: str, words: str) -> str:
        """Run etcdctl on a node, with that node's certificate."""
        files = f"--cacert={PKI}/ca.crt --cert={PKI}/server.crt --key={PKI}/server.key"
        told: str = self.lab.run(node, f"etcdctl --endpoints=https://127.0.0.1:2379 {files} {words}").stdout
        return told

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


@dataclass
class Writer:
    """Puts numbered keys, one after the other through all members in turn, until it is stopped.

    ``acknowledged`` has every key that etcd said it has, with when. A key that was not acknowledged within
    ``patience`` seconds is tried again at the next member. ``fewest`` is the smallest number of members that took a
    linearizable read at once.
    """

    cluster: EtcdLab
    patience: float = 0.4
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
                line = lines.setdefault(node, self.cluster.connection(node, self.patience))
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
        last = len(NODES)
        while not self._ends.wait(0.1):
            well = 0
            for node in NODES:
                try:
                    self.cluster.call(node, "/v3/kv/range", {"key": coded("ready")}, 1.0)
                    well += 1
                except (OSError, http.client.HTTPException, ValueError):
                    pass
            # at a second look: a read of a member that is well may take more than its second, too
            self.fewest, last = min(self.fewest, max(well, last)), well
