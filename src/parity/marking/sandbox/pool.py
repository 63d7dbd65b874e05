"""Sandbox: checks programs, several at once, each in processes of its own that nothing outlives.

A server that dies is replaced and its check repeated once; only what a program did to itself is a failed check.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, LifoQueue
from typing import Self

from parity.errors import SandboxError
from parity.marking.sandbox import interpreters
from parity.marking.sandbox.confinement import ROOT_GIVEN_UP
from parity.marking.sandbox.connection import Server, ServerGone
from parity.marking.sandbox.verdicts import Case, Outcome, Verdict


class Sandbox:
    """Checks programs in `workers` servers at once, twice as many as there are cores if not given: they also wait.

    `namespaces` False leaves them out, as on a machine that has none. Use it as a context, or close it.

    Raises:
        SandboxError: Landlock or seccomp cannot be had, or a check that must fail here did not.
    """

    def __init__(self, workers: int | None = None, namespaces: bool = True) -> None:
        self._namespaces = namespaces
        self._workers = workers or 2 * len(os.sched_getaffinity(0))
        self._idle: LifoQueue[Server] = LifoQueue()
        first = Server(namespaces)
        self._idle.put(first)
        self.isolation = first.isolation
        self._threads = ThreadPoolExecutor(self._workers, "parity-sandbox")
        self._servers = [first]
        try:
            self._try_canaries()
        except BaseException:
            self.close()
            raise

    def check(self, case: Case) -> Verdict:
        """The verdict on one case. Thread-safe."""
        return next(self.check_all([case]))

    def check_all(self, cases: Iterable[Case]) -> Iterator[Verdict]:
        """The verdict on every case, in their order, several at a time.

        Raises:
            SandboxError: a language cannot be run here (see `require`).
        """
        cases = list(cases)
        for language in dict.fromkeys(case.language for case in cases):
            self.require(language)
        return self._threads.map(self._check, cases)

    def require(self, language: str) -> None:
        """Refuse a language that cannot be run here.

        Raises:
            SandboxError: it has no interpreter here, is none of those known, or cannot be confined.
        """
        if language == "python":
            return
        if language not in interpreters.KNOWN:
            raise SandboxError(
                f"Programs in {language!r} are not run.", f"Known are python, {', '.join(interpreters.KNOWN)}."
            )
        command = interpreters.KNOWN[language].command
        if interpreters.path_of(language) is None:
            raise SandboxError(
                f"There is no {command} in {interpreters.PATH}, which runs programs in {language!r}.",
                f"Install {command} with the system's package manager.",
            )
        shared = self.isolation.identity != ROOT_GIVEN_UP and "user" not in self.isolation.namespaces
        if interpreters.KNOWN[language].starts_tools and shared:
            raise SandboxError(
                f"Programs in {language!r} start processes, which cannot be counted apart from yours here.",
                "Allow user namespaces (sysctl user.max_user_namespaces), or run this in a container as root.",
            )

    def close(self) -> None:
        """End every process and remove every scratch folder."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for server in self._servers:
            server.close()
        self._servers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, case: Case) -> Verdict:
        words = ""
        for _ in range(2):
            server = self._borrow()
            try:
                verdict = server.check(case)
            except ServerGone:
                self._servers.remove(server)
                words = server.last_words()
                server.close()
                continue
            self._idle.put(server)
            return verdict
        return Verdict(Outcome.NO_VERDICT, f"the sandbox's own process ended twice; {words}")

    def _borrow(self) -> Server:
        """An idle server, or a new one: there are never more than threads that ask."""
        with suppress(Empty):
            return self._idle.get_nowait()
        server = Server(self._namespaces)
        self._servers.append(server)
        return server

    def _try_canaries(self) -> None:
        """What must be impossible is tried before anything foreign is run."""
        for name, program in CANARIES.items():
            verdict = self.check(Case(program, "assert escape() == False", "escape"))
            if not verdict.passed:
                raise SandboxError(
                    f"The sandbox does not hold: {name} ({verdict.reason}).",
                    "Nothing was run. Please report this with the output of uname -a.",
                )


def _canary(attempt: str) -> str:
    lines = ("def escape():", " import os, socket", " try:", f"  {attempt}", " except OSError:", "  return False")
    return "\n".join([*lines, " return True"])


CANARIES = {
    "a socket was opened": _canary("socket.socket()"),
    "a process was started": _canary("os.fork() or os._exit(0)"),
    "a file outside was read": _canary("open('/etc/passwd').read()"),
    "a file outside was written": _canary("open('/var/tmp/parity-escape', 'w')"),
}
