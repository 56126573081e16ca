"""Node objects, as a kubelet and the node controller would keep them."""

from __future__ import annotations

import json

from tests.api.server import ApiServer


def add_node(api: ApiServer, name: str, address: str, ready: bool = True) -> None:
    """Create the Node object of this name and internal address (of the kubelet's, what our code looks at)."""
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    _replace_status(api, name, {"addresses": addresses})
    set_ready(api, name, ready)


def set_ready(api: ApiServer, name: str, ready: bool) -> None:
    """Set the condition Ready of a node, which stays so: there is no node controller."""
    status = {"type": "Ready", "status": str(ready), "reason": "KubeletReady" if ready else "KubeletNotReady"}
    _replace_status(api, name, {"conditions": [status]})


def _replace_status(api: ApiServer, name: str, change: dict[str, object]) -> None:
    """Change the status subresource (kubectl learned to patch it in 1.24)."""
    node = json.loads(api.kubectl("get", "node", name, "--output=json"))
    node["status"] |= change
    api.kubectl("replace", f"--raw=/api/v1/nodes/{name}/status", "-f", "-", stdin=json.dumps(node))
