"""Marks mathematical answers by equivalence, with math-verify (extra `marking`).

Both sides are read as LaTeX or expressions; \\boxed{} goes first, and several of them are a set. Refuses to guess where
the gold answer itself cannot be read: that is unscored, not wrong. An answer may ask for more arithmetic than there is
time or memory: it is worked out in a process of its own (`mathematics_child`), whichever thread asks.
"""

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from queue import Empty, Queue

from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError

# math-verify's own limit, for reading one side or comparing two.
TIMEOUT_S = 5
# What the process may take for one answer: a long product of large numbers does not hear math-verify's alarm.
PATIENCE_S, START_S = 20.0, 120.0


def check_available() -> None:
    """Raises DataError when math-verify is not installed: better said before a model is asked."""
    if find_spec("math_verify") is None:
        raise DataError(
            "Marking mathematics needs math-verify, which is not installed.",
            "Install it with: pip install 'parity-llm[marking]'",
        )


def equivalent(text: str, targets: Sequence[str], patience_s: float = PATIENCE_S) -> Mark:
    """Score 1 when an answer is mathematically equal to a target, each in LaTeX or as an expression.

    An answer that nothing can be made of in `patience_s` seconds, or in the memory allowed, is wrong and outside.

    >>> equivalent(r"so it is $\\\\boxed{\\\\frac{1}{2}}$", ("0.5",)).value
    1.0

    Raises:
        DataError: math-verify is not installed, or its process does not start.
    """
    with _lock:
        found = _process.ask(json.dumps([text, list(targets)]), patience_s)
    if found is None:
        return Score(0.0, text.strip()[-80:], outside=True)
    if "unread" in found:
        return Unscored(UnscoredReason.FAILED, f"the gold answer {targets[0][:80]!r} cannot be read")
    if found["answer"] is None:
        return Score(0.0, text.strip()[-80:], outside=True)
    return Score(float(bool(found["right"])), str(found["answer"])[:200])


class _Process:
    """The process that works answers out, started when first needed and after it was ended."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._lines: Queue[str | None] = Queue()

    def ask(self, line: str, patience_s: float) -> dict[str, object] | None:
        """Its answer; None where it found none in time, and was ended."""
        if self._running is None:
            self._start()
        process = self._running
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            told = self._lines.get(timeout=patience_s)
        except (Empty, OSError):
            told = None
        except BaseException:
            self.stop()
            raise
        if told is None:
            self.stop()
            return None
        found: dict[str, object] = json.loads(told)
        return found

    def stop(self) -> None:
        process, self._running = self._running, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> None:
        check_available()
        self._running = process = subprocess.Popen(
            [sys.executable, "-P", "-m", "parity.marking.mathematics_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines = Queue()
        threading.Thread(target=_read, args=(process, self._lines), daemon=True).start()
        try:
            ready = self._lines.get(timeout=START_S)
        except Empty:
            ready = None
        if ready is None:
            self.stop()
            raise DataError("The process that marks mathematics did not start.", "Try: python -c 'import math_verify'")


def _read(process: "subprocess.Popen[str]", lines: "Queue[str | None]") -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines.put(line)
    except ValueError:
        pass  # the pipe was closed by stop()
    lines.put(None)


_lock = threading.Lock()
_process = _Process()
atexit.register(_process.stop)
