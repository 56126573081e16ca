# Private to the collection nodeward.calico: may change in any release.
"""I/O priorities of threads (ioprio_set(2)), for which the C library has no function.

IOPRIO_WHO_PROCESS means one thread, whatever its name says: `ionice -p` of a process reaches its first thread only.

This file is also what a timer runs on nodes where a container runtime starts etcd: it needs nothing but Python and
gives every thread of every etcd of the node's own network the HIGHEST priority.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

BEST_EFFORT = 2
_CLASS_SHIFT = 13
_WHO_PROCESS = 1

# A thread that nobody has set (class none); it follows its nice value.
NONE = 0
# Class best-effort, level 0.
HIGHEST = BEST_EFFORT << _CLASS_SHIFT

# (ioprio_set, ioprio_get) by the kernel's hardware name: arch/*/entry/syscalls/*.tbl, include/uapi/asm-generic/unistd.h
_CALLS = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
    "armv7l": (314, 315),
}


def get(thread: int, machine: str) -> int:
    """Return the priority of a thread, class and level in one number. Raises OSError."""
    return _call(machine, 1, _WHO_PROCESS, thread)


def put(thread: int, value: int, machine: str) -> None:
    """Set the priority of a thread. Raises OSError."""
    _call(machine, 0, _WHO_PROCESS, thread, value)


def is_known(machine: str) -> bool:
    """Tell whether the numbers of the two calls are known for this hardware."""
    return machine in _CALLS


def _call(machine: str, which: int, *arguments: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(_CALLS[machine][which], *(ctypes.c_long(each) for each in arguments)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"thread {arguments[1]}")
    return result


def main(program: str = "etcd") -> None:
    """Set what is not so yet; what ends in between needs nothing."""
    machine = os.uname().machine
    if not is_known(machine):
        sys.exit(f"the numbers of ioprio_set and ioprio_get are not known for {machine}")
    try:
        own = os.readlink("/proc/1/ns/net")
    except PermissionError:  # some containers; then what we run in stands for it
        own = os.readlink("/proc/self/ns/net")
    for pid in [entry for entry in os.listdir("/proc") if entry.isdigit()]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as stream:
                is_etcd = stream.read().strip() == program and os.readlink(f"/proc/{pid}/ns/net") == own
            for thread in os.listdir(f"/proc/{pid}/task") if is_etcd else ():
                if get(int(thread), machine) != HIGHEST:
                    put(int(thread), HIGHEST, machine)


if __name__ == "__main__":
    main()
