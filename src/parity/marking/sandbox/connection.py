"""One prepared process of the sandbox, seen from outside: started, asked for one check at a time, ended.

Knows what is said to it and what its silence means. Refuses to know of others like it (`pool.py`).
"""

import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parity.errors import SandboxError
from parity.marking.sandbox import interpreters
from parity.marking.sandbox.exchange import Channel, Ended, Malformed, NotPlain
from parity.marking.sandbox.seccomp import Kind
from parity.marking.sandbox.verdicts import Case, Isolation, Limits, Outcome, Verdict

START_S = 30.0
END_S = 10.0
# The kernel ends a process a little before or after its limit.
_NEARLY, _KILLED = 0.95, 0.5
_PREFIX = "parity-sandbox-"
# An examiner that crashes did so over what it was sent; one that is killed may be a victim of others' memory.
_CRASHES = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL)
# The packages above are made empty instead of loaded: every module more in the server is copied with every fork.
_START = """
import sys, types
for name in ("parity", "parity.marking", "parity.marking.sandbox"):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = ["/".join([sys.argv[2], *name.split(".")])]
from parity.marking.sandbox.server import main
main()
"""


class ServerGone(Exception):
    """The server process ended by itself."""


class Server:
    """One prepared parent process and its scratch folder; makes one check at a time."""

    def __init__(self, namespaces: bool) -> None:
        self._root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_scratch_parent()))
        self._root.chmod(0o755)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(START_S)
        with theirs:
            self._process = _start(self._root, theirs.fileno(), namespaces)
        found = self._greeting()
        if "landlock_abi" not in found:
            problem = found.get("refused") or self.last_words()
            self.close()
            raise SandboxError(
                f"Model-written code cannot be run safely here: {problem}",
                "Nothing was run. Use a machine where it can be, or leave benchmarks of code out.",
            )
        self.isolation = Isolation(
            int(found["landlock_abi"]), tuple(found["namespaces"]), found["identity"], found["scratch"]
        )

    def check(self, case: Case) -> Verdict:
        """Run one check.

        Raises:
            ServerGone: the server ended by itself, so nothing is known.
        """
        mine, theirs = socket.socketpair()
        with mine:
            with theirs:
                try:
                    order = json.dumps({"limits": asdict(case.limits), "kind": _kind(case.language)}).encode()
                    socket.send_fds(self._control, [order], [theirs.fileno()])
                except OSError as error:
                    raise ServerGone from error
            said = _ask(mine, case)
            return self._settled(case, said)

    def close(self) -> None:
        """End the server; it ends its children and empties its scratch folder first."""
        self._control.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _settled(self, case: Case, said: Verdict | None) -> Verdict:
        """What the examiner said, or what the ends of the processes say instead."""
        self._control.settimeout(END_S)
        try:
            self._control.send(b"wait" if said and said.outcome is Outcome.ENDED else b"end")
            examining, answering = json.loads(self._control.recv(4096) or b"null")
        except (OSError, TypeError) as error:
            raise ServerGone from error
        if said is not None and said.outcome is not Outcome.ENDED:
            return said
        if said is None:
            return _without_word(case.limits, examining, answering)
        if _worked_too_long(case.limits, answering):
            return Verdict(Outcome.TIMED_OUT, f"{case.limits.cpu_s} s of work")
        how = f"status {answering['status']}" if answering["by_itself"] else "it closed the connection"
        return Verdict(Outcome.ENDED, how, said.held_objects)

    def _greeting(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._control.recv(1 << 16) or b"{}")
        except OSError:
            return {}
        return found

    def last_words(self) -> str:
        """End the process; the last line it wrote about itself."""
        self._process.kill()
        _, words = self._process.communicate()
        return "it ended with: " + words.decode(errors="replace").strip().rsplit("\n", 1)[-1][:300]


def _scratch_parent() -> str:
    """A folder for temporary files that one can also enter once root is given up.

    Raises:
        SandboxError: there is none.
    """
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(name).resolve()
        if os.getuid() or all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents)):
            return str(folder)
    raise SandboxError("No temporary folder can be entered by users other than root.", "Set TMPDIR to one that can be.")


def _start(root: Path, control: int, namespaces: bool) -> "subprocess.Popen[bytes]":
    settings = json.dumps(
        {
            "root": str(root),
            "control": control,
            "namespaces": namespaces,
            "executables": interpreters.executables(),
        }
    )
    source = str(Path(__file__).resolve().parents[3])
    return subprocess.Popen(
        # -I -S: no environment, no site-packages, no folder of the user's.
        [sys.executable, "-I", "-S", "-B", "-c", _START, settings, source],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[control],
        env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )


def _worked_too_long(limits: Limits, ended: dict[str, float]) -> bool:
    """Whether a process met its limit of work. The kernel kills by coarser ticks than it reports."""
    killed = ended["by_itself"] and ended["status"] in (-signal.SIGKILL, -signal.SIGXCPU)
    return ended["cpu_s"] >= (_KILLED if killed else _NEARLY) * limits.cpu_s


def _without_word(limits: Limits, examining: dict[str, float], answering: dict[str, float]) -> Verdict:
    """What it means that the examiner said nothing, from how the two processes ended."""
    if _worked_too_long(limits, answering):
        return Verdict(Outcome.TIMED_OUT, f"{limits.cpu_s} s of work")
    if not examining["by_itself"]:
        return Verdict(Outcome.TIMED_OUT, f"{limits.wall_s:g} s")
    if _worked_too_long(limits, examining):
        return Verdict(Outcome.NOT_PLAIN, "an answer that takes too long to check")
    if examining["status"] in _CRASHES:
        return Verdict(Outcome.NOT_PLAIN, "an answer that crashes what compares it")
    return Verdict(Outcome.NO_VERDICT, f"the examiner ended with status {examining['status']}")


def _ask(mine: socket.socket, case: Case) -> Verdict | None:
    """Send the job and read the verdict; None when none came in time, or ever."""
    wait = struct.pack("@ll", int(case.limits.wall_s), int(case.limits.wall_s % 1 * 1_000_000))
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
    nonce = secrets.token_hex(8)
    channel = Channel(mine.fileno())
    try:
        channel.send(_job(case, nonce))
        answer = channel.receive()
    except (Ended, Malformed):
        return None
    except NotPlain as error:
        return Verdict(Outcome.BROKEN, f"the program is too long: {error}")
    if answer.get("nonce") != nonce:
        return None
    # Part of it may be the program's words: nothing in them moves a cursor.
    detail = "".join(letter if letter.isprintable() else " " for letter in answer["detail"])
    return Verdict(Outcome(answer["outcome"]), detail, answer["held_objects"])


def _kind(language: str) -> Kind:
    if language == "python":
        return Kind.PYTHON
    return Kind.SHELL if interpreters.KNOWN[language].starts_tools else Kind.INTERPRETER


def _job(case: Case, nonce: str) -> dict[str, object]:
    """What the examiner is told, as it goes over."""
    if case.language == "python":
        return {
            "nonce": nonce,
            "program": case.program,
            "test": case.test,
            "entry": case.entry,
            "setup": case.setup,
            "mutates": case.mutates,
        }
    if interpreters.too_long(case.program, case.test):
        raise NotPlain("more than an interpreter can be handed")
    examining = interpreters.examining(case.language, nonce, case.entry, case.test)
    answering = interpreters.answering(case.language, case.program, case.entry)
    starts = {"examining": examining, "answering": answering}
    return {"nonce": nonce, **{role: [start.path, start.arguments] for role, start in starts.items()}}
