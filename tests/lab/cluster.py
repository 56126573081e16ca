"""The lab's Kubernetes API server, with its nodes and the objects of Calico's manifest as incidents A2 and C met them.

One process holds it (this module, run by Cluster.ensure): it starts the servers of tests/api, which end with it, and
plays the kubelets. Its argument --machine has the lab's id, as the nodes' have: what ends those ends it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from tests.api import ApiServer, build
from tests.api.kubeconfig import of_cni
from tests.api.kubelets import PASSING, Kubelets
from tests.api.nodes import add_node
from tests.api.rest import Rest, RestError
from tests.lab import process
from tests.lab.host import LabError, locked, write
from tests.lab.lab import CHECKOUT, Lab
from tests.unit.kube.calico_objects import config, crd, custom, daemon_set

CNI_KUBECONFIG = "etc/cni/net.d/calico-kubeconfig"
_DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
_ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/calico-node"
_TOKEN_LIFE = 90 * 86400  # seconds; calico-node would renew it, and nobody does here
_KINDS = {
    "IPPool": "ippools", "FelixConfiguration": "felixconfigurations", "ClusterInformation": "clusterinformations",
}  # fmt: skip
_EVERY = 0.2  # seconds between two looks of the kubelets
_START_TIMEOUT = 180  # seconds; 12 were measured on an idle machine


class Cluster:
    """The API server of a lab that is up; errors are LabError."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = lab.folder / "cluster"
        self.kubeconfig = self.folder / "admin.conf"
        self._machine = f"--machine=nw-{lab.id}-api"
        self._variables = lab.folder / "group_vars/all.yml"

    def ensure(self) -> bool:
        """Have it run: reuse one that answers, else make it anew, without what was in it. True where made."""
        with locked(self.lab.folder / ".cluster.lock", f"the API server of lab {self.lab.name}"):
            if self._answers():
                return False
            self.down()
            self._start()
            write(self._variables, json.dumps({"harden_api_kubeconfig": str(self.kubeconfig)}) + "\n")
            return True

    def down(self) -> None:
        """End it, and have the inventory name none."""
        self._variables.unlink(missing_ok=True)
        process.end(lambda: process.with_argument(self._machine), grace=0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """Run kubectl as the administrator and return its output."""
        command = [str(build.ensure() / "kubectl"), f"--kubeconfig={self.kubeconfig}", "--request-timeout=20s", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, check=False)
        if done.returncode != 0:
            raise LabError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def fresh_token(self) -> str:
        """Return a new token of calico-node's service account (kubectl learned to ask for one in 1.24)."""
        asked = self.kubectl("create", f"--raw={_ACCOUNT}/token", "-f", "-", stdin=json.dumps(_token_request()))
        return str(json.loads(asked)["status"]["token"])

    def give_token(self, node: str, token: str) -> None:
        """Have the CNI's kubeconfig on a node, as calico-node writes it."""
        server = self.kubectl("config", "view", "--output=jsonpath={.clusters[0].cluster.server}")
        give_token(self.lab, node, server, token)

    def _answers(self) -> bool:
        if not process.with_argument(self._machine) or not self.kubeconfig.exists():
            return False
        try:
            return self.kubectl("get", "--raw=/readyz") == "ok"
        except LabError:
            return False

    def _start(self) -> None:
        self.folder.mkdir(parents=True)
        log = self.folder / "cluster.log"
        command = [sys.executable, "-m", "tests.lab.cluster", self._machine, self.lab.name, str(self.lab.count)]
        with log.open("w") as output:  # as nobody's child: it outlives us and our session
            subprocess.run(
                ["sh", "-c", 'setsid "$@" &', "sh", *command], cwd=CHECKOUT, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, timeout=30, check=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_TIMEOUT
        while not self.kubeconfig.exists():
            if not process.with_argument(self._machine) or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                self.down()
                raise LabError(f"the API server of lab {self.lab.name} did not start:\n{tail}")
            time.sleep(0.1)


def give_token(lab: Lab, node: str, url: str, token: str) -> None:
    """Write it straight to the node's disk; one that is stopped, or just being reset, has none to write to."""
    root = lab.folder / "nodes" / node / "root"
    if (root / "etc").is_dir():
        write(root / CNI_KUBECONFIG, of_cni(url, token), 0o600)
        write(root / "var/lib/calico/nodename", f"{node}\n")


def _token_request() -> dict[str, Any]:
    spec = {"expirationSeconds": _TOKEN_LIFE}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def _plant(api: ApiServer, lab: Lab) -> None:
    """Have the nodes and Calico's manifest: probes of v3.19 and an MTU as large as the uplink's, with IPIP."""
    for number in range(1, lab.count + 1):
        add_node(api, f"node{number}", lab.address(f"node{number}"))
    api.kubectl("create", "serviceaccount", "calico-node", "--namespace=kube-system")
    resources = ",".join(f"{plural}.crd.projectcalico.org" for plural in _KINDS.values())
    api.kubectl("create", "clusterrole", "calico-node", "--verb=get,list,watch", f"--resource={resources}")
    bound = ("--clusterrole=calico-node", "--serviceaccount=kube-system:calico-node")
    api.kubectl("create", "clusterrolebinding", "calico-node", *bound)
    pool = custom("IPPool", "default-ipv4-ippool", cidr="10.244.0.0/16", ipipMode="Always", vxlanMode="Never")
    api.create(pool, custom("FelixConfiguration", "default"), custom("ClusterInformation", "default"))
    api.create(config("1500"), daemon_set())


def _define(api: ApiServer) -> None:
    api.create(*(crd(kind, plural) for kind, plural in _KINDS.items()))
    api.establish()


def _hold(lab: Lab) -> None:
    """Start all, say so by writing the kubeconfig, and play the kubelets until killed."""
    cluster = Cluster(lab)
    with ApiServer(cluster.folder, lab.gateway, controllers=True) as api, api.rest() as rest:

        def start(node: str, _pod: Mapping[str, Any]) -> None:
            give_token(lab, node, api.url, str(rest("POST", f"{_ACCOUNT}/token", _token_request())["status"]["token"]))

        _define(api)
        _plant(api, lab)
        kubelets = Kubelets(rest, start)
        while True:
            try:
                kubelets.step()
                if not cluster.kubeconfig.exists() and _ready(rest) == lab.count:
                    write(cluster.kubeconfig, api.kubeconfig(), 0o600)
            except RestError as error:
                if error.status not in PASSING:
                    raise
            time.sleep(_EVERY)


def _ready(rest: Rest) -> int:
    return int(rest("GET", _DAEMON_SET).get("status", {}).get("numberReady", 0))


if __name__ == "__main__":
    _hold(Lab(sys.argv[2], int(sys.argv[3])))
