"""kubeadm's copy of the kubelet's configuration, on an API server in memory; tests/api has a real one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._kube import kubelet_config_map
from ansible_collections.nodeward.calico.plugins.module_utils._kube.cluster_journal import COLLECTION, NAME

from tests.api.kubeconfig import of_cni
from tests.unit.fake_host import FakeHost
from tests.unit.kube.fake_api import FakeApi

ADMIN_CONF = "/etc/kubernetes/admin.conf"
MAP = f"{COLLECTION}/kubelet-config"
TEXT = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
KEY = "systemReserved.pid"


class ControlPlane(FakeHost):
    """A node whose requests an API server in memory answers; ``dies`` before it writes kubeadm's ConfigMap."""

    def __init__(self) -> None:
        super().__init__({ADMIN_CONF: of_cni("https://192.0.2.1:6443", "t")})
        item = {"metadata": {"name": "kubelet-config", "namespace": "kube-system"}, "data": {"kubelet": TEXT}}
        self.api = FakeApi({MAP: item})
        self.dies = False

    def send_http(self, request: Request) -> Answer:
        path, item = urlsplit(request.url).path, json.loads(request.body or "{}")
        if request.method == "GET":
            found = self.api.get(path)
            return Answer(200 if found else 404, json.dumps(found or {}))
        if request.method == "POST":
            return Answer(201, json.dumps(self.api.create(path, item)))
        if request.method == "DELETE":
            self.api.delete(path, item["preconditions"]["resourceVersion"])
            return Answer(200, "{}")
        if self.dies and path == MAP:
            raise KeyboardInterrupt
        return Answer(200, json.dumps(self.api.replace(path, item)))

    @property
    def text(self) -> str:
        return str((self.api.get(MAP) or {})["data"]["kubelet"])

    def ask(self, number: int | None = None) -> dict[str, Any]:
        """Harden with a floor, without one restore."""
        return kubelet_config_map.run(self, ADMIN_CONF, {KEY: number}, restore=number is None, check_mode=False)


def test_there_and_back():
    host = ControlPlane()
    assert host.ask(1000)["changed"]
    assert 'pid: "1000"' in host.text
    assert host.ask()["changed"]
    assert (host.text, host.api.get(f"{COLLECTION}/{NAME}")) == (TEXT, None)


def test_a_run_that_is_killed_between_the_journal_and_its_write_keeps_the_way_back():
    """What is there then is what the run before has written: ours, and not somebody else's."""
    host = ControlPlane()
    host.ask(1000)
    host.dies = True
    with pytest.raises(KeyboardInterrupt):
        host.ask(2000)
    host.dies = False
    done = host.ask()
    [change] = done["changes"]
    assert (change["before"], change["after"], done["findings"]) == ('"1000"', None, [])
    assert (host.text, host.api.get(f"{COLLECTION}/{NAME}")) == (TEXT, None)


def test_what_somebody_else_has_set_since_stays_and_is_told():
    host = ControlPlane()
    host.ask(1000)
    present = host.api.get(MAP) or {}
    host.api.store(MAP, {**present, "data": {"kubelet": host.text.replace("1000", "1500")}})
    done = host.ask()
    assert (done["changed"], [each["id"] for each in done["findings"]]) == (False, ["pid_limits.changed_since"])
    assert 'pid: "1500"' in host.text
