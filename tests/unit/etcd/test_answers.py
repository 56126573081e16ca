"""What answers in the place of etcd, or what etcd does not say, is an error of ours and no traceback."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.access import Access, parts
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.api import Etcd

from tests.unit.etcd.fake_cluster import OWN
from tests.unit.fake_host import FakeHost

pytestmark = pytest.mark.usefixtures("both_ways")

GARBAGE = [
    '{"header": {}, "members": "x"}',
    '{"header": [1], "members": []}',
    '{"header": {}, "members": [{"ID": "1", "clientURLs": "http://x"}]}',
    '{"header": {"member_id": "1"}, "raftTerm": "many"}',
    '{"errors": {"a": 1}, "members": 1}',
    '{"dbSize": {}, "members": {"a": 1}, "raftTerm": [1]}',
    "[]",
    "null",
]


@pytest.mark.parametrize("body", GARBAGE)
def test_what_etcd_does_not_say_is_an_error_of_ours(body):
    host = FakeHost()
    host.answers = {
        f"POST {OWN}/v3/{path}": Answer(200, body) for path in ("cluster/member/list", "maintenance/status")
    }
    etcd = Etcd(host, Access(OWN))
    told = 0
    for ask in (etcd.members, etcd.status):
        try:
            ask()
        except NodewardError:
            told += 1
    assert told


def test_ids_and_addresses_that_are_none():
    host = FakeHost()
    body = {
        "header": {"member_id": "²", "cluster_id": "9" * 5000},
        "members": [{"ID": None, "clientURLs": [None, "x"]}],
    }
    host.answers = {f"POST {OWN}/v3/cluster/member/list": Answer(200, json.dumps(body))}
    listing = Etcd(host, Access(OWN)).members()
    assert (listing.cluster_id, listing.asked, listing.members[0].client_urls) == ("", "", ("x",))
    assert parts("https://[::1") == parts("http://a:99999999") == ("", None)
