"""How the nodes are reached: keys, ssh's settings, and the inventory for Ansible."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path

from tests.lab.host import RUN, run, write


@dataclasses.dataclass(frozen=True)
class Access:
    """The files of one lab; addresses: node name -> address."""

    lab_id: str
    folder: Path
    addresses: dict[str, str]

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def key(self) -> Path:
        return self.folder / "keys/id_ed25519"

    @property
    def _control(self) -> str:
        return f"{RUN / self.lab_id}/%h-%r-%p"

    def ensure(self) -> None:
        """Idempotent: keys stay what they are, so that a node that is reset keeps its identity."""
        (RUN / self.lab_id).mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = [self.key, *(self._host_key(node) for node in self.addresses)]
        self.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for key in keys:
            if not key.with_suffix(".pub").exists():  # written after the private one
                key.unlink(missing_ok=True)
                run(
                    [
                        "ssh-keygen",
                        "-q",
                        "-t",
                        "ed25519",
                        "-N",
                        "",
                        "-C",
                        f"lab-{self.lab_id}",
                        "-f",
                        str(key),
                    ]
                )
        known = [f"{address} {_public(self._host_key(node))}" for node, address in self.addresses.items()]
        write(self.folder / "known_hosts", "".join(known))
        write(self.config, self._config())
        write(self.inventory, self._inventory())

    def _host_key(self, node: str) -> Path:
        return self.folder / f"keys/{node}_ed25519"

    def node_files(self, node: str) -> dict[str, tuple[str, int]]:
        """What makes a node reachable, and others by it: path on its disk -> (text, mode)."""
        hosts = "".join(f"{address} {name}\n" for name, address in self.addresses.items())
        numbered = enumerate(self.addresses.items(), start=1)
        nodes = "".join(f"{name} {number} {address}\n" for number, (name, address) in numbered)
        local = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
        return {
            "etc/hostname": (f"{node}\n", 0o644),
            "etc/hosts": (local + hosts, 0o644),
            "etc/lab/nodes": (nodes, 0o644),
            "etc/ssh/ssh_host_ed25519_key": (self._host_key(node).read_text(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (_public(self._host_key(node)), 0o644),
            "root/.ssh/authorized_keys": (_public(self.key), 0o600),
        }

    def _config(self) -> str:
        """Read with -F instead of the user's own files: those may hold a proxy or key that spoils it."""
        aliases = "".join(f"Host {name}\n  HostName {address}\n" for name, address in self.addresses.items())
        return f"""{aliases}Host *
  User root
  IdentityFile {_quoted(self.key)}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {_quoted(self.folder / "known_hosts")}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
  ConnectTimeout 10
  ServerAliveInterval 15
  ServerAliveCountMax 4
  LogLevel ERROR
"""

    def _inventory(self) -> str:
        """ControlPath stands here too, since Ansible only looks for it among the arguments."""
        arguments = f"-F {_shell(self.config)} -o ControlPath={self._control}"
        first, *_ = self.addresses
        hosts = "".join(f"    {node}:\n      ansible_host: {address}\n" for node, address in self.addresses.items())
        everyone = "".join(f"        {node}:\n" for node in self.addresses)
        return f"""# Written by tests/lab: three groups and their parent as kubespray names them.
all:
  hosts:
{hosts}  vars:
    ansible_user: root
    ansible_ssh_private_key_file: {json.dumps(str(self.key))}
    ansible_ssh_common_args: {json.dumps(arguments)}
    ansible_python_interpreter: /usr/bin/python3
  children:
    kube_control_plane:
      hosts:
        {first}:
    etcd:
      hosts:
        {first}:
    kube_node:
      hosts:
{everyone}    k8s_cluster:
      children:
        kube_control_plane:
        kube_node:
"""


def close_masters(lab_id: str, address: str = "*") -> None:
    """End the ssh masters that Ansible keeps for a while: after a reset they would lead into the void."""
    for path in (RUN / lab_id).glob(f"{address}-*"):
        run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "node"], check=False, timeout=10)
        path.unlink(missing_ok=True)


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text()


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("%", "%%") + '"'


def _shell(path: Path) -> str:
    return "'" + str(path).replace("'", "'\"'\"'") + "'"


def answers(address: str, timeout: float = 1) -> bool:
    """Whether sshd greets at this address within `timeout` seconds."""
    try:
        with socket.create_connection((address, 22), timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
