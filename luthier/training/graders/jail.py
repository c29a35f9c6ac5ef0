"""The child that runs a stranger's `grade`: locks itself in, then answers a line for each sample. Stands alone.

Run as `python -I -S jail.py` with an empty environment; imports nothing of Luthier's and nothing installed. Reads one
JSON object from standard input, then gives up, for good and before the stranger's first line runs:

- network: a namespace of its own where the system permits one; and no system call that makes a socket
- processes: no system call that starts, signals, traces or looks into one (threads count as such)
- files: Landlock leaves reading Python's own library and nothing else; no file can grow
- memory, processor seconds, open files: resource limits

The system calls that are left are a list of what Python needs to compute; all others fail with EPERM (seccomp).
Not contained: what `grade` says of a sample is believed; it can burn its processor seconds and fill its memory; a fault
in the kernel's own handling of the calls that are left.
"""

import ctypes
import json
import math
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any

# Imported now, since the libraries behind some of them cannot be opened later.
PRELOADED = (
    *("ast", "collections", "datetime", "decimal", "difflib", "fractions", "functools", "hashlib", "heapq", "html"),
    *("itertools", "numbers", "operator", "random", "re", "statistics", "string", "textwrap", "unicodedata", "zlib"),
)

CALLS = {  # name: (x86_64, aarch64), -1 where there is none
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, -1),
    "close": (3, 57),
    "stat": (4, -1),
    "fstat": (5, 80),
    "lstat": (6, -1),
    "poll": (7, -1),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "ioctl": (16, 29),
    "pread64": (17, 67),
    "readv": (19, 65),
    "access": (21, -1),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "readlink": (89, -1),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "openat": (257, 56),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of CALLS, the kernel's name of the machine
LIBC = ctypes.CDLL(None, use_errno=True)
Json = dict[str, Any]


def main() -> None:
    """Read what to do, lock up, grade. What is answered first is which fences stand."""
    told = json.loads(sys.stdin.buffer.read())
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    for name in PRELOADED:
        __import__(name)
    fences = lock(told["memory"], told["seconds"], [path for path in sys.path if os.path.isdir(path)])
    tell(answers, {"fences": fences})
    if not told["unfenced"] and not all(fences.values()):
        return
    space: Json = {"__name__": "grader"}
    try:
        exec(compile(told["source"], "grader", "exec"), space)
        grade = space["grade"]
    except BaseException as error:  # noqa: BLE001 - whatever the stranger does is theirs
        tell(answers, {"broken": said(error)})
        return
    for each in told["samples"]:
        tell(answers, mark(grade, each["sample"], each["item"]))


def mark(grade: Callable[[Json, Json], Any], sample: Json, item: Json) -> Json:
    """What `grade` says of one sample."""
    try:
        score = float(grade(sample, item))
    except BaseException as error:  # noqa: BLE001
        return {"fault": said(error)}
    return {"score": score} if math.isfinite(score) else {"fault": f"grade returned {score}"}


def said(error: BaseException) -> str:
    """An error in one short line."""
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # noqa: BLE001 - the stranger's own __str__
        return type(error).__name__[:300]


def tell(answers: int, what: Json) -> None:
    """One line to the parent."""
    os.write(answers, json.dumps(what).encode() + b"\n")


def lock(memory: int, seconds: int, readable: list[str]) -> dict[str, bool]:
    """Give up what is not needed; which fences stand. `memory` in bytes."""
    limits = {"AS": memory, "CPU": seconds, "FSIZE": 0, "NOFILE": 64, "NPROC": 0, "CORE": 0, "MEMLOCK": 0}
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    if sys.platform != "linux":
        return {"files": False, "network": False, "processes": False}
    LIBC.unshare(0x10000000 | 0x40000000)  # a user and a network of its own, where that is permitted
    LIBC.prctl(38, 1, 0, 0, 0)  # no new privileges, ever
    files = landlock(readable)
    calls = seccomp()
    return {"files": files, "network": calls, "processes": calls}


def landlock(readable: list[str]) -> bool:
    """Leave reading below `readable` and no other way to a file. False where the kernel has no Landlock."""
    abi = LIBC.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return False
    files = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
    attributes = struct.pack("<QQQ", files, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = LIBC.syscall(444, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if rules < 0:
        return False
    for path in readable:
        place = os.open(path, os.O_PATH | os.O_DIRECTORY)
        rule = struct.pack("<Qi", (1 << 2) | (1 << 3), place)  # read files, list folders
        if LIBC.syscall(445, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0)):
            return False
        os.close(place)
    locked: bool = LIBC.syscall(446, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0
    os.close(rules)
    return locked


def seccomp() -> bool:
    """Leave `CALLS` and no other system call. False on a machine or kernel that this is not written for."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return False
    column, machine = MACHINES[platform.machine()]

    def step(code: int, true: int, false: int, value: int) -> bytes:
        return struct.pack("<HBBI", code, true, false, value)

    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050001, 0x80000000  # refuse: EPERM
    program = [step(load, 0, 0, 4), step(equal, 1, 0, machine), step(answer, 0, 0, kill), step(load, 0, 0, 0)]
    for numbers in CALLS.values():
        if numbers[column] >= 0:
            program += [step(equal, 0, 1, numbers[column]), step(answer, 0, 0, allow)]
    program.append(step(answer, 0, 0, refuse))
    code = ctypes.create_string_buffer(b"".join(program))
    whole = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code))
    return bool(LIBC.prctl(22, 2, whole, 0, 0) == 0)


if __name__ == "__main__":
    main()
