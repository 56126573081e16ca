"""The lab as its users see it: up, down, reset, stop, start, run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypedDict, TypeVar, cast

from tests.lab import disk, image, network, registry
from tests.lab.access import Access, close_masters
from tests.lab.disk import Disk
from tests.lab.host import RUN, LabError, locked, mounts, require, write
from tests.lab.network import Network
from tests.lab.node import GRACE, Node, halt

CHECKOUT = Path(__file__).resolve().parents[2]
MOST_NODES = 200
_TOOLS = ("ip", "mount", "nsenter", "ssh", "ssh-keygen", "systemd-nspawn")
_T = TypeVar("_T")


class _State(TypedDict):
    """What a lab was built as; when `up` would build something else, the lab is made anew."""

    id: str
    image: str
    build_id: str
    nodes: int
    subnet: str


def _say(text: str) -> None:
    print(text, flush=True)


class Lab:
    """A set of nodes named node1 to nodeN; errors are LabError.

    Every call may come from any process: what is up is read from this machine, not kept in the object.
    """

    def __init__(self, name: str = "default", nodes: int = 3, say: Callable[[str], None] = _say) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name) or name == "image" or name.startswith("vm-"):
            raise LabError(
                f"lab name {name!r}: lower-case letters, digits and dashes, at most 31, not 'image', nothing with 'vm-'"
            )
        if not 1 <= nodes <= MOST_NODES:
            raise LabError(f"{nodes} nodes: a lab has 1 to {MOST_NODES}")
        self.name = name
        self.count = nodes
        self.folder = CHECKOUT / ".lab" / name
        self.id = hashlib.sha256(f"{CHECKOUT}\0{name}".encode()).hexdigest()[:8]
        self._say = say

    @property
    def inventory(self) -> Path:
        """Ansible's inventory, there while the lab is."""
        return self.folder / "inventory.yml"

    def up(self) -> None:
        """Bring all nodes up: what runs is reused, what is broken is repaired, what is outdated made anew."""
        require(*_TOOLS)
        base = image.ensure(CHECKOUT / ".lab/image", self._say)
        with self._lock():
            state = self._claim(base)
            have = self._state()
            if have is not None and have != state:
                changed = ", ".join(sorted(key for key, value in state.items() if have.get(key) != value))
                self._say(f"lab {self.name}: made anew, since this changed: {changed}")
                self._clear()
                state = self._claim(base)
            write(self.folder / "state.json", json.dumps(state, indent=1) + "\n")
            if disk.prepare_folder(self.id, self.folder, base.rootfs):
                self._say(f"{self.folder} cannot carry an overlay: the nodes' disks are in memory")
            nodes = self._nodes(state)
            nodes[0].access.ensure()
            nodes[0].network.make_bridge()
            self._report(_parallel(Node.ensure, nodes))

    def _claim(self, base: image.Image) -> _State:
        subnet = registry.claim(self.id, CHECKOUT, self.name, self.count)
        folder = base.rootfs.parent.name
        return _State(id=self.id, image=folder, build_id=base.build_id, nodes=self.count, subnet=str(subnet))

    def _report(self, done: list[str]) -> None:
        counted = {verb: done.count(verb) for verb in ("reused", "started", "created") if verb in done}
        for verb, count in counted.items():
            self._say(f"lab {self.name}: {verb} {count} nodes")

    def down(self) -> None:
        """Remove everything of this lab but the image, also what a killed run left half-made."""
        require("ip")
        with self._lock():
            self._clear()
            (RUN / f"{self.id}.lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other labs, or somebody waiting for a lock
            RUN.rmdir()

    def _clear(self) -> None:
        """Also where the checkout was moved: its lab then runs under the id of the old path."""
        state = self._state()
        if state is not None and state["id"] != self.id:
            entry = registry.entries().get(state["id"])
            if entry and not Path(entry["checkout"]).exists():
                remove(state["id"])
        remove(self.id)
        inside = [mount.target for mount in mounts() if Path(mount.target).is_relative_to(self.folder)]
        if inside:
            raise LabError(f"not deleted, since these are mounted in it by someone else: {', '.join(inside)}")
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def reset(self, *names: str) -> None:
        """Give these nodes (all, where none is named) a fresh disk and boot them."""
        require(*_TOOLS)

        def anew(node: Node) -> None:
            node.halt(grace=0)  # nothing of this disk is kept, so nothing waits for its shutdown
            node.make_disk()
            node.boot()

        with self._lock():
            _parallel(anew, self._named(names))

    def stop(self, *names: str) -> None:
        """Shut these nodes (all, where none is named) down in order; their disks are kept."""
        with self._lock():
            _parallel(lambda node: node.halt(GRACE), self._named(names))

    def start(self, *names: str) -> None:
        """Boot these nodes (all, where none is named) with the disks they have; one that runs is left alone."""
        with self._lock():
            _parallel(lambda node: None if node.running else node.boot(), self._named(names))

    def run(
        self, name: str, command: str, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on a node over ssh; with check a failure is a LabError."""
        [node] = self._named([name])
        done = node.run(command, timeout)
        if check and done.returncode != 0:
            raise LabError(f"{name}: {command}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done

    def address(self, name: str) -> str:
        """The IPv4 address of a node's eth0."""
        [node] = self._named([name])
        return node.address

    @property
    def gateway(self) -> str:
        """This machine's IPv4 address on the lab's bridge: nodes reach here what listens on it."""
        [first, *_] = self._named([])
        return first.network.gateway

    def port(self, name: str) -> str:
        """The end of a node's link on this machine, in the lab's bridge: what a switch's port would be."""
        [node] = self._named([name])
        return node.network.port(node.number)

    def netns(self, name: str) -> Path:
        """The network namespace of a node, for nsenter; a reset makes it anew and kills what runs in it."""
        [node] = self._named([name])
        return node.network.netns_path(node.number)

    def ssh_command(self, name: str) -> list[str]:
        """The ssh command line that reaches a node, for whoever wants a terminal."""
        [node] = self._named([name])
        return ["ssh", "-F", str(node.access.config), name]

    def status(self) -> list[str]:
        """One line per node: name, address, pid, up or down, age."""
        state = self._state()
        if state is None:
            return [f"lab {self.name}: not built"]
        lines = []
        for node in self._nodes(state):
            process = node.running
            found = f"{process.pid:>8}  up    {process.age:.0f} s" if process else f"{'-':>8}  down  -"
            lines.append(f"{node.name:<8}  {node.address:<15}  {found}")
        return lines

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return locked(RUN / f"{self.id}.lock", f"lab {self.name}")

    def _state(self) -> _State | None:
        """What this folder was last brought up as; None where there is nothing, or nothing that can be read."""
        try:
            return cast(_State, json.loads((self.folder / "state.json").read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def _named(self, names: Sequence[str]) -> list[Node]:
        """The nodes with these names (all, where there are none) of the lab as it was built."""
        state, entry = self._state(), registry.entries().get(self.id)
        if state is None or entry is None or (state["id"], state["subnet"]) != (self.id, entry["subnet"]):
            raise LabError(f"lab {self.name} is not up in {CHECKOUT}: bring it up first (python3 -m tests.lab up)")
        nodes = {node.name: node for node in self._nodes(state)}
        unknown = [name for name in names if name not in nodes]
        if unknown:
            raise LabError(f"lab {self.name} has no {', '.join(unknown)}; it has {', '.join(nodes)}")
        return [nodes[name] for name in names or nodes]

    def _nodes(self, state: _State) -> list[Node]:
        net = Network(self.id, IPv4Network(state["subnet"]))
        numbers = range(1, state["nodes"] + 1)
        access = Access(self.id, self.folder, {f"node{number}": net.address(number) for number in numbers})
        rootfs = CHECKOUT / ".lab/image" / state["image"] / "rootfs"
        nodes = []
        for number in numbers:
            its = Disk(self.id, f"node{number}", self.folder, rootfs, state["build_id"])
            nodes.append(Node(number, self.folder / "nodes" / its.node, its, net, access))
        return nodes


def remove(lab_id: str) -> None:
    """Remove what a lab has on this machine outside of its folder; needs nothing but its id.

    Not in order, and at once: no disk of it is kept.
    """
    halt(f"nw-{lab_id}-*", grace=0)
    close_masters(lab_id)
    network.remove(lab_id)
    disk.remove(lab_id)
    shutil.rmtree(RUN / lab_id, ignore_errors=True)
    registry.release(lab_id)


def _parallel(act: Callable[[Node], _T], nodes: list[Node]) -> list[_T]:
    """Act on all nodes at once; one error that tells of every node that failed, after all have ended."""
    with ThreadPoolExecutor(min(len(nodes), 16)) as pool:
        futures = [pool.submit(act, node) for node in nodes]
    errors = [str(error) for error in (future.exception() for future in futures) if isinstance(error, LabError)]
    if errors:
        raise LabError("\n".join(errors))
    return [future.result() for future in futures]
