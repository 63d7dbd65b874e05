"""The filter on system calls: a BPF program, built for one process, that refuses what `syscalls` does not list.

What is checked beyond the number: only threads may be cloned, signals go to the process itself, limits are its own,
unix socket pairs have no address to send to, `fcntl` and `ioctl` cannot make the kernel signal somebody else, and a
file opened for reading is never truncated by it. Other architectures' system calls end the process.
"""

import ctypes
import os
import struct
from enum import StrEnum

from parity.marking.sandbox.syscalls import AUDIT, FORKING, PLAIN, SECCOMP, STARTING, numbers

_LOAD, _EQUAL, _AT_LEAST, _ABOVE, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x06
_KILL, _ALLOW, _EPERM, _ENOSYS = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026
_NUMBER, _ARCHITECTURE = 0, 4
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000
_AF_UNIX = 1
_O_TRUNC, _O_ACCMODE = 0o1000, 0o3
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_OFD_* F_DUPFD_CLOEXEC; no owner, no signal.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)
# TCGETS FIONREAD FIONBIO FIONCLEX FIOCLEX
_IOCTL = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)
_SET_MODE_FILTER = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
# Stands for the process in a filter that is built before there is one.
ANY_PROCESS = 0x7AB1E0F5


class Kind(StrEnum):
    """What a process may do beyond the plain: nothing, become an interpreter, or start tools as well."""

    PYTHON = "python"
    INTERPRETER = "interpreter"
    SHELL = "shell"


def program(machine: str, own_pid: int, kind: Kind = Kind.PYTHON) -> bytes:
    """The filter as an array of struct sock_filter, for the process `own_pid`.

    Raises:
        KeyError: an architecture we have no table for.
    """
    known = numbers(machine)
    code = [_instruction(_LOAD, _ARCHITECTURE), _instruction(_EQUAL, AUDIT[machine], 1, 0), _returning(_KILL)]
    code += [_instruction(_LOAD, _NUMBER)]
    if machine == "x86_64":
        code += [_instruction(_AT_LEAST, _X32_BIT, 0, 1), _returning(_KILL)]
    allowed = PLAIN + (STARTING if kind is not Kind.PYTHON else ()) + (FORKING if kind is Kind.SHELL else ())
    for first, last in _ranges(sorted(known[name] for name in allowed if name in known)):
        code += [_instruction(_AT_LEAST, first, 0, 2), _instruction(_ABOVE, last, 1, 0), _returning(_ALLOW)]
    checked = {
        "clone": _if_bits(0, _CLONE_THREAD),
        "kill": _if_one_of(0, (own_pid,)),
        "tgkill": _if_one_of(0, (own_pid,)),
        "prlimit64": _if_one_of(0, (0, own_pid)),
        "fcntl": _if_one_of(1, _FCNTL),
        "ioctl": _if_one_of(1, _IOCTL),
        "socketpair": _if_one_of(0, (_AF_UNIX,)),
        "sendto": _if_zero(4),
        "open": _unless_truncating(1),
        "openat": _unless_truncating(2),
        "clone3": [_returning(_ENOSYS)],
    }
    for name, body in checked.items():
        if name in known and name not in allowed:
            code += _when(known[name], body)
    return b"".join([*code, _returning(_EPERM)])


def install(filter_: bytes, machine: str) -> None:
    """Put the filter on this process, for ever.

    Raises:
        OSError: the kernel refuses.
    """
    holder = ctypes.create_string_buffer(filter_, len(filter_))
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(filter_) // 8, ctypes.addressof(holder)))
    if _LIBC.syscall(ctypes.c_long(SECCOMP[machine]), ctypes.c_long(_SET_MODE_FILTER), ctypes.c_long(0), header):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def for_process(filter_: bytes, built_for: int, own_pid: int) -> bytes:
    """A filter built for one process, for another: building takes longer than all else."""
    return filter_.replace(struct.pack("<I", built_for), struct.pack("<I", own_pid))


def _ranges(numbers_: list[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as (first, last): the kernel walks the filter for every call when it is installed."""
    found: list[tuple[int, int]] = []
    for number in numbers_:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("@HBBI", code, if_true, if_false, value)


def _returning(value: int) -> bytes:
    return _instruction(_RETURN, value)


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """`body`, which always returns, for one system call."""
    return [_instruction(_EQUAL, number, 0, len(body)), *body]


def _argument(index: int, high: bool = False) -> bytes:
    """Load half of a 64-bit argument of struct seccomp_data (both architectures are little-endian)."""
    return _instruction(_LOAD, 16 + 8 * index + 4 * high)


def _if_one_of(index: int, values: tuple[int, ...]) -> list[bytes]:
    tests = [_instruction(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [_argument(index), *tests, _returning(_EPERM), _returning(_ALLOW)]


def _if_bits(index: int, bits: int) -> list[bytes]:
    return [_argument(index), _instruction(_ANY_BIT, bits, 0, 1), _returning(_ALLOW), _returning(_EPERM)]


def _if_zero(index: int) -> list[bytes]:
    return [
        _argument(index), _instruction(_EQUAL, 0, 0, 3),
        _argument(index, high=True), _instruction(_EQUAL, 0, 0, 1),
        _returning(_ALLOW), _returning(_EPERM),
    ]  # fmt: skip


def _unless_truncating(index: int) -> list[bytes]:
    """Landlock before ABI 3 does not see a file that is opened for reading and truncated by it."""
    return [
        _argument(index), _instruction(_AND, _O_TRUNC | _O_ACCMODE), _instruction(_EQUAL, _O_TRUNC, 0, 1),
        _returning(_EPERM), _returning(_ALLOW),
    ]  # fmt: skip
