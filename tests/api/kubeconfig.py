"""Kubeconfig files as kubeadm, the kubelet and calico-node write them."""

from __future__ import annotations

import base64

import yaml

from tests.api.pki import Pair

# The kubelet renews its certificate under this name; certificate and key are both in it.
KUBELET_PEM = "/var/lib/kubelet/pki/kubelet-client-current.pem"


def with_data(url: str, ca: str, user: str, pair: Pair) -> str:
    """As kubeadm writes admin.conf: certificate and key are in the text."""
    client = {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}
    return _text(url, ca, cluster="kubernetes", context=f"{user}@kubernetes", user=user, client=client)


def of_first_kubelet(url: str, ca: str, user: str) -> str:
    """As kubeadm leaves kubelet.conf on the node where it made the cluster (`kubeadm init`)."""
    return _text(url, ca, cluster="kubernetes", context=f"{user}@kubernetes", user=user, client=_KUBELET_FILES)


def of_joined_kubelet(url: str, ca: str) -> str:
    """As the kubelet writes kubelet.conf on a node that joined (pkg/kubelet/certificate/bootstrap)."""
    return _text(
        url, ca, cluster="default-cluster", context="default-context", user="default-auth",
        namespace="default", client=_KUBELET_FILES,
    )  # fmt: skip


def of_cni(url: str, token: str) -> str:
    """As calico-node writes it (node/pkg/cni/token_watch.go writeKubeconfig)."""
    return f"""\
# Kubeconfig file for Calico CNI plugin.
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: {url}
    insecure-skip-tls-verify: true
users:
- name: calico
  user:
    token: {token}
contexts:
- name: calico-context
  context:
    cluster: local
    user: calico
current-context: calico-context
"""


_KUBELET_FILES = {"client-certificate": KUBELET_PEM, "client-key": KUBELET_PEM}


def _text(
    url: str, ca: str, *, cluster: str, context: str, user: str, client: dict[str, str], namespace: str | None = None
) -> str:
    """PyYAML sorts and indents as Kubernetes does."""
    inside = {"cluster": cluster, "user": user} | ({"namespace": namespace} if namespace else {})
    server = {"certificate-authority-data": _base64(ca), "server": url}
    config = {
        "apiVersion": "v1",
        "clusters": [{"cluster": server, "name": cluster}],
        "contexts": [{"context": inside, "name": context}],
        "current-context": context,
        "kind": "Config",
        "preferences": {},
        "users": [{"name": user, "user": client}],
    }
    return str(yaml.safe_dump(config, width=100_000))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
