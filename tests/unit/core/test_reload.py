"""The verb that has systemd read the files of a unit anew."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.journal import PATH, decode
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Reason,
    ReloadUnit,
    RestartUnit,
    WriteFile,
    change_at,
)

from tests.unit.fake_host import FakeHost

REASON = Reason("pid_limits", "because")
DROP_IN = WriteFile("/etc/systemd/system/kubelet.service.d/x.conf", None, "[Service]\nTasksMax=infinity\n", REASON)
RELOAD = ReloadUnit("kubelet.service", REASON, ("TasksMax=infinity",))
DAEMON_RELOAD = "systemctl daemon-reload"
SHOW = "systemctl show --property=NeedDaemonReload,TasksMax kubelet.service"


def host(shown: str) -> FakeHost:
    return FakeHost(commands={DAEMON_RELOAD: "", SHOW: shown})


def test_a_reload_follows_the_file_and_is_journalled_without_a_state():
    node = host("NeedDaemonReload=no\nTasksMax=infinity\n")
    apply([DROP_IN, RELOAD], node)
    assert [call for call in node.calls if call[0] == "run"] == [("run", DAEMON_RELOAD), ("run", SHOW)]
    entry = dict(decode(node.files[PATH]).entries)["reload kubelet.service"]
    assert (entry.before, entry.after) == (None, None)


MISSED = [
    ("a file that is read later", "NeedDaemonReload=no\nTasksMax=4915\n", "wanted TasksMax=infinity"),
    ("not read yet", "NeedDaemonReload=yes\nTasksMax=infinity\n", "wanted NeedDaemonReload=no"),
]


@pytest.mark.parametrize(("shown", "told"), [case[1:] for case in MISSED], ids=[case[0] for case in MISSED])
def test_a_limit_that_did_not_take_is_put_back_and_told(shown, told):
    node = host(shown)
    with pytest.raises(NodewardError, match=r"kubelet\.service") as raised:
        apply([DROP_IN, RELOAD], node)
    assert told in str(raised.value)
    assert DROP_IN.path not in node.files
    after = node.calls[node.calls.index(("remove", DROP_IN.path)) :]
    assert ("run", DAEMON_RELOAD) in after, "systemd still has what was put back"


def test_the_verbs_of_units_come_back_from_the_journal():
    assert change_at("reload kubelet.service", None, None, REASON) == ReloadUnit("kubelet.service", REASON)
    assert change_at("restart kubelet.service", "id", None, REASON) == RestartUnit("kubelet.service", "id", REASON)
    assert RELOAD.inverse() == ReloadUnit("kubelet.service", RELOAD.reason), "what it wanted is not wanted any more"
    RELOAD.check(FakeHost())
