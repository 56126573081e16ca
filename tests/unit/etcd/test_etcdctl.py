"""A member whose gateway is off is asked by etcdctl: how it is started, what is refused, and what is never told."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import access, lock, running, seen, snapshot
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.access import Access
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_timing

from tests.unit.etcd.a_node import ARGUMENTS, CERTIFICATES, CLIENT, PID, members, node
from tests.unit.etcd.fake_cluster import DATABASE, ETCDCTL, OWN, FakeCluster, failed
from tests.unit.fake_host import FakeHost

PATHS = (CERTIFICATES["ca.crt"], CERTIFICATES["server.crt"], CERTIFICATES["server.key"])
START = ["env", "-i", "ETCDCTL_API=3", ETCDCTL, f"--endpoints={CLIENT}"]
LIST = ["--command-timeout=5s", "member", "list", "--write-out=json"]
STATUS = ["--command-timeout=5s", "endpoint", "status", "--write-out=json"]


class Offline(FakeCluster):
    """A cluster without a gateway."""

    gateway = False


def off(told: str = "", program: str = ETCDCTL) -> FakeHost:
    """Return a node of kubeadm's whose member has no gateway; etcdctl tells ``told`` where it is asked for members."""
    host = node()
    host.files |= {program: ""} if program else {}
    host.answers[f"POST {CLIENT}/v3/cluster/member/list"] = Answer(404, "404 page not found\n")
    paths = [f"/proc/{PID}/root{path}" for path in PATHS]
    flags = [f"--cacert={paths[0]}", f"--cert={paths[1]}", f"--key={paths[2]}"]
    for words, answer in ((LIST, told), (STATUS, '[{"Status": {"version": "3.4.23"}}]')):
        host.commands[" ".join([*START, *flags, *words]).replace(ETCDCTL, program or ETCDCTL)] = answer
    return host


def shown_by_etcdctl() -> str:
    """The list as 3.4.23 shows it: numbers, not texts."""
    told = members()
    for each in told["members"]:
        each["ID"] = int(each["ID"])
    told["header"] = {name: int(value) for name, value in told["header"].items()}
    return json.dumps(told)


@pytest.mark.parametrize("program", [ETCDCTL, "/usr/local/bin/etcdctl", "/opt/bin/etcdctl"])
def test_a_look_at_the_node_sees_its_member_and_costs_etcd_no_write(program):
    host = off(shown_by_etcdctl(), program)
    before = seen.look(node())[0].membership
    [found] = seen.look(host)
    assert (found.unseen, found.membership) == ("", before)
    asked = [words for verb, words in host.calls if verb == "run" and "etcdctl" in words]
    assert [words.partition("--command-timeout=5s ")[2] for words in asked] == [
        "member list --write-out=json",
        "endpoint status --write-out=json",
    ]
    assert [finding.id for finding in etcd_timing.plan(etcd_timing.observe(host), etcd_timing.Policy()).findings] == [
        finding.id for finding in etcd_timing.plan(etcd_timing.observe(node()), etcd_timing.Policy()).findings
    ]


@pytest.mark.parametrize("told", ["", "null", "[]", "[7]", "7", '"x"'])
def test_what_etcdctl_does_not_say_is_an_error(told):
    assert "etcdctl member list: it told no JSON" in seen.look(off(told))[0].unseen


def test_without_etcdctl_the_reason_and_both_remedies_are_told():
    host = off(program="")
    [found] = seen.look(host)
    assert found.unseen == f"{CLIENT}: its HTTP gateway is off, and the node has no etcdctl"
    with pytest.raises(NodewardError) as error:
        Etcd(host, access.of(running.find(host)[0], host)).members()
    assert "enable-grpc-gateway: true" in error.value.remedy
    assert "install etcdctl" in error.value.remedy
    assert not [words for verb, words in host.calls if "etcdctl" in words]


def test_a_key_goes_by_the_name_of_its_file_which_outlives_the_process():
    host = off()
    [process] = running.find(host)
    assert access.of(process, host).files == tuple(f"/proc/{PID}/root{path}" for path in PATHS)
    # a restart ends the process, and with it its folder in /proc
    host.files |= {path: f"PEM of {name}\n" for name, path in CERTIFICATES.items()}
    assert access.of(process, host).files == PATHS
    host.files[PATHS[2]] = "another key"
    assert access.of(process, host).files == (*PATHS[:2], f"/proc/{PID}/root{PATHS[2]}")
    assert "PEM" not in repr(access.of(process, host))


TLS: list[tuple[str, Access, list[str]]] = [
    ("a client's certificate", Access(OWN, files=PATHS),
     [f"--cacert={PATHS[0]}", f"--cert={PATHS[1]}", f"--key={PATHS[2]}"]),
    ("an authority alone", Access(OWN, files=(PATHS[0], "", "")), [f"--cacert={PATHS[0]}"]),
    ("auto-tls", Access(OWN), ["--insecure-skip-tls-verify=true"]),
    ("no TLS", Access("http://127.0.0.1:2379", files=PATHS), []),
    ("HTTP at an address of its own", Access("http://127.0.0.1:2382", ("http://127.0.0.1:2381"), ("http", 2382),
     grpc=OWN, files=(PATHS[0], "", "")), [f"--cacert={PATHS[0]}"]),
]  # fmt: skip


@pytest.mark.parametrize(("by", "flags"), [c[1:] for c in TLS], ids=[c[0] for c in TLS])
def test_how_it_is_started(by, flags):
    cluster = Offline()
    own = Etcd(cluster, by)
    assert [member.name for member in own.members().members] == ["node1", "node2", "node3"]
    endpoint = by.grpc or by.client
    assert cluster.typed == [["env", "-i", "ETCDCTL_API=3", ETCDCTL, f"--endpoints={endpoint}", *flags, *LIST]]


def test_where_http_has_addresses_of_its_own_others_are_asked_at_those_that_they_tell():
    arguments = (*ARGUMENTS, "--listen-client-http-urls=http://127.0.0.1:2382")
    host = node(arguments)
    of = access.of(running.find(host)[0], host)
    assert (of.client, of.grpc) == ("http://127.0.0.1:2382", CLIENT)
    cluster = Offline()
    other = Etcd(cluster, of).other("https://10.0.0.2:2379")
    assert other.status().id == Etcd(FakeCluster(), of).other("https://10.0.0.2:2379").status().id
    assert cluster.requests[0].url == "http://10.0.0.2:2382/v3/maintenance/status"
    assert "--endpoints=https://10.0.0.2:2379" in cluster.typed[0]


def test_the_gateway_is_asked_once_and_etcdctl_from_then_on():
    cluster = Offline()
    own = Etcd(cluster, Access(OWN))
    own.members()
    own.status()
    assert [request.url for request in cluster.requests] == [f"{OWN}/v3/cluster/member/list"]
    assert len(cluster.typed) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_any_other_answer_of_the_gateway_stays_an_error(status):
    class Refuses(Offline):
        def send_http(self, _request: Request) -> Answer:
            return Answer(status, '{"error": "no"}')

    cluster = Refuses()
    with pytest.raises(NodewardError, match=f"answered with {status}: no"):
        Etcd(cluster, Access(OWN)).members()
    assert cluster.typed == []


X509 = (
    r'{"level":"warn","error":"rpc error: code = DeadlineExceeded desc = latest balancer error: connection error: '
    r'desc = \"transport: authentication handshake failed: x509: certificate is valid for 10.0.0.1, not 127.0.0.1\""}'
    "\nError: context deadline exceeded"
)
ERRORS = [
    ('{"level":"warn","error":"long"} Error: etcdserver: bad leader transferee', "etcdserver: bad leader transferee"),
    (X509, "x509: certificate is valid for 10.0.0.1, not 127.0.0.1"),
]


@pytest.mark.parametrize(("said", "told"), ERRORS, ids=["its own", "a certificate"])
def test_an_error_is_told_without_its_log_and_without_the_command_line(said, told):
    class Fails(Offline):
        def run(self, _command: Sequence[str], _patience: float = 0) -> str:
            raise failed(said)

    with pytest.raises(NodewardError) as error:
        Etcd(Fails(), Access(OWN)).move_leader("4d2")
    assert error.value.what == f"etcdctl move-leader 4d2: {told}"
    assert error.value.where == OWN


def test_a_holder_is_told_whatever_it_is_called():
    cluster = Offline()
    cluster.locked_by = 'node2 "x" \\ $(id) \u00e9'
    with (
        pytest.raises(NodewardError, match="another run has the lock: node2"),
        lock.held(cluster, [Etcd(cluster, Access(OWN))], lock.holder('a"b', "x' $(id)"), patience=0),
    ):
        pass
    [typed] = [command[6] for command in cluster.typed if command[3] == "/bin/sh"][:1]
    # as Go reads it, and JSON does
    assert json.loads(json.loads(typed.splitlines()[2].partition('lock" ')[2])) == {"host": 'a"b', "for": "x' $(id)"}


def test_a_copy_has_its_time_and_a_snapshot_too():
    class Waits(Offline):
        def run(self, command: Sequence[str], patience: float = 0) -> str:
            limits[command[-1]] = patience
            return super().run(command, patience)

    limits: dict[str, float] = {}
    etcd = Etcd(Waits(), Access(OWN))
    etcd.call("/v3/maintenance/defragment", {}, patience=400.0)
    assert limits["defrag"] > 400
    path = f"{snapshot.FOLDER}/x.db"
    etcd.save(path, 8 * 1024**3)
    assert limits[path] > 8 * 1024 / 20


def test_nothing_is_left_of_a_snapshot_that_is_not_whole_or_was_killed():
    cluster = Offline()
    cluster.snapshot = DATABASE
    part = f"{snapshot.FOLDER}/etcd-node1-20231114T000000Z.db.part"
    cluster.files[part] = "Secrets"
    with pytest.raises(NodewardError, match="not whole"):
        snapshot.take(cluster, Etcd(cluster, Access(OWN)), "node1", len(DATABASE), "/var/lib/etcd")
    assert not [path for path in cluster.files if path.startswith(snapshot.FOLDER)]
