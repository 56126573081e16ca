"""kubeadm's ClusterConfiguration: one argument of its etcd, in both forms that there are."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import UnsureError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.kubeadm_args import get, put
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = "apiVersion: kubeadm.k8s.io/{}\ncaCertificateValidityPeriod: 87600h0m0s\ndns: {{}}\netcd:\n  local:\n"
TAIL = "    dataDir: /var/lib/etcd\nimageRepository: registry.k8s.io\nkind: ClusterConfiguration\nscheduler: {}\n"
NONE_MAP, NONE_LIST = HEAD.format("v1beta3") + TAIL, HEAD.format("v1beta4") + TAIL
MAP = HEAD.format("v1beta3") + '    extraArgs:\n      heartbeat-interval: "100"\n      x: "1"\n' + TAIL
LIST = HEAD.format("v1beta4") + (
    '    extraArgs:\n    - name: heartbeat-interval\n      value: "100" # ours\n    - name: x\n      value: "1"\n'
    + TAIL
)
KEY = "heartbeat-interval"


def arguments(text: str) -> dict[str, str]:
    found = yaml.safe_load(text)["etcd"]["local"].get("extraArgs") or {}
    return {each["name"]: each["value"] for each in found} if isinstance(found, list) else found


@pytest.mark.parametrize("text", [MAP, LIST, NONE_MAP, NONE_LIST], ids=["map", "list", "no map", "no list"])
@pytest.mark.parametrize("crlf", [False, True])
@settings(max_examples=10)
@given(key=st.sampled_from([KEY, "election-timeout", "x"]), value=st.integers(1, 10**5).map(str))
def test_one_argument_is_set_and_taken_back(text, crlf, key, value):
    text = text.replace("\n", "\r\n") if crlf else text
    before = get(text, key)
    after = put(text, key, value)
    assert (get(after, key), put(after, key, value)) == (value, after)
    assert arguments(after) == {**arguments(text), key: value}
    assert put(after, key, before) == text
    rest = {k: v for k, v in yaml.safe_load(text).items() if k != "etcd"}
    assert {k: v for k, v in yaml.safe_load(after).items() if k != "etcd"} == rest


def test_the_forms_follow_the_version():
    assert '    extraArgs:\n      a: "1"\n    dataDir' in put(NONE_MAP, "a", "1")
    assert '    extraArgs:\n    - name: a\n      value: "1"\n    dataDir' in put(NONE_LIST, "a", "1")


def test_the_last_of_two_wins():
    twice = LIST.replace("name: x", f"name: {KEY}")
    assert get(twice, KEY) == "1"
    assert get(put(twice, KEY, "5"), KEY) == "5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("etcd:\n  external:\n    endpoints:\n    - https://10.0.0.1:2379\n", "its etcd is external"),
        ("kind: ClusterConfiguration\n", "no etcd.local"),
        ("etcd:\n  local: {}\n", "etcd.local is no mapping"),
        ("etcd: {local: {}}\n", "etcd is no mapping"),
        ("etcd:\n  local:\n    extraArgs: {a: b}\n", "extraArgs is no mapping"),
        ("etcd:\n  local:\n    extraArgs: {}\n", "extraArgs is empty"),
        (LIST.replace('value: "100" # ours', "value:"), "has no value on one line"),
        (
            "etcd:\n  local:\n    dataDir: /x\n    extraEnvs:\n    - name: ETCD_HEARTBEAT_INTERVAL\n      value: '1'\n",
            "extraEnvs has ETCD_HEARTBEAT_INTERVAL",
        ),
    ],
)
def test_what_is_left_to_a_person(text, why):
    with pytest.raises(UnsureError, match=why):
        put(text, KEY, "250")
