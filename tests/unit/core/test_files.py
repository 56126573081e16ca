"""Files on a real disk: old or new, and nothing lost around them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.files import (
    BYTES_SURVIVE,
    ENCODING,
    remove_durably,
    staging_path,
    why_not_writable,
    write_atomically,
)
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_gets_the_mode_asked_for_whatever_the_umask(tmp_path):
    former = os.umask(0o077)
    try:
        write_atomically(str(tmp_path / "new"), "text\n", 0o644)
    finally:
        os.umask(former)
    assert (tmp_path / "new").read_text() == "text\n"
    assert mode_of(tmp_path / "new") == 0o644


def test_a_new_file_makes_its_folders(tmp_path):
    write_atomically(str(tmp_path / "a/b/new"), "text", 0o600)
    assert (tmp_path / "a/b/new").read_text() == "text"
    assert mode_of(tmp_path / "a/b/new") == 0o600


def test_an_existing_file_keeps_mode_owner_and_attributes(tmp_path):
    path = tmp_path / "old"
    path.write_text("old")
    path.chmod(0o604)
    owner = (12345, 54321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    labelled = True
    try:
        os.setxattr(path, "user.label", b"ours")
    except OSError:  # not every file system has them
        labelled = False
    write_atomically(str(path), "new", 0o644)
    assert path.read_text() == "new"
    assert mode_of(path) == 0o604
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert not labelled or os.getxattr(path, "user.label") == b"ours"


def test_what_vouches_for_the_old_content_is_not_kept(tmp_path):
    path = tmp_path / "old"
    path.write_text("old")
    of_root = ["security.ima"] if os.geteuid() == 0 else []
    for attribute in [*of_root, "user.label"]:
        os.setxattr(path, attribute, b"\x01ours")
    write_atomically(str(path), "new", 0o644)
    assert [attribute for attribute in os.listxattr(path) if attribute != "security.selinux"] == ["user.label"]


def test_folders_that_are_missing_are_made(tmp_path):
    write_atomically(str(tmp_path / "a/b/c"), "new", 0o644)
    assert (tmp_path / "a/b/c").read_text() == "new"
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a/b") == 0o755


@pytest.mark.parametrize("text", ["", "new", "new" * 10000], ids=["empty", "short", "long"])
def test_an_existing_file_gets_a_new_time(tmp_path, text):
    path = tmp_path / "old"
    path.write_text("old")
    os.utime(path, (1, 1))
    write_atomically(str(path), text, 0o644)
    assert path.stat().st_mtime > 1


LINKS = [("relative", "real/file"), ("to nothing yet", "real/absent"), ("chain", "second")]


@pytest.mark.parametrize("target", [case[1] for case in LINKS], ids=[case[0] for case in LINKS])
def test_a_link_is_followed_and_stays(tmp_path, target):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("old")
    (tmp_path / "second").symlink_to("real/file")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(str(link), "new", 0o644)
    assert os.readlink(link) == target
    assert link.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["link", "real", "second"]


def test_what_a_killed_run_left_is_overwritten_and_gone(tmp_path):
    left = Path(staging_path(str(tmp_path / "file")))
    left.write_text("half a te")
    write_atomically(str(tmp_path / "file"), "whole text", 0o644)
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_laid_in_place_of_the_staging_file_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("theirs")
    Path(staging_path(str(tmp_path / "file"))).symlink_to("victim")
    write_atomically(str(tmp_path / "file"), "ours", 0o644)
    assert (tmp_path / "victim").read_text() == "theirs"
    assert (tmp_path / "file").read_text() == "ours"


def test_the_staging_file_is_read_by_nobody():
    assert (
        staging_path("/etc/sysctl.d/99-zz-nodeward-pid_limits.conf")
        == "/etc/sysctl.d/.99-zz-nodeward-pid_limits.conf.nodeward"
    )


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    """A folder in place of the file makes the very last step, the rename, fail."""
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(str(tmp_path / "file"), "new", 0o644)
    assert os.listdir(tmp_path) == ["file"]


any_text = st.binary().map(lambda raw: raw.decode(ENCODING, BYTES_SURVIVE)) | st.text()


@given(text=any_text)
def test_any_bytes_survive(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "bytes"
    write_atomically(str(path), text, 0o644)
    assert path.read_bytes() == text.encode(ENCODING, BYTES_SURVIVE)


def test_removing(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    for _time in ("there", "gone already"):
        remove_durably(str(path))
        assert not path.exists()


def make_file(path: Path) -> None:
    path.write_text("")


def make_nothing(_path: Path) -> None:
    pass


OBSTACLES: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("none", make_nothing, "new", ""),
    ("none, in folders that are not there yet", make_nothing, "a/b/new", ""),
    ("the file is a folder", Path.mkdir, "", "is a folder"),
    ("the folder is a file", make_file, "new", "is not a folder"),
    ("a folder above is a file", make_file, "a/b/new", "is not a folder"),
]


@pytest.mark.parametrize(("make", "name", "why"), [c[1:] for c in OBSTACLES], ids=[c[0] for c in OBSTACLES])
def test_why_a_file_cannot_be_written(tmp_path, make, name, why):
    place = tmp_path / "place"
    make(place)
    said = why_not_writable(str(place / name) if name else str(place), 100)
    assert said.endswith(why)
    assert bool(said) == bool(why)
    assert not (place / "a").exists(), "it only looks"


# Root passes over modes, so read-only and full are made real: mounts in a mount namespace of their own.
MOUNTED = """
import errno, os, sys
from ansible_collections.nodeward.calico.plugins.module_utils._core.files import why_not_writable, write_atomically
path = sys.argv[1]
print(why_not_writable(path, 100))
try:
    write_atomically(path, sys.argv[2] * 1000, 0o644)
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("written")
print(sorted(os.listdir(os.path.dirname(path))), open(path).read()[:10] if os.path.exists(path) else None)
"""

MOUNTS = [
    ("read-only", "mount --bind $D $D && mount -o remount,ro,bind $D", "{folder} is read-only", "EROFS", "old"),
    ("full", "mount -t tmpfs -o size=8k tmpfs $D && printf old >$D/file", "is full (4 KiB free)", "ENOSPC", "old"),
    (
        "no inodes",
        "mount -t tmpfs -o size=1m,nr_inodes=2 tmpfs $D && printf old >$D/file",
        "has 0 free inodes, 1 needed",
        "ENOSPC",
        "old",
    ),
    (
        "nearly full",
        "mount -t tmpfs -o size=32k tmpfs $D && printf old >$D/file",
        "is full (28 KiB free)",
        "written",
        "x",
    ),
    ("roomy", "mount -t tmpfs -o size=1m tmpfs $D && printf old >$D/file", "", "written", "x"),
]


@pytest.mark.parametrize(("mount", "why", "outcome", "kept"), [c[1:] for c in MOUNTS], ids=[c[0] for c in MOUNTS])
def test_real_obstacles(tmp_path, mount, why, outcome, kept):
    (tmp_path / "file").write_text("old")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    run = f'D=$1; {mount} && exec "$2" -c "$3" "$D/file" xxxxxxxxxx'
    done = subprocess.run(
        ["unshare", *as_root, "--mount", "sh", "-euc", run, "sh", str(tmp_path), sys.executable, MOUNTED],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ansible/collections")},
    )
    assert done.stderr == ""
    said, happened, left = done.stdout.splitlines()
    assert said.endswith(why.format(folder=tmp_path))
    assert bool(said) == bool(why)
    assert happened == outcome
    assert left == f"['file'] {'x' * 10 if kept == 'x' else kept}"


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes need root")
def test_a_name_that_leads_to_a_device_is_refused_and_the_device_stays(tmp_path):
    """A link to /dev/null is systemd's way to mask a file; the device must not become our text."""
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    masked = tmp_path / "ours.conf"
    masked.symlink_to(device)
    for path in (masked, device):
        assert "is no regular file" in why_not_writable(str(path), 10)
        with pytest.raises(OSError, match="no regular file"):
            write_atomically(str(path), "text", 0o644)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["null", "ours.conf"]
