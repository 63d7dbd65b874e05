"""Marks mathematical answers by equivalence, with math-verify (extra `marking`).

Both sides are read as LaTeX or expressions; \\boxed{} goes first, and several of them are a set. Refuses to guess where
the gold answer itself cannot be read: that is unscored, not wrong. An answer may ask for more arithmetic than there is
time or memory: it is worked out in a process of its own (`mathematics_child`), whichever thread asks.
"""

import atexit
import json
import threading
from collections.abc import Sequence
from importlib.util import find_spec

from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError
from parity.files.line_process import LineProcess

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
        found = _ask(json.dumps([text, list(targets)]), patience_s)
    if found is None:
        return Score(0.0, text.strip()[-80:], outside=True)
    if "unread" in found:
        return Unscored(UnscoredReason.FAILED, f"the gold answer {targets[0][:80]!r} cannot be read")
    if found["answer"] is None:
        return Score(0.0, text.strip()[-80:], outside=True)
    return Score(float(bool(found["right"])), str(found["answer"])[:200])


def _ask(line: str, patience_s: float) -> dict[str, object] | None:
    """The process's answer; None where it found none in time, and was ended."""
    if not _process.started:
        _start()
    try:
        _process.tell(line)
        told = _process.next(patience_s)
    except OSError:  # a TimeoutError is one
        told = None
    if told is None:
        _process.stop()
        return None
    found: dict[str, object] = json.loads(told)
    return found


def _start() -> None:
    check_available()
    _process.start()
    try:
        ready = _process.next(START_S)
    except TimeoutError:
        ready = None
    if ready is None:
        _process.stop()
        raise DataError("The process that marks mathematics did not start.", "Try: python -c 'import math_verify'")


_lock = threading.Lock()
_process = LineProcess("parity.marking.mathematics_child")
atexit.register(_process.stop)
