"""Words of consent, and the nodes after which no other is disrupted."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.nodeward.calico.plugins.filter.consent import FilterModule, consents, failed_nodes, reached

GIVEN = [
    ("nothing", [], []),
    ("null", None, []),
    ("a list", ["kubelet_restart"], ["kubelet_restart"]),
    ("a text, as -e gives it", "kubelet_restart", ["kubelet_restart"]),
    ("a text with commas", "kubelet_restart, uplink_change,", ["kubelet_restart", "uplink_change"]),
    ("an empty text", "", []),
]


@pytest.mark.parametrize(("given", "words"), [case[1:] for case in GIVEN], ids=[case[0] for case in GIVEN])
def test_words(given, words):
    assert consents(given) == words


WRONG = [
    ("misspelt", ["kubelet_restat"], r"'kubelet_restat' allows nothing. Did you mean kubelet_restart\?"),
    ("nothing like it", "all", "'all' allows nothing. The words are kubelet_restart, "),
    ("a yes", [True], "'True' allows nothing"),
]


@pytest.mark.parametrize(("given", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_allows_nothing_is_an_error(given, told):
    with pytest.raises(AnsibleFilterError, match=told):
        consents(given)


def test_failed_nodes():
    results = {
        "ok": {"node_result": {"changed": True}},
        "failed": {"node_result": {"failed": True}},
        "gone": {"node_result": {"unreachable": True}},
        "not run": {},
    }
    assert failed_nodes(results, results) == ["failed", "gone"]
    assert failed_nodes(["x"], {"x": {"cni_token_result": {"failed": True}}}, result="cni_token_result") == ["x"]
    assert reached([*results, "unknown"], results) == [host for host in results if host not in ("gone", "not run")]


def test_ansible_finds_the_filters():
    assert FilterModule().filters() == {
        "consents": consents,
        "failed_nodes": failed_nodes,
        "reached": reached,
    }


def test_the_words_that_the_role_node_acts_on():
    assert consents("etcd_restart,kubelet_restart", True) == ["kubelet_restart"]


def test_another_result_that_failed():
    results = {"a": {"etcd_member_result": {"failed": True}, "node_result": {}}, "b": {"node_result": {"failed": True}}}
    assert failed_nodes(results, results, "etcd_member_result") == ["a"]
