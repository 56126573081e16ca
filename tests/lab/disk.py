"""A node's disk: an overlay of its own over the image.

A mount's source names the lab and the node, so that it is found again when its folder has moved.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.lab.host import LabError, mounts, run, unmount, write


def _source(lab_id: str, node: str) -> str:
    return f"nodeward-{lab_id}-{node}"


@dataclasses.dataclass(frozen=True)
class Disk:
    """Paths below the lab's folder; `base` is the image's rootfs, build_id that image's."""

    lab_id: str
    node: str
    lab_folder: Path
    base: Path
    build_id: str

    @property
    def root(self) -> Path:
        return self.lab_folder / "nodes" / self.node / "root"

    @property
    def _upper(self) -> Path:
        return self.lab_folder / "disks" / self.node

    @property
    def _complete(self) -> Path:
        return self._upper / "complete"

    @property
    def usable(self) -> bool:
        """Whether it was filled to the end, and over the image that is there now."""
        try:
            return self._complete.read_text() == self.build_id
        except FileNotFoundError:
            return False

    def create(self, files: dict[str, tuple[str, int]], without: Sequence[str] = ()) -> None:
        """A fresh disk with these files on it: path -> (text, mode), and without these of the image."""
        self.discard()
        for folder in ("upper", "work"):
            (self._upper / folder).mkdir(parents=True)
        (self._upper / "upper").chmod(0o755)
        for path in without:
            whiteout = self._upper / "upper" / path
            whiteout.parent.mkdir(parents=True, exist_ok=True)
            os.mknod(whiteout, stat.S_IFCHR, os.makedev(0, 0))
        self.mount()
        for path, (text, mode) in files.items():
            write(self.root / path, text, mode)
        write(self._complete, self.build_id)

    def mount(self) -> None:
        """Idempotent."""
        source = _source(self.lab_id, self.node)
        if any(mount.source == source and mount.target == str(self.root) for mount in mounts()):
            return
        self.root.mkdir(parents=True, exist_ok=True)
        _overlay(source, self.base, self._upper, self.root)

    def discard(self) -> None:
        """Unmount and delete; a marker that goes first tells a later run that this disk is not whole."""
        self._complete.unlink(missing_ok=True)
        _unmount_source(_source(self.lab_id, self.node))
        if self._upper.exists():
            shutil.rmtree(self._upper)


def _overlay(source: str, base: Path, upper: Path, target: Path) -> None:
    """Paths are given relative to `upper`: those that contain a comma or colon would end the option."""
    lower = os.path.relpath(base.resolve(), upper.resolve())
    options = f"lowerdir={lower},upperdir=upper,workdir=work"
    run(["mount", "-t", "overlay", source, "-o", options, str(target)], cwd=upper)


def prepare_folder(lab_id: str, lab_folder: Path, base: Path) -> bool:
    """Make the folder that carries the disks; True where it had to be a tmpfs.

    An overlay's upper layer needs a file system that can carry it (another overlay, as in a container,
    cannot): tried, since no list of file system names is complete.
    """
    disks = lab_folder / "disks"
    disks.mkdir(parents=True, exist_ok=True)
    if any(mount.target == str(disks) and mount.source == _source(lab_id, "disks") for mount in mounts()):
        return True
    if any(disks.glob("*/complete")) or _carries_overlay(lab_id, disks, base):
        return False
    run(["mount", "-t", "tmpfs", "-o", "mode=700", _source(lab_id, "disks"), str(disks)])
    if not _carries_overlay(lab_id, disks, base):
        raise LabError(f"neither {disks} nor a tmpfs can carry an overlay: does this kernel have overlayfs?")
    return True


def _carries_overlay(lab_id: str, disks: Path, base: Path) -> bool:
    probe = disks / f"probe-{uuid.uuid4().hex[:8]}"
    target = probe / "root"
    for folder in ("upper", "work", "root"):
        (probe / folder).mkdir(parents=True)
    try:
        _overlay(_source(lab_id, "probe"), base, probe, target)
        (target / "etc/hosts").unlink(missing_ok=True)
        (target / "etc/issue").unlink()  # needs whiteouts
        (target / "new").mkdir()
        (target / "new").rename(target / "renamed")
        return True
    except (LabError, OSError):
        return False
    finally:
        _unmount_source(_source(lab_id, "probe"))
        shutil.rmtree(probe, ignore_errors=True)


def _unmount_source(source: str) -> None:
    for mount in reversed(mounts()):
        if mount.source == source:
            unmount(mount.target)


def remove(lab_id: str) -> None:
    """Unmount everything of this lab: the newest first, since the tmpfs lies below the overlays."""
    for mount in reversed(mounts()):
        if mount.source.startswith(f"nodeward-{lab_id}-"):
            unmount(mount.target)
