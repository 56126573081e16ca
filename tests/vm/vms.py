"""The machines as their users see them: up, status, down, run."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab.host import LabError, locked, require_tools, run, write
from tests.vm import image, machine, seed

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGES = CHECKOUT / ".lab/vm-image"
BOOT_TIMEOUT = 900  # seconds until all is up; with an emulated processor 120 to 370 were measured
_TOOLS = ("qemu-system-x86_64", "mmdebstrap", "mkfs.ext4", "ssh-keygen")


@dataclasses.dataclass(frozen=True)
class Vm:
    """One machine; ``port`` is this machine's, where its sshd is heard."""

    number: int
    suite: str
    manager: str
    also: tuple[str, ...] = ()  # services besides the manager of its links
    port: int = 0

    @property
    def name(self) -> str:
        return f"vm{self.number}"


DEFAULT = (
    Vm(1, "bookworm", "networking", ("etcd",)),
    Vm(2, "bookworm", "NetworkManager"),
    Vm(3, "trixie", "systemd-networkd"),
    Vm(4, "bookworm", "netplan"),
)


def _say(text: str) -> None:
    print(text, flush=True)


class Vms:
    """The first ``count`` of vm1 to vm4; errors are LabError. What is up is read from this machine, not kept here."""

    def __init__(self, name: str = "default", say: Callable[[str], None] = _say, count: int = len(DEFAULT)) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
            raise LabError(f"name {name!r}: lower-case letters, digits and dashes, at most 31")
        self.folder = CHECKOUT / ".lab" / f"vm-{name}"
        self.id = hashlib.sha256(f"{CHECKOUT}\0vm\0{name}".encode()).hexdigest()[:8]
        self._say = say
        self._vms = DEFAULT[:count]

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    def up(self) -> None:
        """Boot fresh machines, or reuse those that all run and answer."""
        require_tools(*_TOOLS)
        IMAGES.mkdir(parents=True, exist_ok=True)
        images = {suite: image.ensure(IMAGES, suite, self._say) for suite in {vm.suite for vm in self._vms}}
        with self._lock():
            if self._whole():
                self._say(f"vm: reused {len(self._vms)} machines")
                return
            self._clear()
            accelerator = machine.accelerator(f"nw-vm-{self.id}-probe", images[self._vms[0].suite], IMAGES)
            ports = list(_free_ports(len(self._vms)))
            vms = [dataclasses.replace(vm, port=port) for vm, port in zip(self._vms, ports, strict=True)]
            self._access(vms)
            started = time.monotonic()
            for vm in vms:
                self._start(vm, images[vm.suite], accelerator)
            for vm in vms:
                self._wait(vm)
            took = time.monotonic() - started
            self._say(f"vm: created {len(vms)} machines with {accelerator[1].split(',')[0]} in {took:.0f} s")

    def down(self) -> None:
        """End all machines and remove their files, also what a killed run left; the images stay."""
        with self._lock():
            self._clear()

    def status(self) -> list[str]:
        """Return one line per machine: name, release, manager, port, pid, age."""
        lines = []
        for vm in self._vms:
            process = machine.running(self._machine(vm))
            state = f"pid {process.pid}  up {process.age:.0f} s" if process else "down"
            lines.append(f"{vm.name}  {vm.suite:<9} {vm.manager:<17} {state}")
        return lines

    def run(
        self, name: str, command: str, check: bool = True, timeout: float = 300, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on a machine over ssh; with check a failure is a LabError. timeout in seconds.

        ``given`` is its standard input.
        """
        ssh = ["ssh", "-F", str(self.folder / "ssh_config"), name, command]
        try:
            done = subprocess.run(ssh, input=given or "", capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{name}: no end after {timeout:g} s: {command}") from error
        if check and done.returncode != 0:
            raise LabError(f"{name}: {command}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done

    def put(self, name: str, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of a machine, in folders that are made where they are not there."""
        self.run(name, f"install -D -m {mode:o} /dev/stdin {path}", given=text)

    def console(self, name: str) -> str:
        """What a machine has printed on its console, also while it can start nothing."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _machine(self, vm: Vm) -> str:
        return f"nw-vm-{self.id}-{vm.name}"

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return locked(CHECKOUT / ".lab" / f".vm-{self.id}.lock", "the group of machines")

    def _whole(self) -> bool:
        # written after every machine was seen to boot
        return (self.folder / "ssh_config").exists() and all(
            machine.running(self._machine(vm)) and self.run(vm.name, "true", check=False).returncode == 0
            for vm in self._vms
        )

    def _clear(self) -> None:
        machine.end(f"nw-vm-{self.id}-*")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, vm: Vm, its: image.Image, accelerator: tuple[str, ...]) -> None:
        content = seed.files(vm.number, len(self._vms), vm.manager)
        host_key = self._key(vm.name)
        content["etc/ssh/ssh_host_ed25519_key"] = (host_key.read_text(), 0o600)
        content["root/.ssh/authorized_keys"] = (self._key("id").with_suffix(".pub").read_text(), 0o600)
        disk = self.folder / f"{vm.name}.tar"
        disk.write_bytes(seed.tar(content, (vm.manager, *vm.also)))
        disk.chmod(0o600)
        mac = f"02:{self.id[:2]}:{self.id[2:4]}:{self.id[4:6]}:00:{vm.number:02x}"
        links = machine.Links(self._group(), vm.port, mac)
        second = ["-drive", f"file={disk},format=raw,if=virtio,readonly=on"]
        machine.start(self._machine(vm), its, self.folder / f"{vm.name}.log", accelerator, *second, *links.arguments)

    def _group(self) -> str:
        """Return a multicast group and port of our own; nothing of it leaves the loopback device."""
        number = int(self.id, 16)
        return f"239.{number % 251}.{number // 251 % 251}.{number // 63001 % 251}:{20000 + number % 10000}"

    def _wait(self, vm: Vm) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        while not self._booted(vm, deadline - time.monotonic()):
            log = self.folder / f"{vm.name}.log"
            if machine.running(self._machine(vm)) is None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise LabError(f"{vm.name} did not boot within {BOOT_TIMEOUT} s. Last lines of {log}:\n{tail}")
            time.sleep(1)

    def _booted(self, vm: Vm, patience: float) -> bool:
        with contextlib.suppress(LabError):  # no end in time, of which the console tells more
            asked = self.run(vm.name, "systemctl is-system-running --wait", False, patience)
            return asked.stdout.strip() in ("running", "degraded")
        return False

    def _key(self, name: str) -> Path:
        return self.folder / f"keys/{name}"

    def _access(self, vms: list[Vm]) -> None:
        (self.folder / "keys").mkdir(parents=True, mode=0o700)
        for name in ("id", *(vm.name for vm in vms)):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vm", "-f", str(self._key(name))])
        known = "".join(f"[127.0.0.1]:{vm.port} {self._key(vm.name).with_suffix('.pub').read_text()}" for vm in vms)
        write(self.folder / "known_hosts", known)
        aliases = "".join(f"Host {vm.name}\n  HostName 127.0.0.1\n  Port {vm.port}\n" for vm in vms)
        write(
            self.folder / "ssh_config",
            f"""{aliases}Host *
  User root
  IdentityFile "{self._key("id")}"
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile "{self.folder / "known_hosts"}"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 30
  ServerAliveInterval 15
  ServerAliveCountMax 8
  LogLevel ERROR
""",
        )
        variables = {
            "ansible_user": "root",
            "ansible_ssh_common_args": f"-F '{self.folder / 'ssh_config'}'",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_timeout": 60,
            # a busy machine may once not answer in time
            "ansible_ssh_retries": 3,
        }
        hosts: dict[str, dict[str, str]] = {vm.name: {"manager": vm.manager} for vm in vms}
        members: dict[str, dict[str, str]] = {vm.name: {} for vm in vms if "etcd" in vm.also}
        groups = {"kube_node": {"hosts": hosts}, "etcd": {"hosts": members}}
        write(self.inventory, json.dumps({"all": {"vars": variables, "children": groups}}, indent=1) + "\n")


def _free_ports(count: int) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield from [each.getsockname()[1] for each in sockets]
