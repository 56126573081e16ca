"""etcd, kube-apiserver and kube-controller-manager for as long as a test needs them, and kubectl."""

from __future__ import annotations

import ipaddress
import json
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.api import build, kubeconfig
from tests.api.pki import Authority, Pair, key_pem
from tests.api.rest import Rest
from tests.lab import LabError
from tests.lab.host import write

ADMIN = "kubernetes-admin"
MANAGER = "system:kube-controller-manager"
# Those that act on what our tests put there. None of nodes: they stay Ready, or not, as a test says.
CONTROLLERS = ("serviceaccount", "serviceaccount-token", "root-ca-cert-publisher", "daemonset", "garbagecollector")
ISSUER = "https://kubernetes.default.svc.cluster.local"  # of the service accounts' tokens
_READY_TIMEOUT = 120  # seconds from the start until it answers; 4 were measured on an idle machine
_KUBECTL_TIMEOUT = 60  # seconds
_SERVICES = "10.96.0.0/12"  # kubeadm's; the API server's own service has the first address of it
# Where pods would reach a server on loopback, which it refuses to tell them; one of RFC 5737, without which it
# would need a default route.
_NO_ADDRESS = "192.0.2.1"
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
# A Unix socket named etcd:0 in the working folder: no port that could be taken, no long path. The 0 keeps
# kube-apiserver from first trying to reach it by TCP (cmd/kube-apiserver/app/server.go).
_ETCD = "unix://etcd:0"


class ApiServer:
    """A cluster without nodes: an API server with its etcd, TLS, RBAC and the node authorizer.

    A test gives it a folder, and nodes of a lab reach it on the lab's bridge (`lab.gateway`), also while
    nodes are reset or rebooted:

        with ApiServer(tmp_path, lab.gateway, nodes=("node1", "node2")) as api:
            api.kubectl("create", "configmap", "kubelet-config-1.20", "--namespace=kube-system")
            api.kubectl("apply", "-f", "-", stdin=manifest)
            api.kubectl("get", "node", "node1", user="system:node:node1")
            for path, text in api.kubelet_files("node1").items():
                ...  # write it to the node: /etc/kubernetes/kubelet.conf and the certificate that it names

    With `netns` it runs in a network namespace, as on a control plane: ApiServer(tmp_path,
    lab.address("node1"), netns=lab.netns("node1")). It ends with that node's network: start it after a reset.

    Users are known by client certificate, and by the token that `token` gives: ADMIN is in system:masters,
    "system:node:NAME" is node NAME, any other has no rights but what RBAC objects give it. With `controllers` there is
    kube-controller-manager too, with CONTROLLERS; what a scheduler and kubelets would do then: tests/api/kubelets.py.
    Without, Pods need a ServiceAccount that the test makes. The ClusterRoles view, edit and admin are empty.
    stop and start lose nothing; what was stored goes with the `with` block. Errors are LabError. Call it from a
    thread that lasts: the servers are killed when the thread that started them ends, however it ends.
    """

    def __init__(
        self,
        folder: Path,
        address: str = "127.0.0.1",
        *,
        netns: Path | None = None,
        nodes: Sequence[str] = (),
        flags: Sequence[str] = (),
        controllers: bool = False,
    ) -> None:
        self._programs = build.ensure()
        self._folder = folder / "api"
        self._address = address
        self._netns = netns
        self._flags = tuple(flags)
        self._controllers = controllers
        self._port = 6443 if netns else _free_port(address)
        self._authority = Authority()
        self._pairs: dict[str, Pair] = {}
        self._tokens = {user: secrets.token_hex(16) for user in (ADMIN, *map(_node_user, nodes))}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"https://{self._address}:{self._port}"

    @property
    def ca(self) -> str:
        """The certificate (PEM) that clients verify the server's by."""
        return self._authority.pem

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of what runs, by the program's name."""
        return {name: process.pid for name, process in self._running.items()}

    @property
    def accounts_key(self) -> str:
        """The key (PEM) that signs the service accounts' tokens."""
        return (self._folder / "accounts.key").read_text()

    def token(self, user: str) -> str:
        """The bearer token of ADMIN, or of a node that was named at the start."""
        return self._tokens[user]

    def rest(self) -> Rest:
        """ADMIN's connection, for one thread."""
        return Rest(self.url, self.ca, self.token(ADMIN))

    def kubeconfig(self, user: str = ADMIN) -> str:
        """A kubeconfig like kubeadm's admin.conf, with the user's certificate and key in it."""
        return kubeconfig.with_data(self.url, self.ca, user, self._pair(user))

    def kubelet_files(self, node: str, joined: bool = True) -> dict[str, str]:
        """What kubeadm leaves on a node, text by path: the kubelet's kubeconfig and the certificate it names.

        joined: by `kubeadm join`; else it is the node where `kubeadm init` ran.
        """
        user = _node_user(node)
        pair = self._pair(user)
        text = (
            kubeconfig.of_joined_kubelet(self.url, self.ca)
            if joined
            else kubeconfig.of_first_kubelet(self.url, self.ca, user)
        )
        return {
            "/etc/kubernetes/kubelet.conf": text,
            "/etc/kubernetes/pki/ca.crt": self.ca,
            kubeconfig.KUBELET_PEM: pair.certificate + pair.key,
        }

    def kubectl(self, *words: str, user: str = ADMIN, stdin: str = "", check: bool = True) -> str:
        """Run kubectl as a user; its output. With check a failure is a LabError with what it said."""
        config = self._folder / "users" / f"{user}.conf"
        if not config.exists():
            write(config, self.kubeconfig(user), 0o600)
        command = [str(self._programs / "kubectl"), f"--kubeconfig={config}", *words]
        try:
            done = subprocess.run(
                command, input=stdin, env={"HOME": str(self._folder)}, capture_output=True, text=True,
                timeout=_KUBECTL_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise LabError(f"kubectl {' '.join(words)}: no end after {_KUBECTL_TIMEOUT} s") from error
        if check and done.returncode != 0:
            raise LabError(f"kubectl {' '.join(words)} as {user}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def create(self, *items: Mapping[str, Any]) -> None:
        """Create objects as kubectl create does: nothing of them is remembered for a later apply."""
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        self.kubectl("create", "-f", "-", stdin=json.dumps(listed))

    def establish(self) -> None:
        """Wait until every kind that was defined is served.

        kubectl gives up at once on a definition that has no conditions yet (kubernetes/kubernetes#66439).
        """
        deadline = time.monotonic() + 60
        while True:
            try:
                self.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
                return
            except LabError as error:
                if "accessor error" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder / "etcd")

    def start(self) -> None:
        """Start all and wait until the API is ready and has what every cluster has."""
        self._write_files()
        try:
            self._spawn("etcd", _etcd_flags())
            self._spawn("kube-apiserver", [*self._server_flags(), *self._flags])
            self._wait("kube-apiserver", "--raw=/readyz")
            self._wait("kube-apiserver", "namespaces", "default", "kube-system")
            if self._controllers:
                self._spawn("kube-controller-manager", _controller_flags())
                self._wait("kube-controller-manager", "serviceaccount", "default", "--namespace=kube-system")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill all, as a power cut would: etcd has synced what it acknowledged."""
        # whoever asks before who is asked: an API server without its etcd answers 500
        for process in reversed(list(self._running.values())):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._running.clear()
        (self._folder / "etcd:0").unlink(missing_ok=True)

    def _write_files(self) -> None:
        if (self._folder / "tokens.csv").exists():
            return
        service = _SERVICES.replace(".0/12", ".1")
        server = self._authority.server(_NAMES, sorted({self._address, "127.0.0.1", service}))
        rows = [f'{token},{user},{user},"{",".join(_groups(user))}"' for user, token in self._tokens.items()]
        write(self._folder / "ca.crt", self.ca)
        write(self._folder / "server.crt", server.certificate)
        write(self._folder / "server.key", server.key, 0o600)
        write(self._folder / "accounts.key", key_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
        if self._controllers:
            write(self._folder / "manager.conf", self.kubeconfig(MANAGER), 0o600)
        write(self._folder / "tokens.csv", "\n".join([*rows, ""]), 0o600)

    def _server_flags(self) -> list[str]:
        """kubeadm's, as far as one server without nodes needs them; paths are of the working folder."""
        advertised = _NO_ADDRESS if ipaddress.ip_address(self._address).is_loopback else self._address
        return [
            f"--etcd-servers={_ETCD}", f"--bind-address={self._address}", f"--secure-port={self._port}",
            f"--advertise-address={advertised}",
            "--tls-cert-file=server.crt", "--tls-private-key-file=server.key",
            "--client-ca-file=ca.crt", "--token-auth-file=tokens.csv",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
            f"--service-account-issuer={ISSUER}",
            "--service-account-key-file=accounts.key", "--service-account-signing-key-file=accounts.key",
            f"--service-cluster-ip-range={_SERVICES}",
        ]  # fmt: skip

    def _spawn(self, program: str, flags: Sequence[str]) -> None:
        enter = [] if self._netns is None else ["nsenter", f"--net={self._netns}"]
        command = [*enter, "setpriv", "--pdeathsig", "KILL", str(self._programs / program), *flags]
        with (self._folder / f"{program}.log").open("ab") as log:
            self._running[program] = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self, wanted: str, *words: str) -> None:
        """Wait until kubectl gets what this program makes."""
        deadline = time.monotonic() + _READY_TIMEOUT
        while True:
            try:
                self.kubectl("get", *words, "--request-timeout=5s")
                return
            except LabError as error:
                for program, process in self._running.items():
                    if process.poll() is not None:
                        raise LabError(f"{program} ended ({process.returncode}).{self._tail(program)}") from error
                if time.monotonic() > deadline:
                    message = f"{wanted} is not ready after {_READY_TIMEOUT} s: {error}"
                    raise LabError(message + self._tail(wanted)) from error
            time.sleep(0.1)

    def _tail(self, program: str) -> str:
        log = self._folder / f"{program}.log"
        return f" Last lines of {log}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])

    def _pair(self, user: str) -> Pair:
        if user not in self._pairs:
            self._pairs[user] = self._authority.client(user, _groups(user))
        return self._pairs[user]


def _node_user(node: str) -> str:
    return f"system:node:{node}"


def _groups(user: str) -> tuple[str, ...]:
    if user == ADMIN:
        return ("system:masters",)
    return ("system:nodes",) if user.startswith(_node_user("")) else ()


def _free_port(address: str) -> int:
    """A port of this machine that is free now, and that nobody gets by chance for a while."""
    with socket.create_server((address, 0)) as listener:
        return int(listener.getsockname()[1])


def _etcd_flags() -> list[str]:
    peer = "http://127.0.0.1:0"
    return [
        "--data-dir=etcd", f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        "--logger=zap",
    ]  # fmt: skip


def _controller_flags() -> list[str]:
    """kubeadm's, as far as there is one of it; paths are of the working folder."""
    return [
        "--kubeconfig=manager.conf", "--use-service-account-credentials", f"--controllers={','.join(CONTROLLERS)}",
        "--service-account-private-key-file=accounts.key", "--root-ca-file=ca.crt",
        "--leader-elect=false", "--port=0", "--secure-port=0",
    ]  # fmt: skip
