"""What a process is allowed: namespaces, identity, files, limits, system calls; each taken away for good.

Order matters: namespaces and mounts need rights that the identity gives up, Landlock forbids mounts, the filter on
system calls comes last. Knows the kernel's flags. Refuses to go on where Landlock or seccomp cannot be had.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from parity.marking.sandbox import landlock, seccomp
from parity.marking.sandbox.syscalls import AUDIT

_NEW = {"mount": 0x20000, "uts": 0x4000000, "ipc": 0x8000000, "net": 0x40000000, "pid": 0x20000000}
_NEW_USER = 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _SIGKILL = 1, 4, 36, 9
_CAPABILITY_VERSION = 0x20080522
# The range that systemd keeps for identities nobody owns.
_FIRST_IDENTITY, _IDENTITIES = 61184, 4000
_LIBC = ctypes.CDLL(None, use_errno=True)
# Others' packages are not shown: among them are benchmarks, with their answers.
_PACKAGES = ("site-packages", "dist-packages")
_NOTHING = Path("/dev/null")
ROOT_GIVEN_UP = "root given up"
SCRATCH_BYTES = 64 * 1024**2
# Of one check in a shell, threads included.
MOST_PROCESSES = 64


class Refused(Exception):
    """This machine cannot confine a process; the message says what is missing and what to do."""


def check_base() -> int:
    """Landlock's version, once it is sure that Landlock and seccomp are there.

    Raises:
        Refused: they are not.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in AUDIT:
        raise Refused(f"Model-written code is run on Linux on {' or '.join(AUDIT)} only, not {sys.platform} {machine}.")
    abi = landlock.version()
    if abi < 1:
        raise Refused(
            "This kernel has no Landlock, which keeps model-written code from your files. "
            "It needs Linux 5.13 or later with landlock in the lsm= list (CONFIG_LSM or the boot line)."
        )
    return abi


def enter_namespaces() -> tuple[str, ...]:
    """Leave the machine's namespaces for new ones, as many as can be had; a new pid namespace is for children."""
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        if not _try(lambda: _LIBC.unshare(_NEW_USER)):
            return ()
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text)
    had = ["user"] if uid != 0 else []
    return tuple(had + [name for name, flag in _NEW.items() if _try(partial(_LIBC.unshare, flag))])


def private_scratch(root: Path, library: Path) -> bool:
    """Put `root` into memory, seen in this process's namespace alone, the library under it; whether that worked."""
    size = f"size={SCRATCH_BYTES},mode=755".encode()
    flags = _MS_NOSUID | _MS_NODEV
    if not _try(lambda: _LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None)):
        return False
    if not _try(lambda: _LIBC.mount(b"tmpfs", bytes(root), b"tmpfs", flags, size)):
        return False
    for name in _PACKAGES:
        place = bytes(library / name)
        if (library / name).is_dir() and not _try(lambda: _LIBC.mount(b"tmpfs", place, b"tmpfs", flags, size)):  # noqa: B023
            return False
    (root / "library").mkdir()
    return _try(lambda: _LIBC.mount(bytes(library), bytes(root / "library"), None, _MS_BIND | _MS_REC, None))


def unmount(folder: str) -> None:
    _LIBC.umount2(folder.encode(), _MNT_DETACH)


def drop_identity(scratch: Path) -> str:
    """Become nobody if root, and give up every capability; what was done, in words.

    Raises:
        Refused: root could not be given up.
    """
    said = f"as user {os.getuid()}"
    if os.getuid() == 0:
        identity = _FIRST_IDENTITY + os.getppid() % _IDENTITIES
        os.chown(scratch, identity, identity)
        try:
            os.setgroups([])
            os.setresgid(identity, identity, identity)
            os.setresuid(identity, identity, identity)
        except OSError as error:
            raise Refused(f"Root could not be given up ({error}); start Parity as a plain user.") from error
        said = ROOT_GIVEN_UP
    if _LIBC.capset(struct.pack("<Ii", _CAPABILITY_VERSION, 0), b"\0" * 24):
        raise Refused("The kernel does not let this process give up its capabilities.")
    landlock.forbid_new_privileges()
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return said


def library_folder() -> Path:
    return Path(sysconfig.get_path("stdlib")).resolve()


def use_library(folder: Path) -> None:
    """Import from `folder` what used to come from the library's own place, site-packages left out."""
    real = str(library_folder())
    sys.path[:] = [str(folder), str(folder / "lib-dynload")]
    for module in tuple(sys.modules.values()):
        path = getattr(module, "__path__", None)
        if isinstance(path, list):
            path[:] = [str(folder) + entry[len(real) :] if entry.startswith(real) else entry for entry in path]
    sys.path_importer_cache.clear()
    # Looked for in vain, so that the folder is listed now: later it may only be read from.
    find_spec("parity_names_no_module_so")


def confine_files(
    root: Path, library: Path, abi: int, packages_hidden: bool, executables: tuple[Path, ...] = ()
) -> None:
    """From now on: read the standard library and what it loads, write under `root`, nothing else.

    `executables` may be read and executed, by processes whose filter on system calls lets them execute at all.
    Packages of others are left out one way or the other: with `packages_hidden` an empty folder is mounted over them.

    Raises:
        Refused: the kernel has Landlock but will not apply it.
    """
    everything = landlock.all_rights(abi)
    readable = [library] if packages_hidden else [path for path in library.iterdir() if path.name not in _PACKAGES]
    for pattern in ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "lib64", "usr/lib64", "usr/share/zoneinfo"):
        readable += Path("/").glob(pattern)
    readable += [path for path in (Path("/dev/urandom"), Path("/etc/ld.so.cache")) if path.exists()]
    rules = [landlock.Rule(path, landlock.READ) for path in readable]
    rules += [landlock.Rule(root, everything & ~landlock.EXECUTE)]
    rules += [landlock.Rule(_NOTHING, landlock.READ_FILE | landlock.WRITE_FILE)]
    loaders = [*Path("/").glob("lib64/ld-linux*"), *Path("/").glob("lib/ld-linux*")] if executables else []
    rules += [landlock.Rule(path, landlock.READ | landlock.EXECUTE) for path in (*executables, *loaders)]
    try:
        landlock.restrict(rules, everything, abi)
    except OSError as error:
        raise Refused(f"The kernel has Landlock but refuses to apply it ({error}).") from error


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may use: the numbers of `Limits`, and what kind of process it is."""

    limits: dict[str, float]
    kind: seccomp.Kind = seccomp.Kind.PYTHON

    def of(self, writes: bool) -> dict[int, float]:
        """The kernel's limits by number."""
        limits = self.limits
        # An engine that compiles sets aside far more addresses than memory: there what it writes to is counted.
        memory = resource.RLIMIT_AS if self.kind is seccomp.Kind.PYTHON else resource.RLIMIT_DATA
        found: dict[int, float] = {
            resource.RLIMIT_CPU: limits["cpu_s"],
            memory: limits["memory_bytes"],
            resource.RLIMIT_FSIZE: limits["file_bytes"] if writes else 0,
            resource.RLIMIT_NOFILE: limits["open_files"],
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_MEMLOCK: 0,
            resource.RLIMIT_MSGQUEUE: 0,
        }
        return {**found, resource.RLIMIT_NPROC: MOST_PROCESSES} if self.kind is seccomp.Kind.SHELL else found


def adopt_orphans() -> None:
    """Processes whose parents end become children of this one, so that it can wait for them."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def lock_down(limits: Bounds, scratch: str | None, abi: int, keep: tuple[int, ...], filter_: bytes) -> None:
    """The last step, in the process that will run foreign code: descriptors, limits, files, system calls.

    `scratch` is the one folder it may write to, none if it may not write at all; `keep` are the descriptors it needs.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    low = 3
    for descriptor in sorted(keep):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 1 << 20)
    os.umask(0o077)
    if scratch:
        write = landlock.all_rights(abi) & ~(landlock.READ | landlock.EXECUTE)
        rules = [landlock.Rule(Path(scratch), write), landlock.Rule(_NOTHING, landlock.WRITE_FILE)]
        landlock.restrict(rules, write, abi)
    for which, value in limits.of(scratch is not None).items():
        hard = resource.getrlimit(which)[1]
        ceiling = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(which, (ceiling, ceiling))
    seccomp.install(seccomp.for_process(filter_, seccomp.ANY_PROCESS, os.getpid()), platform.machine())


def _try(call: Callable[[], int]) -> bool:
    return call() == 0
