"""The prepared parent: a small process that forks a confined pair for every check, and cleans up after it.

It makes an examiner and a candidate joined by a socket, and never sees a program, a test or an answer, so that nothing
of one check is left in the memory of the next. It lives as long as its control socket: when that closes, for whatever
reason, it kills what runs, empties the scratch folder and ends. Started by `Sandbox`, one for each check at a time.
"""

import fcntl
import gc
import importlib
import json
import os
import platform
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from parity.marking.sandbox import candidate, confinement, examiner, seccomp
from parity.marking.sandbox.exchange import Channel
from parity.marking.sandbox.interpreters import PATH

ANSWERS = 3
# What model-written code imports, so that a check need not.
PRELOADED = (
    "abc", "array", "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "enum", "functools", "heapq",
    "itertools", "math", "operator", "random", "re", "string", "typing",
)  # fmt: skip
# What cannot be imported later, where the library lies in a folder that is root's alone.
PRELOADED_WHERE_PRIVATE = (
    "asyncio", "base64", "calendar", "csv", "decimal", "difflib", "fractions", "hashlib", "inspect", "locale", "queue",
    "secrets", "statistics", "struct", "tempfile", "textwrap", "threading", "time", "traceback", "unicodedata",
    "unittest", "uuid", "zlib",
)  # fmt: skip
GRACE_S = 0.25
# How often a scratch folder on a disk is looked at, and the least that a name in it counts for.
WATCH_S, PAGE_BYTES = 0.02, 4096
# Of an interpreter: nothing of the machine's, and no configuration from outside.
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/", "TMPDIR": ".", "OPENSSL_CONF": "/dev/null"}


def main() -> None:
    """Confine this process, say what was had, and serve until the control socket closes."""
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["control"])
    root = Path(settings["root"])
    try:
        abi = confinement.check_base()
        namespaces = confinement.enter_namespaces() if settings["namespaces"] else ()
        _preload(PRELOADED)
        library = confinement.library_folder()
        private = "mount" in namespaces and confinement.private_scratch(root, library)
        _continue_as_child(control, settings["root"], private)
        if not private and os.getuid() == 0:
            _preload(PRELOADED_WHERE_PRIVATE)
        confinement.use_library(root / "library" if private else library)
        executables = sorted({path for paths in settings["executables"].values() for path in paths})
        confinement.confine_files(root, library, abi, private, tuple(map(Path, executables)))
        confinement.adopt_orphans()
        identity = confinement.drop_identity(root)
    except confinement.Refused as error:
        control.send(json.dumps({"refused": str(error)}).encode())
        return
    scratch = "in memory, private" if private else "a folder"
    found = {"landlock_abi": abi, "namespaces": namespaces, "identity": identity, "scratch": scratch}
    control.send(json.dumps(found).encode())
    _close_standard_streams()
    gc.collect()
    gc.freeze()
    filters = {kind: seccomp.program(platform.machine(), seccomp.ANY_PROCESS, kind) for kind in seccomp.Kind}
    base = _Base(str(root / "scratch"), abi, filters, not private)
    try:
        _serve(control, base)
    finally:
        _clear(base.scratch)


def _continue_as_child(control: socket.socket, root: str, private: bool) -> None:
    """Go on in a child, process 1 of a new pid namespace, with which all its processes end; what is left awaits that.

    It then removes the folder, which the child may not.
    """
    child = os.fork()
    if not child:
        return
    control.close()
    os.waitpid(child, 0)
    if private:
        confinement.unmount(root)
    for _ in range(100):
        try:
            _clear(root)
            break
        except OSError:  # the last processes are still ending
            time.sleep(0.01)
    os._exit(0)


def _preload(names: tuple[str, ...]) -> None:
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)


def _close_standard_streams() -> None:
    """Input and output are nothing; errors stay this process's own, for its last words."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    if nothing > 2:
        os.close(nothing)


@dataclass(frozen=True, slots=True)
class _Base:
    """What every check's processes are confined to."""

    scratch: str
    abi: int
    filters: dict[seccomp.Kind, bytes]
    watched: bool


def _serve(control: socket.socket, base: _Base) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 4096, 4)
        if not data:
            return
        order = json.loads(data)
        os.mkdir(base.scratch, 0o700)
        children = _fork_pair(descriptors[0], order, base)
        try:
            if base.watched:
                _watch(control, base.scratch, children[1])
            ended = control.recv(4096)  # the order to end, or nothing when Parity is gone
            grace_s = GRACE_S if ended == b"wait" else 0.0
        finally:
            statuses = [_end(child, grace_s) for child in children]
            _end_others(children)
            _clear(base.scratch)
        if not ended:
            return
        control.send(json.dumps(statuses).encode())


def _watch(control: socket.socket, scratch: str, writer: int) -> None:
    """Until Parity speaks: end a process that fills a scratch folder that has no size of its own."""
    while not select.select([control], [], [], WATCH_S)[0]:
        if _size(scratch, confinement.SCRATCH_BYTES) > confinement.SCRATCH_BYTES:
            with suppress(ProcessLookupError):
                os.killpg(writer, signal.SIGKILL)
            return


def _size(folder: str, enough: int) -> int:
    """Bytes of a folder and all in it, a file and a folder counting for a page at least; counted up to `enough`."""
    found = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found += PAGE_BYTES
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    found += _size(entry.path, enough)
                else:
                    found += entry.stat(follow_symlinks=False).st_blocks * 512
            if found > enough:
                break
    return found


def _fork_pair(job: int, order: dict[str, Any], base: "_Base") -> tuple[int, int]:
    """An examiner, joined to Parity by `job` and to a candidate by a socket of their own."""
    here, there = socket.socketpair()
    kind = seccomp.Kind(order["kind"])
    limits, filter_ = confinement.Bounds(order["limits"], kind), base.filters[kind]
    answer_bytes = int(order["limits"]["answer_bytes"])

    def examine() -> None:
        # It compares what the candidate sends, so it may work as long and take as much.
        os.setpgid(0, 0)
        confinement.lock_down(limits, None, base.abi, (job, here.fileno()), filter_)
        channel = Channel(job)
        asked = channel.receive()
        if kind is not seccomp.Kind.PYTHON:
            Channel(here.fileno()).send({"start": asked["answering"]})
            _become(asked["examining"], here.fileno(), job)
        channel.send({"nonce": asked["nonce"], **examiner.examine(asked, Channel(here.fileno(), answer_bytes))})

    def answer() -> None:
        os.setpgid(0, 0)
        os.chdir(base.scratch)
        os.dup2(there.fileno(), ANSWERS)
        confinement.lock_down(limits, base.scratch, base.abi, (ANSWERS,), filter_)
        if kind is not seccomp.Kind.PYTHON:
            _become(Channel(ANSWERS).receive()["start"], ANSWERS)
        candidate.serve(Channel(ANSWERS, answer_bytes))

    children = _fork(examine), _fork(answer)
    os.close(job)
    here.close()
    there.close()
    return children


def _become(start: list[Any], link: int, report: int | None = None) -> NoReturn:
    """Go on as another program: `link` becomes descriptor 3, `report` descriptor 4."""
    wanted = [link] if report is None else [link, report]
    # High first, so that neither overwrites the other.
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in wanted]
    for place, descriptor in enumerate(high, start=ANSWERS):
        os.dup2(descriptor, place)
    os.closerange(ANSWERS + len(wanted), max(high) + 1)
    path, arguments = start
    os.execve(path, arguments, ENVIRONMENT)


def _fork(work: Callable[[], None]) -> int:
    """A child that does its work and nothing of what comes after here, whatever happens in it."""
    child = os.fork()
    if not child:
        try:
            os.dup2(0, 2)
            random.seed(0)
            work()
        finally:
            os._exit(0)
    return child


def _end(child: int, grace_s: float) -> dict[str, float]:
    """Wait a moment for a process that is ending, then kill it; how it ended and the seconds it worked."""
    deadline = time.monotonic() + grace_s
    found = os.wait4(child, os.WNOHANG)
    while not found[0] and time.monotonic() < deadline:
        time.sleep(0.002)
        found = os.wait4(child, os.WNOHANG)
    by_itself = bool(found[0])
    if not by_itself:
        os.kill(child, signal.SIGKILL)
        found = os.wait4(child, 0)
    _, status, used = found
    return {"by_itself": by_itself, "status": os.waitstatus_to_exitcode(status), "cpu_s": used.ru_utime + used.ru_stime}


def _end_others(children: tuple[int, ...]) -> None:
    """End what the processes of a check started: all of it is in their groups, which they cannot leave."""
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _clear(folder: str) -> None:
    """Remove a folder and all in it, whatever its modes; links are removed, not followed. Nobody writes there now."""
    try:
        os.rmdir(folder)
        return
    except FileNotFoundError:
        return
    except OSError:
        os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _clear(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


if __name__ == "__main__":
    main()
