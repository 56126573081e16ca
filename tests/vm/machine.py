"""One virtual machine: a process of QEMU that nobody waits for, found and ended by its own name and pid."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.host import LabError
from tests.vm.image import INIT, SEEDED, Image

MEMORY = 512  # MB
TCG = ("-accel", "tcg,thread=multi", "-cpu", "max")
KVM = ("-accel", "kvm", "-cpu", "host")
_PROBE = 20  # seconds; an emulated processor needs 10 to the same point


@dataclass(frozen=True)
class Links:
    """eth0 is the uplink, a segment that all machines with this group hear; eth1 leads to this machine's port."""

    group: str
    port: int
    mac: str

    @property
    def arguments(self) -> list[str]:
        uplink = f"socket,id=uplink,mcast={self.group},localaddr=127.0.0.1"
        ssh = f"user,id=ssh,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        return [
            "-netdev", uplink, "-device", f"virtio-net-pci,netdev=uplink,mac={self.mac},romfile=",
            "-netdev", ssh, "-device", "virtio-net-pci,netdev=ssh,romfile=",
        ]  # fmt: skip


def start(name: str, image: Image, console: Path, accelerator: tuple[str, ...], *more: str) -> None:
    """Start QEMU; it keeps what the machine writes in a file that has no name and ends with it.

    A reboot of the machine keeps its disk, since the process stays.
    """
    disk = f"file={image.disk},format=raw,if=virtio,snapshot=on,cache=unsafe"
    # A processor that others use is no sign that the kernel hangs, nor that a timer is not connected: one of ten boots
    # on a busy machine ended at that check, and one with its processor halted for want of a timer's interrupt. So
    # nothing is checked, and ticks come by themselves.
    patient = "nosoftlockup rcupdate.rcu_cpu_stall_suppress=1 no_timer_check nohz=off highres=off"
    # udev would kill what takes a device more than 180 s. threads-max follows from MemTotal, which may differ where
    # the kernel lies elsewhere at each boot.
    steady = "udev.event_timeout=900 nokaslr"
    kernel = f"root=/dev/vda rw console=ttyS0 init={INIT} net.ifnames=0 quiet {patient} {steady}"
    command = [
        "nice", "-n", "15", "qemu-system-x86_64", "-name", name, "-daemonize",
        "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", *accelerator,
        "-m", str(MEMORY), "-smp", "1", "-device", "virtio-rng-pci", "-serial", f"file:{console}",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", kernel, "-drive", disk, *more,
    ]  # fmt: skip
    console.parent.mkdir(parents=True, exist_ok=True)
    console.write_text("")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise LabError(f"{name}: QEMU did not start: {done.stderr.strip()[-500:]}")


def running(name: str) -> process.Process | None:
    """Return QEMU's process for a machine, None where there is none."""
    return next(iter(process.with_argument(name)), None)


def end(names: str) -> None:
    """End the machines whose name matches: at once, as nothing of their disks is kept."""
    process.end(lambda: process.with_argument(names), grace=2)


def accelerator(name: str, image: Image, folder: Path) -> tuple[str, ...]:
    """Return KVM where a machine was seen to boot with it, else TCG; what was seen once is kept in ``folder``."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    seen = folder / f"accelerator-{os.uname().release}"
    if not seen.exists():
        seen.write_text("kvm\n" if _boots(name, image, folder / "probe.log") else "tcg\n")
    return KVM if seen.read_text() == "kvm\n" else TCG


def _boots(name: str, image: Image, console: Path) -> bool:
    """Tell whether a guest gets as far as its disk: a device that opens says nothing."""
    deadline = time.monotonic() + _PROBE
    try:
        with contextlib.suppress(LabError):  # QEMU itself may refuse: then nothing boots
            start(name, image, console, KVM)
        while running(name) and time.monotonic() < deadline:
            if SEEDED in console.read_text(errors="replace"):
                return True
            time.sleep(0.2)
        return False
    finally:
        end(name)
        console.unlink(missing_ok=True)
