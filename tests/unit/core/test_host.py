"""The node itself, below a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import io_priority, lock
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import Host, LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.lock import LOCK

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
    os.utime(tmp_path / "etc/file", (1, 1.5))
    assert host.modified("/etc/link") == 1.5
    assert host.modified("/etc/dangling") is None
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
    assert os.path.samefile(host.interpreter(), sys.executable)
    # the tests run in a virtualenv, which will not be there for long
    assert sys.prefix != sys.base_prefix
    assert not host.interpreter().startswith(sys.prefix)
    assert host.page_size() == os.sysconf("SC_PAGE_SIZE")
    assert host.is_root() == (os.geteuid() == 0)


def test_time_passes():
    host = LocalHost()
    before = host.clock()
    host.sleep(0.01)
    assert host.clock() >= before + 0.01


def test_a_process_that_ended_is_nothing():
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert LocalHost().read_text(f"/proc/{child.pid}/comm") is None


@pytest.mark.parametrize("name", ["mountinfo", "mounts", "environ", "cmdline", "net/tcp", "root/etc/hosts"])
def test_a_process_that_is_about_to_end_is_nothing(name):
    """As one of etcd's while systemd stops it: its mounts are an invalid argument then (mounts_open_common)."""
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it ended, and nobody asked how
        assert not LocalHost().read_text(f"/proc/{child.pid}/{name}")


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
    assert "waits for a kubelet or a member of etcd may take some minutes more" in refused.value.remedy
    assert "run again" in refused.value.remedy


def test_the_second_run_waits_for_the_first_to_end(tmp_path, host):
    with holder(tmp_path, 0.3) as child, host.lock(patience=30):
        assert child.wait() == 0


def test_a_kernel_that_gives_no_lock_is_told(monkeypatch, host):
    def refuse(*_words: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(NodewardError, match="cannot be locked: No locks available") as refused, host.lock(patience=0):
        pytest.fail("no lock")
    assert refused.value.where == LOCK
    assert "memory" in refused.value.remedy


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
    assert lock.PATIENCE == 60


def test_a_command_gives_what_it_printed():
    def run_command(command: list[str]) -> tuple[int, str, str]:
        return 0, " ".join(command), ""

    assert LocalHost(run_command=run_command).run(["systemctl", "show"]) == "timeout --kill-after=5 150 systemctl show"


FAILURES = [
    ("what it says", (1, "", "Unit x.service\n not found.\n"), "ended with 1: Unit x.service not found."),
    ("what it printed", (3, "so far", ""), "ended with 3: so far"),
    ("how it began, of a lot", (1, "", "Traceback" + 500 * " File x" + " the cause"), "ended with 1: Traceback File x"),
    ("how it ended, of a lot", (1, "", "Traceback" + 500 * " File x" + " the cause"), " File x the cause"),
    ("that it took too long", (124, "so far", ""), "was ended, as it took more than 150 s"),
    ("nothing", (1, "", ""), "it said nothing"),
]


@pytest.mark.parametrize(("outcome", "told"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_a_command_that_fails_tells_why(outcome, told):
    with pytest.raises(NodewardError) as failed:
        LocalHost(run_command=lambda _command: outcome).run(["systemctl", "show", "x.service"])
    assert told in failed.value.what
    assert failed.value.where == "systemctl show x.service"


def test_where_no_command_may_run_none_does():
    with pytest.raises(NodewardError, match="no command may be run here"):
        LocalHost().run(["systemctl", "show"])


def test_a_folder_is_made_with_those_above_and_removed_when_empty(tmp_path):
    host = LocalHost(str(tmp_path))
    host.make_folder("/a/b")
    host.make_folder("/a/b")
    assert host.is_folder("/a/b")
    with pytest.raises(OSError, match="not empty"):
        host.remove_folder("/a")
    host.remove_folder("/a/b")
    host.remove_folder("/a/b")
    assert not host.is_folder("/a/b")


def test_a_command_that_cannot_be_started_is_told():
    """On a node without free process ids (incident B) no program starts."""

    def no_process(_command: list[str]) -> tuple[int, str, str]:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    with pytest.raises(NodewardError, match="cannot be started: Resource temporarily unavailable"):
        LocalHost(run_command=no_process).run(["systemctl", "show"])


def test_a_stream_is_written_whole_or_not_at_all(tmp_path, host):
    host.write_stream("/var/new/file", iter([b"one", b"two"]), 0o600)
    path = tmp_path / "var/new/file"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"onetwo", 0o600)

    def breaks_off() -> Iterator[bytes]:
        yield b"one"
        raise OSError(errno.ECONNRESET, "gone")

    (tmp_path / "var/new/.other.nodeward").write_text("of a killed run")
    with pytest.raises(OSError, match="gone"):
        host.write_stream("/var/new/other", breaks_off(), 0o600)
    assert [each.name for each in (tmp_path / "var/new").iterdir()] == ["file"]


def test_space_and_disk_of_a_folder_that_is_not_there_yet(tmp_path, host):
    assert host.free_space("/not/yet") == host.free_space("/") > 0
    assert host.disk("/not/yet") == tmp_path.stat().st_dev


def test_the_io_priority_of_a_thread(host):
    own = os.getpid()
    before = host.io_priority(own)
    host.set_io_priority(own, io_priority.HIGHEST)
    assert host.io_priority(own) == io_priority.HIGHEST
    host.set_io_priority(own, before or io_priority.NONE)
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert host.io_priority(gone.pid) is None
    host.set_io_priority(gone.pid, io_priority.HIGHEST)
    with pytest.raises(OSError, match="Invalid"):
        host.set_io_priority(own, 7 << 13)
    assert abs(host.wall_clock() - time.time()) < 5


def test_every_thread_of_etcd_is_reached_by_what_the_timer_runs(tmp_path):
    """A process of that name with several threads, as `ionice -p` would not reach them."""
    program = tmp_path / "nodeward-test"
    program.write_text(f"#!{sys.executable}\nimport threading, time\n"
                       "for _ in range(3): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
                       "print(flush=True); time.sleep(60)\n")  # fmt: skip
    program.chmod(0o755)
    with subprocess.Popen([str(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        threads = [int(name) for name in os.listdir(f"/proc/{process.pid}/task")]
        machine = os.uname().machine
        before = {io_priority.get(thread, machine) for thread in threads}
        io_priority.main("nodeward-test")
        after = {io_priority.get(thread, machine) for thread in threads}
        process.kill()
    assert (len(threads), before, after) == (4, {io_priority.NONE}, {io_priority.HIGHEST})
