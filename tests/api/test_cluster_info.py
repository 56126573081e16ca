"""What the rules of an audit see of a cluster, on a real API server; kubectl is the judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi
from ansible_collections.nodeward.calico.plugins.module_utils._kube.cluster_info import observe

from tests.api import ApiServer
from tests.api.build import CHECKOUT
from tests.api.calico import NODES, client, kubeconfig
from tests.unit.kube.calico_objects import crd, custom

READER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "reads-nodes"},
    "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "reads-nodes"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads-nodes"},
    "subjects": [{"kind": "User", "name": "onlooker", "apiGroup": "rbac.authorization.k8s.io"}],
}


def a_cluster(api: ApiServer) -> None:
    api.create(crd("IPAMHandle", "ipamhandles"), crd("ClusterInformation", "clusterinformations"))
    api.establish()
    handles = [custom("IPAMHandle", f"handle-{number}") for number in range(7)]
    api.create(custom("ClusterInformation", "default", calicoVersion="v3.19.0"), *handles)
    for name, schedule in (("rates", "* * * * *"), ("report", "0 6 * * 1-5")):
        api.kubectl("create", "cronjob", name, f"--schedule={schedule}", "--image=x")


def test_what_is_there_is_counted(api: ApiServer, admin: KubernetesApi) -> None:
    try:
        assert observe(admin)["cron_jobs"] is None
        a_cluster(api)
        seen = observe(admin)
        assert seen["calico"] == "v3.19.0"
        assert seen["nodes"] == len(NODES)
        assert seen["pods"] == len(json.loads(api.kubectl("get", "pods", "-A", "-o", "json"))["items"])
        assert seen["calico_objects"] == {"ipamhandles": 7}
        assert seen["cron_jobs"]["pods_a_day"] == 1440.7
        assert [each["name"] for each in seen["cron_jobs"]["busiest"]] == ["default/rates", "default/report"]
    finally:
        api.kubectl("delete", "cronjobs", "--all")


def test_a_user_who_may_read_little_gets_little_and_no_error(api: ApiServer, tmp_path: Path) -> None:
    try:
        a_cluster(api)
        api.create(READER, BINDING)
        assert observe(client(api, tmp_path, "onlooker")) == {
            "calico": None, "nodes": len(NODES), "pods": None, "calico_objects": {}, "cron_jobs": None,
        }  # fmt: skip
    finally:
        api.kubectl("delete", "clusterrolebinding,clusterrole", "reads-nodes")
        api.kubectl("delete", "cronjobs", "--all")


def test_the_module(api: ApiServer, tmp_path: Path) -> None:
    a_cluster(api)
    try:
        command = [
            str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "nodeward.calico.cluster_info",
            "-a", f"kubeconfig={kubeconfig(api, tmp_path)}", "-e", f"ansible_python_interpreter={sys.executable}",
        ]  # fmt: skip
        env = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}  # make asks for YAML
        told = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        assert '"pods_a_day": 1440.7' in told.stdout
    finally:
        api.kubectl("delete", "cronjobs", "--all")
