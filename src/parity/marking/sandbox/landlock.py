"""Landlock by its three system calls: which files a process may touch, whoever it is.

Knows the kernel's flags and which version brought them. Refuses to know which folders are worth allowing. Rights add up
within one ruleset; every further ruleset can only take away.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_LIBC = ctypes.CDLL(None, use_errno=True)
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_ALL_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
READ = READ_FILE | READ_DIR
# Rights that make sense for a single file.
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed for a path and all that is beneath it."""

    path: Path
    rights: int


def version() -> int:
    """The kernel's Landlock version, or 0 where there is none."""
    found = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return max(0, found)


def all_rights(abi: int) -> int:
    """Every right on files that this version can take away."""
    return sum(rights for since, rights in _ALL_SINCE.items() if since <= abi)


def restrict(rules: Iterable[Rule], handled: int, abi: int) -> None:
    """Take the `handled` rights away from this process for ever, except what a rule allows; TCP and signals too.

    Raises:
        OSError: the kernel refuses, or a path is not there.
    """
    # TCP bind and connect from version 4, abstract unix sockets and signals from version 6: nothing is allowed back.
    attributes = struct.pack("<QQQ", handled, 3, 3)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _checked(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for rule in rules:
            place = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
            try:
                rights = rule.rights & handled if rule.path.is_dir() else rule.rights & handled & _FILE_RIGHTS
                if rights:
                    _checked(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
            finally:
                os.close(place)
        forbid_new_privileges()
        _checked(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def forbid_new_privileges() -> None:
    """No program this process starts can gain rights; without it a plain user may not restrict himself."""
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _call(number: int, *arguments: bytes | int | None) -> int:
    made = [ctypes.c_long(value) if isinstance(value, int) else ctypes.c_char_p(value) for value in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *made))


def _checked(number: int, *arguments: bytes | int | None) -> int:
    found = _call(number, *arguments)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return found
