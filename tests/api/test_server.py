"""The API server starts, knows its users, and goes without a trace."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.api import ADMIN, ApiServer
from tests.api.kubeconfig import KUBELET_PEM
from tests.api.nodes import add_node, set_ready
from tests.lab import Lab, LabError, process

NODES = ("node1", "node2")
NODE1 = "system:node:node1"
READY = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}"


def status(url: str, ca: str, token: str) -> int:
    """What a client with a token that verifies the server by `ca` is answered."""
    address, _, path = url.removeprefix("https://").partition("/")
    connection = http.client.HTTPSConnection(address, context=ssl.create_default_context(cadata=ca), timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", f"/{path}", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def resident(pid: int) -> int:
    """The memory of a process in MiB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


def listeners() -> set[str]:
    """The local addresses on which this machine listens."""
    done = subprocess.run(["ss", "-Htln"], capture_output=True, text=True, check=True)
    return {line.split()[3] for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api"), nodes=NODES) as api:
        for number, name in enumerate(NODES, 1):
            add_node(api, name, f"192.0.2.{number}")
        api.kubectl("create", "secret", "generic", "other", "--from-literal=key=value")
        yield api


def test_start_and_stop_leave_nothing(tmp_path, capsys):
    api = ApiServer(tmp_path)
    begin = time.monotonic()
    with api:
        started = time.monotonic() - begin
        pids = api.pids
        memory = {name: resident(pid) for name, pid in pids.items()}
        address = api.url.removeprefix("https://")
        assert address in listeners()
        begin = time.monotonic()
    with capsys.disabled():
        print(f"\nstart {started:.1f} s, stop {time.monotonic() - begin:.2f} s, memory in MiB: {memory}")
    assert sorted(pids) == ["etcd", "kube-apiserver"]
    assert [pid for pid in pids.values() if process.at(pid)] == []
    assert address not in listeners()
    assert not (tmp_path / "api/etcd").exists()


def test_stored_objects_outlive_a_stop(tmp_path):
    with ApiServer(tmp_path) as api:
        api.kubectl("create", "configmap", "kept", "--from-literal=key=value")
        api.stop()
        with pytest.raises(LabError, match="refused"):
            api.kubectl("get", "configmap", "kept")
        api.start()
        assert api.kubectl("get", "configmap", "kept", "--output=jsonpath={.data.key}") == "value"


def test_killed_test_leaves_no_process(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from tests.api import ApiServer\n"
        f"with ApiServer(Path({str(tmp_path)!r})) as api:\n"
        "    print(*api.pids.values(), flush=True); time.sleep(600)\n"
    )
    test = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert test.stdout
    with test.stdout:
        pids = [int(word) for word in test.stdout.readline().split()]
        started = [one for pid in pids if (one := process.at(pid))]
        test.send_signal(signal.SIGKILL)
        test.wait()
    deadline = time.monotonic() + 10
    while any(one.alive for one in started) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(started) == 2
    assert not any(one.alive for one in started)


def test_bad_flag_is_named_and_leaves_no_process(tmp_path):
    api = ApiServer(tmp_path, flags=("--no-such-flag",))
    with pytest.raises(LabError, match="unknown flag: --no-such-flag"):
        api.start()
    assert api.pids == {}


def test_version_is_of_the_source(api):
    server = json.loads(api.kubectl("version", "--output=json"))["serverVersion"]
    raw = json.loads(api.kubectl("get", "--raw=/version"))
    assert raw == server
    assert (server["major"], server["gitVersion"][:3]) == ("1", "v1.")


def test_node_reads_its_own_node(api):
    assert api.kubectl("get", "node", "node1", "--output=name", user=NODE1) == "node/node1\n"
    assert api.kubectl("auth", "can-i", "get", "nodes", user=NODE1) == "yes\n"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        pytest.param(("label", "node", "node2", "a=b"), "not allowed to modify node", id="another node"),
        pytest.param(("get", "secret", "other"), "no relationship found", id="a secret no pod of it uses"),
        pytest.param(("get", "secrets", "--all-namespaces"), "can only read namespaced", id="all secrets"),
        pytest.param(("create", "configmap", "x"), "cannot create resource", id="a ConfigMap"),
    ],
)
def test_node_is_refused(api, words, refusal):
    with pytest.raises(LabError, match=refusal):
        api.kubectl(*words, user=NODE1)


def test_node_writes_the_status_of_its_own_node_only(api):
    for name in NODES:
        status = api.kubectl("get", "node", name, "--output=json")
        replace = ("replace", f"--raw=/api/v1/nodes/{name}/status", "-f", "-")
        if name == "node1":
            assert api.kubectl(*replace, user=NODE1, stdin=status)
        else:
            with pytest.raises(LabError, match="not allowed to modify node"):
                api.kubectl(*replace, user=NODE1, stdin=status)


def test_user_without_groups_gets_what_rbac_gives(api):
    with pytest.raises(LabError, match='User "jane" cannot list resource "configmaps"'):
        api.kubectl("get", "configmaps", user="jane")
    api.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps")
    api.kubectl("create", "rolebinding", "jane", "--role=reader", "--user=jane")
    deadline = time.monotonic() + 10  # the authorizer hears of it a moment later
    while api.kubectl("auth", "can-i", "list", "configmaps", user="jane", check=False) != "yes\n":
        assert time.monotonic() < deadline
    api.kubectl("get", "configmaps", user="jane")


def test_ready_is_what_was_set(api):
    for ready in (False, True):
        set_ready(api, "node2", ready)
        assert api.kubectl("get", "node", "node2", READY) == str(ready)


def test_token_and_authority_serve_other_clients(api, tmp_path):
    url = f"{api.url}/api/v1/nodes/node1"
    answers = [status(url, api.ca, token) for token in (api.token(ADMIN), api.token(NODE1), "wrong")]
    assert answers == [200, 200, 401]
    with pytest.raises(ssl.SSLCertVerificationError):
        status(url, ApiServer(tmp_path).ca, api.token(ADMIN))


@pytest.mark.parametrize("joined", [True, False])
def test_kubelet_conf_works_with_the_files_it_names(api, tmp_path, joined):
    files = api.kubelet_files("node1", joined)
    pem = tmp_path / "current.pem"
    pem.write_text(files[KUBELET_PEM])
    config = yaml.safe_load(files["/etc/kubernetes/kubelet.conf"])
    [user] = config["users"]
    assert user["user"] == {"client-certificate": KUBELET_PEM, "client-key": KUBELET_PEM}
    moved = tmp_path / "kubelet.conf"
    moved.write_text(files["/etc/kubernetes/kubelet.conf"].replace(KUBELET_PEM, str(pem)))
    with pytest.raises(LabError, match='User "system:node:node1" cannot list resource "configmaps"'):
        api.kubectl("get", "configmaps", f"--kubeconfig={moved}", "--namespace=kube-public")


@pytest.mark.parametrize("where", ["on the lab's bridge", "in a node's network"])
def test_lab_nodes_reach_it(lab, tmp_path, where):
    netns = lab.netns("node1") if where == "in a node's network" else None
    with ApiServer(tmp_path, lab.address("node1") if netns else lab.gateway, netns=netns, nodes=NODES) as api:
        add_node(api, "node2", lab.address("node2"))
        [apiserver] = [pid for name, pid in api.pids.items() if name == "kube-apiserver"]
        own = os.stat("/proc/self/ns/net").st_ino
        assert (os.stat(f"/proc/{apiserver}/ns/net").st_ino == own) == (netns is None)
        for path, text in api.kubelet_files("node2").items():
            lab.run("node2", f"mkdir -p $(dirname {path}) && cat >{path} <<'EOF'\n{text}EOF")
        probe = f"{PROBE}print(status('{api.url}', 'node2'))"
        assert lab.run("node2", f'python3 -c "{probe}"').stdout == "200\n"


# The node has no curl; Python's own client with the kubelet's certificate is what our modules have there, too.
PROBE = f"""
import http.client, ssl
def status(url, node):
    context = ssl.create_default_context(cafile='/etc/kubernetes/pki/ca.crt')
    context.load_cert_chain('{KUBELET_PEM}')
    connection = http.client.HTTPSConnection(url[8:], context=context, timeout=10)
    connection.request('GET', '/api/v1/nodes/' + node)
    return connection.getresponse().status
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab(name="apiserver", nodes=2)
    lab.down()
    lab.up()
    yield lab
    lab.down()
