"""What the timer runs: in its turn, which for a leader is the last one."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import defrag_service
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.verdict import Policy

from tests.unit.etcd.fake_cluster import FakeCluster
from tests.unit.fake_host import FakeHost

POLICY = Policy(allow=True)


class Sized(FakeCluster):
    """A cluster of a version without the bug, whose other members are defragmented at some time, or never.

    ``copies`` is when node2 copies; as etcd does, it answers nothing meanwhile.
    """

    def __init__(self, others_until: float, copies: tuple[float, float] = (0, 0)) -> None:
        super().__init__()
        self.version = "3.5.23"
        self.others_until = others_until
        self.copies = copies

    def _is_away(self, name: str) -> bool:
        begins, ends = self.copies
        return super()._is_away(name) or (name == "node2" and begins <= self.now < ends)

    def send_http(self, request: Request) -> Answer:
        answer = super().send_http(request)
        if not request.url.endswith("/metrics"):
            return answer
        is_own = "127.0.0.1" in request.url
        leads = is_own == (self.leader == "node1")
        size = self.size if is_own or self.now < self.others_until else self.in_use
        text = answer.body.replace(f"total_size_in_bytes {self.size}", f"total_size_in_bytes {size}")
        return Answer(answer.status, f"{text}etcd_server_is_leader {int(leads)}\n")


def test_a_follower_does_not_wait():
    cluster = Sized(others_until=1e9)
    [told] = defrag_service.serve(cluster, POLICY)
    assert cluster.now < defrag_service.INTERVAL
    assert (told["pays"], told["after"]) == (True, cluster.in_use + 4096)


def test_a_leader_waits_for_the_others_and_then_hands_over():
    cluster = Sized(others_until=600)
    cluster.leader = "node1"
    [told] = defrag_service.serve(cluster, POLICY)
    assert 600 <= cluster.now < 600 + 2 * defrag_service.INTERVAL
    assert (told["after"], told["moved_leader_to"]) == (cluster.in_use + 4096, "node3")


def test_a_leader_waits_for_one_that_copies_and_so_answers_nothing():
    cluster = Sized(others_until=20, copies=(20, 55))
    cluster.leader = "node1"
    [told] = defrag_service.serve(cluster, POLICY)
    assert 55 <= cluster.now < 55 + 2 * defrag_service.INTERVAL
    assert (told["after"], told["moved_leader_to"]) == (cluster.in_use + 4096, "node3")


def test_a_leader_waits_for_one_that_tells_of_its_copy():
    class Telling(Sized):
        def send_http(self, request: Request) -> Answer:
            answer = super().send_http(request)
            if request.url.endswith("/metrics") and "10.0.0.2" in request.url and self.now < 100:
                return Answer(answer.status, f"{answer.body}etcd_disk_defrag_inflight 1\n")
            return answer

    cluster = Telling(others_until=0)
    cluster.leader = "node1"
    defrag_service.serve(cluster, POLICY)
    assert 100 <= cluster.now < 100 + 2 * defrag_service.INTERVAL


def test_a_follower_waits_for_another_one_that_copies():
    cluster = Sized(others_until=0, copies=(0, 35))
    cluster.leader = "node3"
    [told] = defrag_service.serve(cluster, POLICY)
    assert 35 <= cluster.now < 35 + 2 * defrag_service.INTERVAL
    assert told["after"] == cluster.in_use + 4096


def test_one_that_waits_for_the_lock_and_gets_to_lead_meanwhile_comes_last():
    cluster = Sized(others_until=600)
    cluster.leader = "node3"
    cluster.locked_by = "defragmentation of etcd node3"
    free = cluster.sleep

    def sleep(seconds: float) -> None:
        free(seconds)
        if cluster.now > 90:
            cluster.leader = "node1" if cluster.now < 600 else cluster.leader
            cluster.locked_by = ""

    cluster.sleep = sleep  # type: ignore[method-assign]
    defrag_service.serve(cluster, POLICY)
    assert cluster.now >= 600


def test_a_cluster_that_stays_unwell_is_an_error_in_the_end():
    cluster = Sized(others_until=0, copies=(0, 1e9))
    with pytest.raises(NodewardError, match="node2 is not well"):
        defrag_service.serve(cluster, POLICY)
    assert defrag_service.PATIENCE <= cluster.now < defrag_service.PATIENCE + 2 * defrag_service.INTERVAL


def test_a_leader_does_not_wait_for_ever():
    cluster = Sized(others_until=1e9)
    cluster.leader = "node1"
    defrag_service.serve(cluster, POLICY)
    assert defrag_service.PATIENCE <= cluster.now < defrag_service.PATIENCE + 2 * defrag_service.INTERVAL


def test_another_member_s_turn_is_waited_for():
    cluster = Sized(others_until=0)
    cluster.locked_by = "defragmentation of etcd node2"
    free = cluster.sleep

    def sleep(seconds: float) -> None:
        free(seconds)
        if cluster.now > 1000:
            cluster.locked_by = ""

    cluster.sleep = sleep  # type: ignore[method-assign]
    [told] = defrag_service.serve(cluster, POLICY)
    assert 1000 < cluster.now < 1200
    assert told["after"] == cluster.in_use + 4096


def test_a_lock_that_nobody_gives_back_is_an_error_in_the_end():
    cluster = Sized(others_until=0)
    cluster.locked_by = "somebody"
    with pytest.raises(NodewardError, match="another run has the lock"):
        defrag_service.serve(cluster, POLICY)
    assert cluster.now >= defrag_service.PATIENCE


def test_what_is_refused_is_an_error():
    cluster = Sized(others_until=0)
    cluster.version = "3.5.22"
    with pytest.raises(NodewardError, match="can corrupt a database"):
        defrag_service.serve(cluster, POLICY)


@pytest.mark.parametrize("text", ["", "{", "[]", "[1"])
def test_garbage_for_settings_is_said(tmp_path, capsys, text):
    settings = tmp_path / "settings.json"
    settings.write_text(text)
    assert defrag_service.main([str(settings)]) == 1
    assert capsys.readouterr().err


def test_a_node_without_a_member_has_nothing_to_say():
    assert defrag_service.serve(FakeHost({}), POLICY) == []
