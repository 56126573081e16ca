# Private to the collection nodeward.calico: may change in any release.
"""What the kernel accepts for kernel.pid_max and kernel.threads-max, and what it sets by itself."""

from __future__ import annotations

from dataclasses import dataclass

from .._core.host import Host

PID_MAX = "kernel.pid_max"
THREADS_MAX = "kernel.threads-max"
PARAMETERS = (PID_MAX, THREADS_MAX)


@dataclass(frozen=True)
class Machine:
    """``memory`` and ``page_size`` in bytes; ``name`` as ``uname -m`` prints it."""

    name: str
    possible_cpus: int
    memory: int
    page_size: int

    @property
    def is_64_bit(self) -> bool:
        return "64" in self.name or self.name == "s390x"

    @property
    def stack(self) -> int:
        """THREAD_SIZE in bytes: 16 KiB on 64 bits (a page where pages are larger), 8 KiB on 32."""
        return max(16384 if self.is_64_bit else 8192, self.page_size)


def bounds(machine: Machine, parameter: str) -> tuple[int, int]:
    """Return the smallest and the largest value that the kernel accepts; all others are EINVAL.

    Sources: kernel/pid.c pid_idr_init and include/linux/threads.h PID_MAX_LIMIT for pid_max;
    Documentation/admin-guide/sysctl/kernel.rst "threads-max" (FUTEX_TID_MASK).
    """
    if parameter == THREADS_MAX:
        return 1, 0x3FFFFFFF
    return max(301, 8 * machine.possible_cpus), 4194304 if machine.is_64_bit else 32768


def default(machine: Machine, parameter: str) -> int:
    """Return what the kernel sets at boot at least (kernel/pid.c pid_idr_init; kernel/fork.c set_max_threads).

    threads-max comes from the memory at that moment, a little less than what is told later: 192731 where
    the formula gives 192844 (Linux 6.18, 24 GiB), hence one per cent off.
    """
    if parameter == THREADS_MAX:
        return machine.memory // (8 * machine.stack) * 99 // 100
    return min(bounds(machine, PID_MAX)[1], max(32768, 1024 * machine.possible_cpus))


def threads_that_fit(machine: Machine) -> int:
    """Return how many threads may be allowed before idle ones alone take half of the memory.

    Measured on Linux 6.18 (x86_64): 20,000 idle threads took 640,000 kB, half of it kernel stacks.
    """
    return machine.memory // 2 // (2 * machine.stack)


def observe(host: Host) -> Machine:
    """Read what the kernel's own bounds and defaults follow from."""
    return Machine(
        name=host.machine(),
        possible_cpus=_count(host.read_text("/sys/devices/system/cpu/possible") or "0"),
        memory=_memory(host.read_text("/proc/meminfo") or ""),
        page_size=host.page_size(),
    )


def _count(ranges: str) -> int:
    """Count '0-3,8' as 5."""
    bounds = (part.split("-") for part in ranges.strip().split(","))
    return sum(int(bound[-1]) - int(bound[0]) + 1 for bound in bounds)


def _memory(meminfo: str) -> int:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
