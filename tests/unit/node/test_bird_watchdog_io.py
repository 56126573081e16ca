"""What the daemon of bird_watchdog does to the world, a step each: no other process and no other file is harmed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog_io as world
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_daemon import Watchdog
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import Answer, Process
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_io import kill, look

from tests.unit.node.fake_birds import Birds, wait_for
from tests.unit.node.watched_birds import config, run, told


def unreadable_handle(_pid: int) -> int:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.mark.parametrize("open_handle", [os.pidfd_open, None, unreadable_handle], ids=["pidfd", "none", "old kernel"])
def test_an_id_that_was_given_to_another_process_is_not_hit(birds: Birds, open_handle):
    busy = birds.start()
    wait_for(lambda: look(config(birds), busy.pid) is not None)
    found = look(config(birds), busy.pid)
    assert found is not None
    measured = found[0]
    for other in (measured._replace(start=measured.start - 1), measured._replace(name="bird6")):
        assert kill(config(birds), other, open_handle) == "it is gone"
    assert busy.poll() is None
    assert kill(config(birds), measured, open_handle) == ""
    assert busy.wait() == -signal.SIGKILL
    assert kill(config(birds), measured, open_handle) == "it is gone"


def test_a_kill_that_is_refused_is_told(birds: Birds):
    busy = birds.start()
    wait_for(lambda: look(config(birds), busy.pid) is not None)
    found = look(config(birds), busy.pid)
    assert found is not None
    os.unlink(birds.folder / "bird")
    folder = birds.folder / "proc"
    (folder / "1").mkdir(parents=True)
    for name in ("stat", "cmdline"):
        (folder / "1" / name).write_text(Path(f"/proc/{busy.pid}/{name}").read_text())
    # what /proc shows is not what the kernel has: 2**22 + 1 is the id of no process
    os.rename(folder / "1", folder / str(2**22 + 1))
    other = Process(2**22 + 1, *found[0][1:])
    assert "No such process" in kill(config(birds, proc=str(folder)), other, None)


def test_a_perf_that_hangs_is_ended_with_all_that_it_started(birds: Birds):
    mark = str(birds.folder / "hangs")
    script = f"#!/bin/sh\ntrap '' TERM\nif [ $1 = record ]; then sleep 41.5; fi\necho $$ >> {mark}\nexec sleep 41.5\n"
    (birds.folder / "bin/perf").write_text(script)
    was = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})  # as in main()
    try:
        begin = time.monotonic()
        world.evidence(config(birds), Process(os.getpid(), 0, "bird", 0, ""), Answer())
        assert time.monotonic() - begin < 8
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, was)
    wait_for(lambda: not Path(f"/proc/{int(Path(mark).read_text().split()[0])}/cwd").exists())


def test_a_metrics_folder_of_others_is_written_with_care(birds: Birds, tmp_path: Path):
    victim, path = tmp_path / "victim", birds.folder / "metrics.prom"
    victim.write_text("precious")
    staged = Path(f"{path}.new")
    os.link(victim, staged)
    watchdog = Watchdog(config(birds))
    watchdog.step()
    assert (victim.read_text(), path.stat().st_mode & 0o777) == ("precious", 0o644)
    os.mkfifo(staged)  # nobody reads it, and it is not waited for
    watchdog.step()
    assert not staged.exists()
    path.unlink()
    path.symlink_to(victim)
    watchdog.step()
    assert (victim.read_text(), path.is_symlink(), staged.exists()) == ("precious", True, False)


def test_what_cannot_be_written_is_said_once(birds: Birds, capsys: pytest.CaptureFixture[str]):
    watchdog = Watchdog(config(birds, metrics=str(birds.folder / "none/metrics.prom")))
    for _ in range(3):
        watchdog.step()
    assert capsys.readouterr().err.count("none/metrics.prom cannot be written") == 1
    (birds.folder / "none").mkdir()
    watchdog.step()
    shutil.rmtree(birds.folder / "none")
    watchdog.step()
    assert capsys.readouterr().err.count("cannot be written") == 1, "again after it went well"


def test_what_has_no_end_is_read_to_a_bound():
    assert world.LARGEST_FILE <= len(world.read("/dev/zero")) < world.LARGEST_FILE + 2**16


def test_the_file_of_events_is_rotated_and_a_full_disk_is_no_end(birds: Birds):
    path = birds.folder / "events.jsonl"
    path.write_text(" " * (world.LARGEST_EVENTS + 1))
    busy = birds.start()
    wait_for(birds.listens)
    watchdog = Watchdog(config(birds, metrics="/proc/version/metrics.prom", mode="observe"))
    run(watchdog, lambda: watchdog.tracks["bird"].state == "held_back")
    assert told(birds) == ["held_back"]
    assert (birds.folder / "events.jsonl.1").stat().st_size > world.LARGEST_EVENTS
    nowhere = Watchdog(
        config(birds, events="/proc/version/events", metrics="/proc/version/metrics")
    )  # never a device: it would be replaced
    run(nowhere, lambda: busy.poll() is not None)


def test_the_file_of_events_is_a_file_and_a_cut_line_harms_no_other(birds: Birds, tmp_path: Path):
    path = birds.folder / "events.jsonl"
    path.write_text('{"event": "ki')
    world.append(str(path), "1")
    world.append(str(path), "2")
    assert path.read_text() == '{"event": "ki\n1\n2\n'
    path.unlink()
    path.write_bytes(bytes(17 << 20) + b"\n1\n2\n")
    lines = world.read_end(str(path))
    assert (lines[-2:], sum(map(len, lines)) <= 2 << 20) == (["1", "2"], True)
    path.unlink()
    os.mkfifo(path)  # neither a read at the start nor a write waits for its other end
    Watchdog(config(birds))
    with pytest.raises(OSError, match="no regular file"):
        world.append(str(path), "3")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        world.append(str(path), "3")
