"""Kubeconfigs as kubeadm and client-go write them."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import kubeconfig
from ansible_collections.nodeward.calico.plugins.module_utils._kube.kubeconfig import Access

from tests.api import kubeconfig as written
from tests.api.pki import Pair

PATH = "/etc/kubernetes/kubelet.conf"
URL = "https://10.0.0.1:6443"
PAIR = Pair(certificate="CERT\n", key="S3CR3T-KEY\n")
FILES = {written.KUBELET_PEM: "CERT\nS3CR3T-KEY\n"}


def read(text: str | None, **files: str) -> Access:
    return kubeconfig.read(PATH, ({PATH: text} | FILES | {f"/etc/kubernetes/{k}": v for k, v in files.items()}).get)


def test_admin_conf():
    access = read(written.with_data(URL, "CA\n", "kubernetes-admin", PAIR))
    assert access == Access(URL, "CA\n", "CERT\n", "S3CR3T-KEY\n")
    assert "S3CR3T" not in repr(access)


@pytest.mark.parametrize("text", [written.of_joined_kubelet(URL, "CA\n"), written.of_first_kubelet(URL, "CA\n", "u")])
def test_kubelet_conf(text):
    both = FILES[written.KUBELET_PEM]
    assert read(text) == Access(URL, "CA\n", both, both)
    assert read(json.dumps(yaml.safe_load(text))) == read(text)


def config(user: dict[str, str], cluster: dict[str, object] | None = None, current: str = "x") -> str:
    data = {
        "clusters": [
            {"name": "other", "cluster": {"server": "no"}},
            {"name": "c", "cluster": cluster or {"server": URL}},
        ],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": current,
        "users": [{"name": "u", "user": user}, {"name": "v", "user": {"token": "no"}}],
    }
    return yaml.safe_dump(data)


def in_json(user: dict[str, str]) -> str:
    return json.dumps(yaml.safe_load(config(user)))


def test_tokens():
    for access in (read(config({"token": "S3CR3T"})), read(config({"tokenFile": "tok"}), tok="S3CR3T\n")):
        assert (access.server, access.token, access.certificate) == (URL, "S3CR3T", None)
        assert "S3CR3T" not in repr(access)


def test_a_server_that_is_not_verified_and_one_by_a_file():
    assert not read(config({"token": "t"}, {"server": URL, "insecure-skip-tls-verify": True})).verify
    assert read(config({"token": "t"}, {"server": URL, "certificate-authority": "ca"}), ca="CA").ca == "CA"


BAD = [
    ("not there", None, "is not there"),
    ("not YAML", "S3CR3T: [\n", "line 1 is nothing that client-go"),
    ("no such context", config({"token": "S3CR3T"}, current="y"), "names no server"),
    ("no server", config({"token": "S3CR3T"}, {"x": "y"}), "names no server"),
    ("a plugin", config({"exec": "S3CR3T"}), "neither a client certificate nor a token"),
    ("not base64", config({"client-certificate-data": "S3CR3T"}), "cannot be decoded"),
    ("no text", config({"client-certificate-data": base64.b64encode(b"\xff").decode()}), "cannot be decoded"),
    ("a certificate that is gone", config({"client-certificate": "S3CR3T"}), "is not there, and"),
    ("a token of two lines", in_json({"token": "S3CR3T\nX: y"}), "a token that no header can hold"),
    ("a token that is no ASCII", in_json({"token": "S3CR3T\u00e9"}), "a token that no header can hold"),
    ("garbled JSON", '{"S3CR3T', "cannot be decoded"),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_used_is_said_without_its_text(text, told):
    with pytest.raises(NodewardError, match=told) as refused:
        read(text)
    assert "S3CR3T" not in refused.value.what
