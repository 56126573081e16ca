"""The base of all nodes: Debian as mmdebstrap makes it, plus the files in rootfs/ beside this file."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.lab import apt
from tests.lab.host import LabError, locked, mounts, require, run

SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd",  # boots, and logins get their session and limits
    "openssh-server",
    "python3-minimal", "python3-apt",  # for Ansible's modules
    "iproute2", "iputils-ping", "kmod", "procps",
    "python3-pyroute2",  # what link_mtu is written on; see node.py for the node that lacks it
    # managers of links beside systemd's own; none runs until lab/manage says so
    "ifupdown", "network-manager", "netplan.io",
    "python3-yaml",  # for the kubelet's stand-in
    "etcd-server", "etcd-client",  # for the cluster of etcd.py, by units of its own
    "bird", "runit",  # BIRD as calico-node runs it, by lab-bird.service and not by the package's own
)  # fmt: skip
# debugfs and tracefs are the machine's own, and not read-only; the rest only takes time or log space.
MASKED = (
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount", "modprobe@.service", "console-getty.service", "getty.target",
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "dpkg-db-backup.timer",
    "bird.service", "bird6.service",
)  # fmt: skip
ENABLED = {
    "lab-kernel-limits.service": "sysinit.target.requires",
    "lab-tunnel.service": "multi-user.target.wants",
}
# eth0 is configured from outside, until a test hands it to a manager; a cluster of etcd is made on demand
DISABLED = (
    "networking.service", "NetworkManager.service", "NetworkManager-wait-online.service", "etcd.service",
)  # fmt: skip
ROOTFS = Path(__file__).with_name("rootfs")
_BUILD_TIMEOUT = 900  # seconds; 20 to 65 were measured, slow mirrors have been met


@dataclasses.dataclass(frozen=True)
class Image:
    """A finished image; build_id differs for every build, so that a node knows the base it stands on."""

    rootfs: Path
    build_id: str


def digest() -> str:
    """Name of the recipe: changes with everything that goes into an image from this checkout."""
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, MASKED, sorted(ENABLED.items()), DISABLED)).encode())
    for path in sorted(path for path in ROOTFS.rglob("*") if path.is_file()):
        executable = os.access(path, os.X_OK)
        recipe.update(f"\0{path.relative_to(ROOTFS)}\0{executable}\0".encode() + path.read_bytes())
    return recipe.hexdigest()[:12]


def find(images: Path) -> Image | None:
    """The finished image of this recipe in the folder `images`, if there is one."""
    folder = images / digest()
    try:  # build-id is in a folder from the moment it has its name: both came by one rename
        return Image(folder / "rootfs", (folder / "build-id").read_text().strip())
    except FileNotFoundError:
        return None


def ensure(images: Path, say: Callable[[str], None]) -> Image:
    """The image of this recipe, built (or unpacked from $NODEWARD_CACHE) when it is not there.

    A build that is killed leaves a folder named .build-*, which the next build removes.
    """
    images.mkdir(parents=True, exist_ok=True)
    with locked(images / ".lock", "the image folder", timeout=_BUILD_TIMEOUT + 60):
        if found := find(images):
            return found
        for remains in images.glob(".build-*"):
            shutil.rmtree(remains)
        folder = Path(tempfile.mkdtemp(prefix=".build-", dir=images))
        rootfs = folder / "rootfs"
        try:
            tar = _cache()
            if tar and tar.exists():
                say(f"image: unpacking {tar}")
                rootfs.mkdir()
                run(
                    [*_TAR, "--extract", "--file", str(tar), "--directory", str(rootfs)],
                    timeout=_BUILD_TIMEOUT,
                )
            else:
                say("image: building with mmdebstrap (about half a minute)")
                _build(rootfs, folder / "build.log")
                if tar:
                    _keep(rootfs, tar, say)
            rootfs.chmod(0o755)
            (folder / "build-id").write_text(uuid.uuid4().hex + "\n")
            folder.rename(images / digest())
            _prune(images)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    found = find(images)
    assert found is not None
    return found


_TAR = ("tar", "--numeric-owner", "--xattrs", "--xattrs-include=*")


def _prune(images: Path) -> None:
    """Remove the images of earlier recipes that no node stands on: a lab that was not up is made anew anyway."""
    used = " ".join(mount.options for mount in mounts() if mount.kind == "overlay")
    for folder in images.iterdir():
        if folder.is_dir() and folder.name != digest() and f"/{folder.name}/rootfs" not in used:
            remains = images / f".build-{folder.name}"
            folder.rename(remains)  # a removal that is killed must not leave half an image under a good name
            shutil.rmtree(remains)


def _cache() -> Path | None:
    folder = os.environ.get("NODEWARD_CACHE")
    return Path(folder) / f"lab-image-{digest()}.tar" if folder else None


def _keep(rootfs: Path, tar: Path, say: Callable[[str], None]) -> None:
    beside = tar.with_name(f".{tar.name}.{os.getpid()}")
    try:
        tar.parent.mkdir(parents=True, exist_ok=True)
        run(
            [*_TAR, "--create", "--file", str(beside), "--directory", str(rootfs), "."],
            timeout=_BUILD_TIMEOUT,
        )
        beside.replace(tar)
    except (OSError, LabError) as error:
        beside.unlink(missing_ok=True)
        say(f"image: not kept in NODEWARD_CACHE ({error}); only the next checkout is slower for it")


def _build(rootfs: Path, log: Path) -> None:
    """mmdebstrap in a PID namespace that ends with us: a killed build leaves no process behind."""
    require("mmdebstrap", "setpriv", "unshare")
    entries = apt.sources(SUITE)
    source_list = log.with_name("sources.list")
    source_list.write_text(entries)
    command = [
        "setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
        "mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in apt.options()),
        SUITE, str(rootfs), *([str(source_list)] if entries else []),
    ]  # fmt: skip
    try:
        with log.open("w") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=_BUILD_TIMEOUT,
            )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"mmdebstrap did not end within {_BUILD_TIMEOUT} s: is the package mirror slow?") from error
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(f"mmdebstrap failed ({done.returncode}); can this machine install Debian packages?\n{tail}")
    _customize(rootfs)


def _customize(rootfs: Path) -> None:
    shutil.copytree(ROOTFS, rootfs, dirs_exist_ok=True)
    units = rootfs / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    for unit, wanted_by in ENABLED.items():
        (units / wanted_by).mkdir(exist_ok=True)
        (units / wanted_by / unit).symlink_to(f"../{unit}")
    for unit in DISABLED:
        for folder in units.glob("*.wants"):
            (folder / unit).unlink(missing_ok=True)
    for key in (rootfs / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (rootfs / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    # No resolver that could keep anyone waiting: glibc then asks 127.0.0.1, which refuses at once.
    (rootfs / "etc/resolv.conf").write_text("")
    default = units / "default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")
