"""The node itself, below a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import host as host_module
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LOCK, Host, LocalHost

from tests.unit.fake_host import FakeHost

ROOT = Path(__file__).parents[3]


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    (tmp_path / "run").mkdir()
    return LocalHost(str(tmp_path))


def test_both_hosts_fit_the_port(host):
    ports: list[Host] = [host, FakeHost()]
    assert len(ports) == 2


def test_reading(tmp_path, host):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_bytes(b"a\xff\n")
    (tmp_path / "etc/link").symlink_to("file")
    (tmp_path / "etc/dangling").symlink_to("nowhere")
    assert host.read_text("/etc/file") == "a\udcff\n"
    assert host.read_text("/etc/link") == "a\udcff\n"
    for absent in ("/etc/none", "/none/none", "/etc/file/none", "/etc", "/etc/dangling"):
        assert host.read_text(absent) is None, absent
    assert host.list_folder("/etc") == ["dangling", "file", "link"]
    assert host.list_folder("/etc/file") == []
    assert host.list_folder("/none") == []
    assert host.link_target("/etc/link") == "file"
    assert host.link_target("/etc/dangling") == "nowhere"
    assert host.link_target("/etc/file") is None
    assert host.link_target("/none") is None
    assert host.is_writable("/etc/file")
    assert not host.is_writable("/etc/none")


def test_what_is_no_file_neither_hangs_nor_fills_the_memory(tmp_path, host):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "masked").symlink_to("/dev/null")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)
    assert host.read_text("/masked") == ""
    for path in ("/fifo", "/endless", "/huge"):
        with pytest.raises(OSError, match=r"no regular file|larger than") as caught:
            host.read_text(path)
        assert caught.value.filename == path


def test_the_kernel_s_own_files_are_read():
    """They are refused where more than 4 MiB is asked for at once (proc_sys_call_handler), and their size is 0."""
    assert LocalHost().read_text("/proc/sys/kernel/ostype") == "Linux\n"
    assert "MemTotal:" in (LocalHost().read_text("/proc/meminfo") or "")


def test_a_cgroup_that_ends_while_it_is_read_is_gone(host, monkeypatch):
    def ended(_path: str, _flags: int) -> int:  # in truth it is the read that fails so
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(os, "open", ended)
    assert host.read_text("/pids.max") is None


def test_writing(tmp_path, host):
    assert host.why_not_writable("/etc/file", 1) == ""
    host.write_file("/etc/file", "text", 0o640)
    assert (tmp_path / "etc/file").read_text() == "text"
    host.write_value("/etc/file", "42")
    assert (tmp_path / "etc/file").read_text() == "42"
    host.remove_file("/etc/file")
    host.remove_file("/etc/file")
    assert os.listdir(tmp_path / "etc") == []


def test_the_machine_is_this_one():
    host = LocalHost()
    assert host.machine() == os.uname().machine
    assert host.page_size() == os.sysconf("SC_PAGE_SIZE")
    assert host.is_root() == (os.geteuid() == 0)


def test_a_process_that_ended_is_nothing():
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert LocalHost().read_text(f"/proc/{child.pid}/comm") is None


# --- the lock ---------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
with LocalHost(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(root: Path, seconds: float) -> subprocess.Popen[str]:
    """Start another process, that has the lock when this returns."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ansible/collections")},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_the_second_run_is_told_after_its_patience(tmp_path, host):
    with holder(tmp_path, 60) as child:
        began = time.monotonic()
        with pytest.raises(NodewardError) as refused, host.lock(patience=0.5):
            pytest.fail("two runs at once")
        waited = time.monotonic() - began
        child.kill()
    assert 0.5 <= waited < 10
    assert refused.value.where == LOCK
    assert "another run" in refused.value.what
    assert "run again" in refused.value.remedy


def test_the_second_run_waits_for_the_first_to_end(tmp_path, host):
    with holder(tmp_path, 0.3) as child, host.lock(patience=30):
        assert child.wait() == 0


def test_a_killed_run_leaves_the_lock_free(tmp_path, host):
    with holder(tmp_path, 60) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with host.lock(patience=0):
        pass


def test_the_lock_is_given_back_on_an_error(host):
    with pytest.raises(ZeroDivisionError), host.lock():
        raise ZeroDivisionError
    with host.lock(patience=0):
        pass


def test_an_apply_is_waited_for_a_minute():
    assert host_module.LOCK_PATIENCE == 60
