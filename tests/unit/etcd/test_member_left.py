"""What fails beside the restart of a member, and what somebody else does meanwhile: the member is left as it is."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import COMMAND_PATIENCE, UnfinishedError
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason
from ansible_collections.nodeward.calico.plugins.module_utils._etcd import (
    note,
    seen,
)
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.restart import Configuration
from ansible_collections.nodeward.calico.plugins.module_utils._node import etcd_io

from tests.unit.etcd.a_node import PID, node
from tests.unit.etcd.changing import AFTER, VALUES, Locked, beside_snapshots, do
from tests.unit.etcd.fake_cluster import ENV, TEXT

pytestmark = pytest.mark.usefixtures("both_ways")


class FullOnceSaved(Locked):
    """A node whose disk is full once the snapshot is on it; the note is the first thing that is written then."""

    def saves(self) -> None:
        self.disk_full = True


class NoJournal(Locked):
    """A node on which the note can be written, and then the journal cannot."""

    def write_file(self, path: str, text: str, mode: int) -> None:
        if path == journal.PATH:
            raise OSError(errno.EIO, "Input/output error", path)
        super().write_file(path, text, mode)


class ForgetsNothing(Locked):
    """A node on which the file can be put back, and the journal not be brought to that."""

    def remove_file(self, path: str) -> None:
        if path == journal.PATH:
            raise OSError(errno.EIO, "Input/output error", path)
        super().remove_file(path)


@pytest.mark.parametrize("kind", [FullOnceSaved, NoJournal])
def test_a_member_that_was_not_touched_is_not_restarted(kind):
    cluster = kind()
    before = beside_snapshots(cluster)
    with pytest.raises(NodewardError, match=r"[/]var/lib/nodeward/.*is that of before, and it was not restarted\."):
        do(cluster)
    assert (cluster.restarts, beside_snapshots(cluster)) == (0, before)


def test_a_unit_that_did_not_start_anew_yet_is_not_restarted_where_its_file_goes_back():
    cluster = ForgetsNothing()
    do(cluster)
    with pytest.raises(NodewardError, match=r"Input/output error; its configuration is that of before, and it was not"):
        do(cluster, state="restored", clusters={"cafe": {}})
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_a_static_pod_is_touched_by_the_writing_alone():
    host = node()
    [found] = seen.look(host)
    changes = found.site.changes(VALUES, Reason("etcd_timing", "because"))
    configuration = Configuration(host, found, changes)
    assert not configuration.is_touched()
    configuration.write()
    assert configuration.is_touched()


class Upgraded(Locked):
    """A node whose file somebody else writes while the snapshot is saved."""

    THEIRS = f"{TEXT}ETCD_INITIAL_CLUSTER=four-members\n"

    def saves(self) -> None:
        self.files[ENV] = self.THEIRS


def test_a_file_that_somebody_else_writes_meanwhile_is_left_as_it_is():
    cluster = Upgraded()
    cluster.bad = "TIMEOUT=5000"
    with pytest.raises(
        NodewardError, match=r"/etc/etcd\.env: somebody else has written it since .*nothing was changed"
    ):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (0, Upgraded.THEIRS)
    assert note.PATH not in cluster.files


class Slow(Locked):
    """A node whose unit takes 200 s to start, as rke2-server and kubespray's (TimeoutStartSec=0) may."""

    def run(self, command: Sequence[str], patience: float = COMMAND_PATIENCE) -> str:
        if list(command[:2]) == ["systemctl", "restart"]:
            self.now += min(patience, 200)
            if patience < 200:
                raise UnfinishedError(f"it took more than {patience:g} s", " ".join(command), "Run it on the node")
        return super().run(command, patience)


def test_a_restart_may_take_as_long_as_the_member_may_to_be_well():
    cluster = Slow()
    assert do(cluster)["changed"] is True
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_so_may_that_of_one_that_a_killed_run_has_left_down():
    cluster = Slow()
    del cluster.files[f"/proc/{PID}/comm"]
    cluster.files[note.PATH] = json.dumps({"name": "node1", "unit": "etcd.service", "changes": []})
    assert do(cluster, clusters={})["changed"] is True


class KeepsNote(Locked):
    def remove_file(self, path: str) -> None:
        if path == note.PATH:
            raise OSError(errno.EIO, "Input/output error", path)
        super().remove_file(path)


class KeepsPriority(Locked):
    def set_io_priority(self, thread: int, _value: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", f"thread {thread}")


@pytest.mark.parametrize(
    ("kind", "why"),
    [(KeepsNote, r"etcd-unfinished\.json: cannot be removed"), (KeepsPriority, "thread 4242: Operation not permitted")],
)
def test_what_fails_once_it_is_well_is_told_and_the_member_left_as_it_is(kind, why):
    cluster = kind()
    cluster.files |= {etcd_io.SCRIPT: "ours", f"/proc/{PID}/task/{PID}/comm": "etcd\n"}
    cluster.priorities = {PID: 0}
    with pytest.raises(NodewardError, match=f"has its new configuration and is well, but .*{why}"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (1, AFTER)


def test_what_fails_once_it_is_well_again_is_told_too():
    cluster = KeepsNote()
    cluster.bad = "TIMEOUT=5000"
    with pytest.raises(NodewardError, match=r"was put back and it is well again, but .*cannot be removed"):
        do(cluster)
    assert (cluster.restarts, cluster.files[ENV]) == (2, TEXT)
