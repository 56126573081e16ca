"""The kernel's own numbers, against what was read in its sources and measured."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node import kernel_pids
from ansible_collections.nodeward.calico.plugins.module_utils._node.kernel_pids import PID_MAX, THREADS_MAX, Machine

GIB = 2**30


def x86(cpus: int = 4, memory: int = 16 * GIB) -> Machine:
    return Machine("x86_64", cpus, memory, 4096)


I686 = Machine("i686", 2, 2 * GIB, 4096)
ARM_64K = Machine("aarch64", 4, 16 * GIB, 65536)

BOUNDS = [
    ("pid_max, few processors", x86(2), PID_MAX, (301, 4194304)),
    ("pid_max, the first machine whose processors count", x86(38), PID_MAX, (304, 4194304)),
    ("pid_max, many processors", x86(512), PID_MAX, (4096, 4194304)),
    ("pid_max, 32 bits", I686, PID_MAX, (301, 32768)),
    ("threads-max", x86(), THREADS_MAX, (1, 0x3FFFFFFF)),
    ("threads-max, 32 bits", I686, THREADS_MAX, (1, 0x3FFFFFFF)),
]


@pytest.mark.parametrize(("machine", "name", "bounds"), [c[1:] for c in BOUNDS], ids=[c[0] for c in BOUNDS])
def test_bounds(machine, name, bounds):
    assert kernel_pids.bounds(machine, name) == bounds


DEFAULTS = [
    ("pid_max, few processors", x86(2), PID_MAX, 32768),
    ("pid_max, 32 processors", x86(32), PID_MAX, 32768),
    ("pid_max, 48 processors (incident B)", x86(48), PID_MAX, 49152),
    ("pid_max, more than the largest", x86(8192), PID_MAX, 4194304),
    ("pid_max, 32 bits", Machine("armv7l", 64, GIB, 4096), PID_MAX, 32768),
    ("threads-max, 8 GiB: about 65 thousand", x86(memory=8 * GIB), THREADS_MAX, 64880),
    ("threads-max, not above the 192731 measured", x86(memory=24684100 * 1024), THREADS_MAX, 190915),
    ("threads-max, 32 bits: stacks of 8 KiB", I686, THREADS_MAX, 32440),
    ("threads-max, pages of 64 KiB", ARM_64K, THREADS_MAX, 32440),
]


@pytest.mark.parametrize(("machine", "name", "value"), [c[1:] for c in DEFAULTS], ids=[c[0] for c in DEFAULTS])
def test_defaults(machine, name, value):
    assert kernel_pids.default(machine, name) == value


FITS = [
    ("16 GiB", x86(), 262144),  # half of the memory, 32 KiB a thread
    ("2 GiB, 32 bits", I686, 65536),
    ("pages of 64 KiB", ARM_64K, 65536),
]


@pytest.mark.parametrize(("machine", "threads"), [c[1:] for c in FITS], ids=[c[0] for c in FITS])
def test_threads_that_fit(machine, threads):
    assert kernel_pids.threads_that_fit(machine) == threads


@pytest.mark.parametrize("name", ["x86_64", "aarch64", "ppc64le", "riscv64", "s390x", "loongarch64"])
def test_64_bit_machines(name):
    assert Machine(name, 1, GIB, 4096).is_64_bit


@pytest.mark.parametrize("name", ["i686", "armv7l", "armv8l", "ppc", "s390"])
def test_32_bit_machines(name):
    assert not Machine(name, 1, GIB, 4096).is_64_bit
