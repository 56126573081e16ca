"""One API server with three nodes for all tests of Calico's modules: each of them takes its objects out again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import install
from ansible_collections.nodeward.calico.plugins.module_utils._kube.api import KubernetesApi

from tests.api.calico import NODES, clear, client
from tests.api.kubelets import Kubelets, repeated
from tests.api.nodes import add_node
from tests.api.server import ApiServer
from tests.unit.kube.exporter_objects import MONITORING

WAITS = "test_kubelet_restart.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the file begin whose kubelet stays silent for three minutes: another worker does all else beside it."""
    items.sort(key=lambda item: item.path.name != WAITS)


@pytest.fixture(scope="session")
def calico_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("calico"), controllers=True) as api:
        for number, name in enumerate(NODES, 1):
            add_node(api, name, f"192.0.2.{number}")
        for namespace in (install.OPERATOR, MONITORING):
            api.kubectl("create", "namespace", namespace)
        for namespace in (install.MANIFEST, install.OPERATOR):
            api.kubectl("create", "serviceaccount", "calico-node", f"--namespace={namespace}")
        yield api


@pytest.fixture
def kubelets(calico_server: ApiServer) -> Iterator[Kubelets]:
    """No Calico yet, and no journal; pods get ready as soon as there are any."""
    with calico_server.rest() as rest:
        made = Kubelets(rest)
        with repeated(made.step):
            clear(calico_server)
            yield made


@pytest.fixture
def api(calico_server: ApiServer, kubelets: Kubelets) -> ApiServer:  # noqa: ARG001 - they act beside the test
    """The server with its kubelets."""
    return calico_server


@pytest.fixture
def admin(api: ApiServer, tmp_path: Path) -> KubernetesApi:
    return client(api, tmp_path)
