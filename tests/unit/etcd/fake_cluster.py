"""A cluster of three whose member on this node a unit of systemd runs: its API, its restarts, its locks."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request

from tests.unit.etcd.a_node import CLUSTER, IDS, METRICS, OWN_NET, PID
from tests.unit.etcd.test_flavours import PLAIN, SHOW
from tests.unit.fake_host import FakeHost

ENV = "/etc/etcd.env"
OWN = "https://127.0.0.1:2379"
TEXT = """\
ETCD_NAME=node1
ETCD_DATA_DIR=/var/lib/etcd
ETCD_HEARTBEAT_INTERVAL=100
ETCD_ELECTION_TIMEOUT=1000
ETCD_LISTEN_CLIENT_URLS=https://127.0.0.1:2379
ETCD_LISTEN_METRICS_URLS=http://127.0.0.1:2381
"""
DATABASE = b"every Secret of the cluster" * 99


class FakeCluster(FakeHost):
    """``away`` are members that nobody reaches, ``leader`` one's name, ``bad`` a text with which etcd does not start.

    ``behind`` is by how many entries the own member lags; it catches up while time passes.
    """

    def __init__(self, voters: Sequence[str] = ("node1", "node2", "node3")) -> None:
        proc = f"/proc/{PID}"
        super().__init__(
            {
                f"{proc}/comm": "etcd\n",
                f"{proc}/cmdline": "/usr/local/bin/etcd\0",
                f"{proc}/cgroup": "0::/system.slice/etcd.service\n",
                f"{proc}/environ": TEXT.replace("\n", "\0"),
                f"{proc}/stat": f"{PID} (etcd) S 1 1 1",
                "/proc/1/comm": "systemd\n",
                "/proc/sys/kernel/hostname": "node1\n",
                "/etc/systemd/system/etcd.service": PLAIN,
                ENV: TEXT,
            },
            links={"/proc/1/ns/net": OWN_NET, f"{proc}/ns/net": OWN_NET},
        )
        self.commands = {
            f"{SHOW} etcd.service": f"FragmentPath=/etc/systemd/system/etcd.service\nEnvironmentFiles={ENV} (x)\n",
            "systemctl daemon-reload": "",
            "systemctl reset-failed etcd.service": "",
            "systemctl restart etcd.service": "",
            "systemctl show --property=ActiveState --value etcd.service": "active\n",
        }
        self.voters = list(voters)
        self.away: set[str] = set()
        self.leader = "node2"
        self.learner = ""
        self.errors: list[str] = []
        self.terms: dict[str, int] = {}
        self.version = "3.4.23"
        self.behind = 0
        self.bad = "nothing"
        self.never_ready = False
        self.restarts = 0
        self.locked_by = ""
        self.forgets_leases = False
        self.moves: list[str] = []
        self.size, self.in_use = 10**9, 10**8
        self.calls_of_api: list[str] = []
        self.snapshot = DATABASE + hashlib.sha256(DATABASE).digest()

    def run(self, command: Sequence[str]) -> str:
        told = super().run(command)
        if list(command[:2]) == ["systemctl", "restart"]:
            self.restarts += 1
            if self.bad in self.files[ENV]:
                self.files.pop(f"/proc/{PID}/comm", None)
                raise NodewardError("the command ended with 1: failed", "systemctl restart", "See its log")
            self.files[f"/proc/{PID}/comm"] = "etcd\n"
            self.files[f"/proc/{PID}/environ"] = self.files[ENV].replace("\n", "\0")
        return told

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.behind = max(0, self.behind - 10)

    def send_http(self, request: Request) -> Answer:
        self.requests.append(request)
        base, _slash, path = request.url.partition("//")[2].partition("/")
        name = next((each for each in IDS if f"10.0.0.{each[-1]}" in base), "node1")
        if name in self.away or (f"/proc/{PID}/comm" not in self.files and name == "node1"):
            raise NodewardError("does not answer (Connection refused)", request.url, "See that it runs")
        if path == "metrics":
            sizes = (
                f"etcd_mvcc_db_total_size_in_bytes {self.size}\netcd_mvcc_db_total_size_in_use_in_bytes {self.in_use}\n"
            )
            return Answer(200, f'etcd_server_version{{server_version="{self.version}"}} 1\n{sizes}')
        if path in ("health", "readyz"):
            return Answer(503, "not ready") if self.never_ready and self.restarts else Answer(200, '{"health":"true"}')
        self.calls_of_api.append(f"{name} {path}")
        told = self._told(name, path, json.loads(request.body or "{}"))
        return Answer(200, told if isinstance(told, str) else json.dumps(told))

    def _told(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
        header = {"cluster_id": str(CLUSTER), "member_id": str(IDS[name])}
        if path == "v3/cluster/member/list":
            members = [
                {
                    "ID": str(IDS[each]),
                    "name": each,
                    "clientURLs": [f"https://10.0.0.{each[-1]}:2379"],
                    "isLearner": each == self.learner,
                }
                for each in self.voters
            ]
            return {"header": header, "members": members}
        if path == "v3/maintenance/status":
            return {
                "header": header, "version": self.version, "dbSize": str(len(DATABASE)),
                "leader": str(IDS[self.leader]) if self.leader else "0", "raftTerm": str(self.terms.get(name, 7)),
                "raftIndex": "5000", "raftAppliedIndex": str(5000 - (self.behind if name == "node1" else 0)),
                "errors": self.errors if name == "node1" else [],
            }  # fmt: skip
        if path == "v3/maintenance/transfer-leadership":
            self.leader = next(each for each, number in IDS.items() if str(number) == body["targetID"])
            self.moves.append(self.leader)
            return {}
        if path == "v3/maintenance/defragment":
            assert self.leader != "node1" or len(self.voters) == 1, "the leader stalls all writes meanwhile"
            self.size = self.in_use + 4096
            return {}
        if path == "v3/maintenance/snapshot":
            pieces = [self.snapshot[i : i + 1000] for i in range(0, len(self.snapshot), 1000)]
            return "".join(
                json.dumps({"result": {"blob": base64.b64encode(piece).decode()}}) + "\n" for piece in pieces
            )
        return self._locked(path)

    def _locked(self, path: str) -> dict[str, Any]:
        if path == "v3/lease/grant":
            return {"ID": "77"}
        if path == "v3/lease/keepalive":
            return {"result": {} if self.forgets_leases else {"TTL": "60"}}
        if path == "v3/kv/txn":
            if not self.locked_by:
                return {"succeeded": True}
            value = base64.b64encode(self.locked_by.encode()).decode()
            return {"responses": [{"response_range": {"kvs": [{"value": value}]}}]}
        assert path == "v3/lease/revoke", path
        return {}


assert METRICS.endswith("2381")
