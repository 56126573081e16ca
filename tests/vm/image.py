"""The machines' disks: Debian's packages with Debian's kernel, one image for each release.

mmdebstrap and mkfs.ext4 need no root: where we are none, mmdebstrap works in a user namespace.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import apt
from tests.lab.host import LabError, locked, run

PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "udev",
    "linux-image-cloud-amd64", "initramfs-tools", "zstd",
    "openssh-server",
    "python3-minimal", "python3-apt", "python3-pyroute2", "python3-yaml",
    "iproute2", "iputils-ping", "kmod", "procps", "wireguard-tools",
    "ifupdown", "network-manager", "netplan.io",  # managers of links; a seed says which one runs
    "etcd-server",  # for what etcd_timing gives its process; runs where a seed says so
)  # fmt: skip
# They take time that an emulated processor has not: 57 s, the reaper of file system snapshots alone.
MASKED = (
    "e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
    "fstrim.timer", "NetworkManager-wait-online.service", "systemd-networkd-wait-online.service", "getty.target",
    "serial-getty@.service",
)  # fmt: skip
SERVICES = ("networking", "NetworkManager", "systemd-networkd", "etcd")
INIT = "/usr/local/sbin/vm-init"
# What QEMU's console shows once the kernel has mounted its disk.
SEEDED = "vm-init: here"
_INIT_TEXT = f"""#!/bin/sh
# Process 1 for a moment: files of this very machine come on its second disk, before systemd reads its units.
echo '{SEEDED}' >/dev/console
[ -e /etc/vm-seeded ] || {{ tar -xf /dev/vdb -C / && : >/etc/vm-seeded; }}
exec /lib/systemd/systemd
"""
_INITRAMFS = "MODULES=list\nCOMPRESS=zstd\n"
_MODULES = "virtio_pci\nvirtio_blk\next4\n"
_PLACE_INITRAMFS = """
mkdir -p "$1/etc/initramfs-tools/conf.d"
mv "$1/vm.modules" "$1/etc/initramfs-tools/modules"
mv "$1/vm.conf" "$1/etc/initramfs-tools/conf.d/vm"
"""
_TRIM = f"""
chmod 755 "$1{INIT}"
rm -rf "$1"/etc/ssh/ssh_host_* "$1"/etc/network/interfaces "$1"/usr/share/doc/* "$1"/usr/share/locale/*
"""
_SIZE = "3G"  # sparse; 0.6 GB are used
_TIMEOUT = 1200  # seconds; 60 to 130 were measured

# The chroot is $1; a bind mount, in a namespace of its own, leaves out the /proc and /sys in it. What is there
# comes out as one tar with holes, which is also what is kept.
_PACK = f"""
unshare --mount sh -ec '
    mount --bind "$1" /mnt
    truncate -s {_SIZE} "$1.ext4"
    mkfs.ext4 -q -F -d /mnt "$1.ext4"
' sh "$1"
mkdir "$1/vm"
mv "$1.ext4" "$1/vm/disk.ext4"
cp "$1"/boot/vmlinuz-* "$1/vm/vmlinuz"
cp "$1"/boot/initrd.img-* "$1/vm/initrd.img"
tar --sparse -C "$1/vm" -cf "$1/vm.tar" disk.ext4 vmlinuz initrd.img
"""


@dataclass(frozen=True)
class Image:
    """A folder with the disk, the kernel and the first file system that it boots with."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.ext4"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"


def digest(suite: str) -> str:
    """Name the recipe: it changes with everything that goes into an image from this checkout."""
    recipe = (
        suite,
        PACKAGES,
        MASKED,
        SERVICES,
        _INIT_TEXT,
        _INITRAMFS,
        _PLACE_INITRAMFS,
        _MODULES,
        _TRIM,
        _SIZE,
        _PACK,
    )
    return f"{suite}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"


def ensure(images: Path, suite: str, say: Callable[[str], None]) -> Image:
    """Return the image of this release, built (or unpacked from $NODEWARD_CACHE) where it is not there.

    A build that is killed leaves a folder named .build-*, which the next one removes.
    """
    folder = images / digest(suite)
    with locked(images / ".lock", "the folder of images", timeout=_TIMEOUT + 60):
        if folder.is_dir():  # came by one rename
            return Image(folder)
        for remains in [*images.glob(".build-*"), *images.glob(f"{suite}-*")]:
            shutil.rmtree(remains)
        building = Path(tempfile.mkdtemp(prefix=".build-", dir=images))
        try:
            tar = _cached(suite) or _build(building, suite, say)
            say(f"image: unpacking {tar.name}")
            run(["tar", "--sparse", "-xf", str(tar), "-C", str(building)], timeout=_TIMEOUT)
            (building / "vm.tar").unlink(missing_ok=True)
            building.rename(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return Image(folder)


def _kept(suite: str) -> Path | None:
    folder = os.environ.get("NODEWARD_CACHE")
    return Path(folder) / f"vm-image-{digest(suite)}.tar" if folder else None


def _cached(suite: str) -> Path | None:
    tar = _kept(suite)
    return tar if tar and tar.exists() else None


def _build(folder: Path, suite: str, say: Callable[[str], None]) -> Path:
    say(f"image: building Debian {suite} with mmdebstrap (one or two minutes)")
    entries = apt.sources(suite)
    (folder / "sources.list").write_text(entries)
    for name, text in (("init", _INIT_TEXT), ("conf", _INITRAMFS), ("modules", _MODULES)):
        (folder / name).write_text(text)
    tar = folder / "vm.tar"
    units = '"$1"/etc/systemd/system'
    hooks = [
        ("essential", f"upload {folder}/conf /vm.conf"),
        ("essential", f"upload {folder}/modules /vm.modules"),
        ("essential", _PLACE_INITRAMFS),
        ("customize", f"upload {folder}/init {INIT}"),
        ("customize", _TRIM),
        ("customize", f"for unit in {' '.join(MASKED)}; do ln -sf /dev/null {units}/$unit; done"),
        ("customize", f"for unit in {' '.join(SERVICES)}; do rm -f {units}/*.wants/$unit.service; done"),
        ("customize", _PACK),
        ("customize", f"download vm.tar {tar}"),
    ]  # fmt: skip
    command = [
        "nice", "-n", "15", "setpriv", "--pdeathsig", "KILL",
        # in a PID namespace that ends with us, where we may make one
        *(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if os.geteuid() == 0 else []),
        "mmdebstrap", "--variant=minbase", "--format=null", f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in apt.options()),
        *(f"--{when}-hook={hook}" for when, hook in hooks),
        suite, "-", *([str(folder / "sources.list")] if entries else []),
    ]  # fmt: skip
    log = folder / "build.log"
    with log.open("w") as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=_TIMEOUT
        )
    if done.returncode != 0 or not tar.exists():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(f"mmdebstrap failed ({done.returncode}); can this machine install Debian packages?\n{tail}")
    kept = _kept(suite)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copyfile(tar, beside)
        beside.replace(kept)
    return tar
