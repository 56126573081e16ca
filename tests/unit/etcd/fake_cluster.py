"""A cluster of three whose member on this node a unit of systemd runs: its API, its restarts, its locks."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
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


ETCDCTL = "/usr/bin/etcdctl"
TXN_START = 'create("nodeward/lock") = "0"\n\nput --lease=4d "nodeward/lock" "'
TXN_END = '"\n\nget "nodeward/lock"\n\n'


def failed(told: str) -> NodewardError:
    return NodewardError(f"the command ended with 1: {told}", "env -i ETCDCTL_API=3", "Run it on the node")


def etcdctl_words(words: list[str]) -> tuple[str, dict[str, Any], Callable[[Any], Any]]:
    """Return the call of the gateway that a command is, and how its answer is shown."""
    said = " ".join(words)
    for command, path, name, base in (
        ("member list", "v3/cluster/member/list", "", 10),
        ("endpoint status", "v3/maintenance/status", "", 10),
        ("move-leader ", "v3/maintenance/transfer-leadership", "targetID", 16),
        ("defrag", "v3/maintenance/defragment", "", 10),
        ("lease grant ", "v3/lease/grant", "TTL", 10),
        ("lease keep-alive --once ", "v3/lease/keepalive", "ID", 16),
        ("lease revoke ", "v3/lease/revoke", "ID", 16),
        ("txn", "v3/kv/txn", "", 10),
    ):
        if said.startswith(command):
            rest = said[len(command) :]
            body = {name: str(int(rest, base))} if name else {}
            if path == "v3/maintenance/status":
                return path, body, lambda told: [{"Endpoint": "x", "Status": told}]
            return path, body, lambda told: told.get("result", told)
    raise AssertionError(said)


def numbers(told: Any) -> Any:
    """Show what is a number as one."""
    if isinstance(told, dict):
        return {name: numbers(each) for name, each in told.items()}
    if isinstance(told, list):
        return [numbers(each) for each in told]
    return int(told) if isinstance(told, str) and told.isdecimal() else told


class FakeCluster(FakeHost):
    """``away`` are members that nobody reaches, ``leader`` one's name, ``bad`` a text with which etcd does not start.

    ``behind`` is by how many entries the own member lags; it catches up while time passes. Without a ``gateway``
    etcdctl on the node is what there is; ``typed`` are its command lines.
    """

    gateway = True

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
            f"{SHOW} etcd.service": (
                f"FragmentPath=/etc/systemd/system/etcd.service\nEnvironmentFiles={ENV} (x)\nMainPID={PID}\n"
            ),
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
        self.locked_by, self.locked_with = "", "76"
        self.forgets_leases = False
        self.moves: list[str] = []
        self.size, self.in_use = 10**9, 10**8
        self.calls_of_api: list[str] = []
        self.typed: list[list[str]] = []
        if not self.gateway:
            self.files[ETCDCTL] = ""
        self.snapshot = DATABASE + hashlib.sha256(DATABASE).digest()

    def run(self, command: Sequence[str], patience: float = 0) -> str:
        if ETCDCTL in command:
            return self._by_etcdctl(list(command))
        told = super().run(command, patience)
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
        name = self._name(base)
        if self._is_away(name):
            raise NodewardError("does not answer (Connection refused)", request.url, "See that it runs")
        if path == "metrics":
            sizes = (
                f"etcd_mvcc_db_total_size_in_bytes {self.size}\netcd_mvcc_db_total_size_in_use_in_bytes {self.in_use}\n"
            )
            return Answer(200, f'etcd_server_version{{server_version="{self.version}"}} 1\n{sizes}')
        if path in ("health", "readyz"):
            if any("NOSPACE" in error for error in self.errors):  # as 3.4.23 was seen to: of every member, with no word
                return Answer(503, '{"health":"false"}')
            return Answer(503, "not ready") if self.never_ready and self.restarts else Answer(200, '{"health":"true"}')
        if not self.gateway:
            return Answer(404, "404 page not found\n")
        self.calls_of_api.append(f"{name} {path}")
        told = self._told(name, path, json.loads(request.body or "{}"))
        return Answer(200, told if isinstance(told, str) else json.dumps(told))

    def stream(self, request: Request) -> Iterator[bytes]:
        self.saves()
        return super().stream(request)

    def saves(self) -> None:
        """Is called while a snapshot is taken."""

    def _name(self, base: str) -> str:
        return next((each for each in IDS if f"10.0.0.{each[-1]}" in base), "node1")

    def _is_away(self, name: str) -> bool:
        return name in self.away or (f"/proc/{PID}/comm" not in self.files and name == "node1")

    def _by_etcdctl(self, command: list[str]) -> str:
        """Answer as etcdctl 3.4.23 does (seen): numbers as such in JSON, ids taken in hexadecimal."""
        self.typed.append(command)
        assert command[:3] == ["env", "-i", "ETCDCTL_API=3"]
        typed = command[6] if command[3] == "/bin/sh" else ""
        flags = command[command.index(ETCDCTL) + 1 :]
        name = self._name(next(flag for flag in flags if flag.startswith("--endpoints=")))
        words = [word for word in flags if not word.startswith("--") or word == "--once"]
        if self._is_away(name):
            raise failed('{"level":"warn","msg":"x"} Error: context deadline exceeded')
        if words[:2] == ["snapshot", "save"]:
            self.calls_of_api.append(f"{name} v3/maintenance/snapshot")
            self.saves()
            self.files[words[2]], self.modes[words[2]] = self.snapshot.decode("latin-1"), 0o600
            return f"Snapshot saved at {words[2]}\n"
        path, body, shape = etcdctl_words(words)
        self.calls_of_api.append(f"{name} {path}")
        if path == "v3/lease/keepalive" and self.forgets_leases:
            raise failed("Error: etcdserver: requested lease not found")
        told = numbers(self._told(name, path, body))
        if path == "v3/kv/txn":
            assert typed.startswith(TXN_START)
            assert typed.endswith(TXN_END)
            told["responses"] = [
                {"Response": {"ResponseRange": each["response_range"]}} for each in told.get("responses", [])
            ]
        return json.dumps(shape(told)) if "--write-out=json" in flags else "OK\n"

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
            return {"responses": [{"response_range": {"kvs": [{"value": value, "lease": self.locked_with}]}}]}
        assert path == "v3/lease/revoke", path
        return {}


assert METRICS.endswith("2381")
