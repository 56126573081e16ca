"""What the modules say where the system itself refuses something."""

from __future__ import annotations

import errno
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.modules import etcd_defrag, etcd_member

from tests.unit.etcd.changing import Locked, params
from tests.unit.etcd.fake_cluster import ENV


class SickDisk(Locked):
    def read_text(self, path: str) -> str | None:
        if path == ENV:
            raise OSError(errno.EIO, "Input/output error", path)
        return super().read_text(path)


class Module:
    """Stands for AnsibleModule."""

    check_mode = False
    params: dict[str, Any]

    def run_command(self) -> None:
        """Is not called: the host is a fake."""

    def exit_json(self, **_result: Any) -> None:
        """Is not called: the disk is sick."""

    def fail_json(self, msg: str) -> None:
        raise SystemExit(msg)


MODULES: list[tuple[ModuleType, dict[str, Any]]] = [(etcd_member, params()), (etcd_defrag, {"allow": True})]


@pytest.mark.parametrize(("module", "given"), MODULES, ids=["etcd_member", "etcd_defrag"])
def test_a_disk_that_fails_is_said_in_a_sentence(module, given, monkeypatch):
    stand_in = Module()
    stand_in.params = given
    monkeypatch.setattr(module, "AnsibleModule", lambda **_options: stand_in)
    monkeypatch.setattr(module, "LocalHost", lambda **_options: SickDisk())
    with pytest.raises(SystemExit, match=r"^/etc/etcd\.env: cannot be read or written: Input/output error\. Mend it"):
        module.main()
