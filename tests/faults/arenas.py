"""What faults are tried on, and how one knows that nothing came of one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.api import ApiServer
from tests.faults.table import Fault
from tests.fleet.etcd_lab import EtcdLab, Writer
from tests.fleet.fleet import NODES, Fleet, Playbooks, Run
from tests.fleet.killing import TooLateError, different
from tests.fleet.kubeadm import config_map, in_config_maps, join
from tests.lab.cluster import CNI_KUBECONFIG, Cluster
from tests.lab.host import LabError
from tests.unit.kube.test_kubeadm_args import MAP as KUBEADM_MAP
from tests.vm.kubelets import start_kubelets
from tests.vm.vms import CHECKOUT, Vms

SIZES = "find /etc /root /usr/local /usr/lib/sysctl.d /var/lib -type f -printf '%s %p\\n'"
# What runs: what the kubelet has taken, which services there are, and the links.
RUNNING = """
sed 's/, "pid": [0-9]*//' /run/lab/kubelet.json
systemctl is-active kubelet nodeward-bird-watchdog
grep . /sys/class/net/*/mtu
true
"""
SNAPSHOT = (CHECKOUT / "molecule/kernel/snapshot.sh").read_text().replace("exit 0", "")
# What is another on each fresh machine: keys for ssh, what Python compiles, etcd's own data, its snapshots and where
# they are (each run saves one, on the member that comes first then); of certificates and tokens the content.
OTHERWISE = re.compile(
    r"/etc/ssh/ssh_host_|/root/\.ssh/|/__pycache__|/var/lib/etcd/"
    r"|/var/lib/nodeward/etcd[ /]|/etc/tmpfiles\.d/nodeward-etcd\.conf"
    r"|^[0-9a-f]{64}  /etc/(kubernetes/pki/|cni/net\.d/calico-kubeconfig)"
)

# etcd by a file, which is the way of starting it for which a file's time counts.
ETCD_FILE = """\
name: default
data-dir: /var/lib/etcd/default
enable-grpc-gateway: true
heartbeat-interval: 100
election-timeout: 1000
"""
ETCD_BY_FILE = "[Service]\nEnvironmentFile=\nExecStart=\nExecStart=/usr/bin/etcd --config-file=/etc/etcd.yml\n"

ATTEMPTS = 3

# What the nodes look like: lines by node.
State = dict[str, list[str]]


class Arena:
    """Where faults are tried: how it begins, what is run, and what counts afterwards."""

    words: tuple[str, ...] = ()

    def __init__(self, fleet: Playbooks) -> None:
        self.fleet = fleet

    def fresh(self) -> None:
        """Make all as it was before the first run."""
        raise NotImplementedError

    def state(self) -> State:
        """What may not differ from what an undisturbed run leaves."""
        raise NotImplementedError

    def undisturbed(self) -> tuple[State, str]:
        """Run once; what came of it, and what was printed."""
        self.fresh()
        run = self.fleet.play("harden", *self.words)
        assert run.code == 0
        return self.state(), run.output

    def tasks(self, names: list[str]) -> list[int]:
        """Return at which tasks of a run, by their number from 1, the controller is killed: at every one."""
        return list(range(1, 1 + len(names)))

    def end(self) -> None:
        """End what runs beside the nodes."""

    def during(self, act: Callable[[], None]) -> None:
        """Do it; beside it, where an arena has somebody who writes, that goes on."""
        act()

    def bytes_lost(self, _good: State, _now: State) -> int | None:
        """Return how many bytes are lost, of what an undisturbed run left or of what was written; None: not counted."""
        return None


def ends_well(
    arena: Arena,
    fault: Fault,
    moment: str,
    disturb: Callable[[], object],
    good: State,
    also: Callable[[Run], list[str]] = lambda _second: [],
) -> None:
    """Disturb a first run, run again, and count what came of it; ``also`` says what else is wrong with the second.

    A run that was through before it was disturbed, as one may be on a busy machine, is none: then all anew.
    """
    fault.tried += 1
    runs: list[Run] = []

    def both() -> None:
        disturb()
        runs.append(arena.fleet.play("harden", *arena.words))

    for _attempt in range(ATTEMPTS):
        arena.fresh()
        with suppress(TooLateError):
            arena.during(both)
            break
    assert runs, f"{moment}: a run was never disturbed in time, of {ATTEMPTS}"
    now = arena.state()
    found = unlike(good, now) + [f"the next run ended with {run.code}" for run in runs if run.code]
    found += [line for run in runs for line in also(run)]
    print(moment, *found, sep="\n  ")
    fault.outcome(moment, found, arena.bytes_lost(good, now))


def unlike(good: State, now: State) -> list[str]:
    """Return what differs from an undisturbed run."""
    places = sorted({*good, *now})
    return [f"{place}: {line}" for place in places for line in different(good.get(place, []), now.get(place, []))]


def with_next(names: list[str], words: str) -> list[int]:
    """Return the numbers of the tasks that have these words in their names, and of those that follow them."""
    about = [number for number, name in enumerate(names, 1) if words in name]
    return sorted({each for number in about for each in (number, number + 1) if each <= len(names)})


def on_nodes(fleet: Fleet) -> State:
    """Return the files of the lab's nodes, with what runs on them."""
    looks = {node: [*fleet.look(node), *fleet.lab.run(node, RUNNING).stdout.splitlines()] for node in NODES}
    return comparable(looks)


def comparable(looks: State) -> State:
    """Leave out what is another on each fresh machine."""
    return {node: [line for line in look if not OTHERWISE.search(line)] for node, look in looks.items()}


class FilesArena(Arena):
    """Where the files of nodes count: bytes lost are those of files that are not there, or not so."""

    names: tuple[str, ...]

    def on(self, node: str, command: str) -> str:
        """What a command on a node says."""
        raise NotImplementedError

    def undisturbed(self) -> tuple[State, str]:
        found = super().undisturbed()
        self._sizes = {node: self._sizes_on(node) for node in self.names}
        return found

    def _sizes_on(self, node: str) -> dict[str, int]:
        lines = (line.split(" ", 1) for line in self.on(node, SIZES).splitlines())
        return {path: int(size) for size, path in lines}

    def bytes_lost(self, good: State, now: State) -> int:
        gone = {node: set(different(good[node], now[node])) & set(good[node]) for node in self.names}
        return sum(self._sizes[node].get(line.partition("  ")[2], 0) for node in self.names for line in gone[node])


class NodesArena(FilesArena):
    """Nodes with a kubelet: the part of harden.yml that runs on each node by itself."""

    fleet: Fleet
    names = NODES
    words: tuple[str, ...] = ("-e", "harden_allow=kubelet_restart", "-e", "harden_pause=0")

    def on(self, node: str, command: str) -> str:
        return self.fleet.lab.run(node, command).stdout

    def fresh(self) -> None:
        self.fleet.lab.reset()
        for node in NODES:
            self.fleet.lab.run(node, "systemctl start kubelet")

    def state(self) -> State:
        return on_nodes(self.fleet)


class PlansArena(NodesArena):
    """The same part, by plans that an earlier run saved."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._plans = fleet.folder / "plans"
        self._consent = self.words
        self.words = (*self._consent, "-e", f"harden_apply_plan={self._plans}")

    def tasks(self, names: list[str]) -> list[int]:
        """Those that work on the nodes, and what follows each: all others do what they do without plans."""
        return with_next(names, "Observe, plan, and apply")

    def fresh(self) -> None:
        super().fresh()
        assert self.fleet.play("harden", *self._consent, "--check", "-e", f"harden_save_plan={self._plans}").code == 0


class MachinesArena(FilesArena):
    """Virtual machines, each with a clock of its own, and with a kubelet; vm1 has etcd with --config-file."""

    names = ("vm1", "vm2", "vm3")
    variables = "harden_allow=kubelet_restart,uplink_change,etcd_outage harden_pause=0 link_mtu_uplink_mtu=1460"
    words = ("--skip-tags", "process_metrics", "-e", variables)

    def __init__(self, machines: Vms, folder: Path) -> None:
        super().__init__(Playbooks(machines.inventory, folder, limit=900))
        self.machines = machines

    def on(self, node: str, command: str) -> str:
        return self.machines.run(node, command).stdout

    def fresh(self) -> None:
        self.machines.down()
        self.machines.up()
        start_kubelets(self.machines, self.names)
        self.machines.put("vm1", "/etc/etcd.yml", ETCD_FILE, 0o644)
        self.machines.put("vm1", "/etc/systemd/system/etcd.service.d/by-file.conf", ETCD_BY_FILE, 0o644)
        self.machines.run("vm1", "systemctl daemon-reload; systemctl restart etcd")

    def state(self) -> State:
        looks = {node: self.on(node, f"{SNAPSHOT}\n{RUNNING}").splitlines() for node in self.names}
        return comparable(looks)


class EtcdArena(Arena):
    """Three members of etcd under a client that writes all the time: bytes lost are those of its writes."""

    fleet: Fleet
    words: tuple[str, ...] = ("--tags", "etcd_timing", "-e", "harden_pause=0")

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        super().__init__(fleet)
        self.etcd = EtcdLab(fleet.lab, folder)

    def fresh(self) -> None:
        self.fleet.lab.reset()
        self.etcd.start()

    def state(self) -> State:
        values = self.etcd.values()
        # a lock or a note that stayed would hold the next run back
        left = self.etcd.etcdctl("node1", "get --prefix --keys-only nodeward").split()
        return {
            **on_nodes(self.fleet),
            **{f"etcd on {node}": [f"runs with {values[node]}"] for node in NODES},
            "etcd": left,
        }

    def during(self, act: Callable[[], None]) -> None:
        with Writer(self.etcd) as self._writer:
            act()
        assert self._writer.acknowledged, "nothing was written meanwhile"

    def bytes_lost(self, _good: State, _now: State) -> int:
        return 64 * len(self._writer.lost())


class KubeadmArena(EtcdArena):
    """The same members, kubelets, and kubeadm's ConfigMaps, which an upgrade writes both from, in an API server."""

    words = ("--tags", "pid_limits,etcd_timing", "-e", "harden_allow=kubelet_restart,etcd_restart harden_pause=0")

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        super().__init__(fleet, folder)
        self.server = ApiServer(folder, fleet.lab.gateway, nodes=NODES)
        self._running = ExitStack()

    def fresh(self) -> None:
        self.end()
        super().fresh()
        self._running.enter_context(self.server)
        # node3 is the one whose member is a static pod of kubeadm's
        join(self.fleet.lab, self.server, administered=("node1", "node3"))
        self.server.create(config_map("kubeadm-config", ClusterConfiguration=KUBEADM_MAP))

    def tasks(self, names: list[str]) -> list[int]:
        """Those that are about the ConfigMaps, and what follows each: all others are another arena's."""
        words = "kubeadm's ConfigMap"
        assert sum(words in name for name in names) == 2, f"one is of the kubelets, one of etcd: {names}"
        return with_next(names, words)

    def state(self) -> State:
        maps = {name: [str(pair) for pair in data.items()] for name, data in in_config_maps(self.server).items()}
        return {**super().state(), **maps}

    def end(self) -> None:
        self._running.close()


class CalicoArena(Arena):
    """An API server with Calico's manifest, and a node whose token is refused."""

    fleet: Fleet
    words: tuple[str, ...] = (
        "--tags",
        "link_mtu,calico_mtu,calico_probes,cni_token,process_metrics",
        "-e",
        "harden_pause=0",
    )

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.cluster = Cluster(fleet.lab)

    def fresh(self) -> None:
        self.cluster.down()
        self.fleet.lab.reset()
        assert self.cluster.ensure()
        self.cluster.give_token("node2", self.cluster.fresh_token()[:-8] + "AAAAAAAA")

    def state(self) -> State:
        daemon_set = self._get("daemonset", "calico-node")
        return {
            **on_nodes(self.fleet),
            "DaemonSet": json.dumps(daemon_set["spec"], indent=1, sort_keys=True).splitlines(),
            "ConfigMap": [str(pair) for pair in sorted(self._get("configmap", "calico-config")["data"].items())],
            "journal": sorted(self._get("configmap", "nodeward-journal")["data"].values()),
            "tokens": [f"{node}: {self._asked(node)}" for node in NODES],
        }

    def end(self) -> None:
        self.cluster.down()

    def _get(self, *words: str) -> dict[str, dict[str, str]]:
        found = json.loads(self.cluster.kubectl("get", *words, "--namespace=kube-system", "--output=json"))
        assert isinstance(found, dict)
        return found

    def _asked(self, node: str) -> str:
        """What the API server says to the token on a node's disk."""
        path = self.fleet.lab.folder / "nodes" / node / "root" / CNI_KUBECONFIG
        try:
            self.cluster.kubectl("get", "--raw=/api", f"--kubeconfig={path}")
        except LabError as error:
            return "refused" if "Unauthorized" in str(error) else str(error)
        return "accepted"
