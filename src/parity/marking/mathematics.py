"""Marks mathematical answers by equivalence, with math-verify (extra `marking`).

Both sides are read as LaTeX or expressions; \\boxed{} goes first, and several of them are a set. Refuses to guess where
the gold answer itself cannot be read: that is unscored, not wrong.
"""

import threading
from collections.abc import Sequence
from importlib.util import find_spec

from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.errors import DataError

TIMEOUT_S = 5


def check_available() -> None:
    """Raises DataError when math-verify is not installed: better said before a model is asked."""
    if find_spec("math_verify") is None:
        raise DataError(
            "Marking mathematics needs math-verify, which is not installed.",
            "Install it with: pip install 'parity-llm[marking]'",
        )


def equivalent(text: str, targets: Sequence[str]) -> Mark:
    """Score 1 when an answer is mathematically equal to a target, each in LaTeX or as an expression.

    >>> equivalent(r"so it is $\\\\boxed{\\\\frac{1}{2}}$", ("0.5",)).value
    1.0
    """
    from math_verify import parse, verify

    # math-verify's own limits work by signals, which only the main thread can set.
    limit = TIMEOUT_S if threading.current_thread() is threading.main_thread() else None
    golds = [parse(_as_mathematics(target), parsing_timeout=limit) for target in targets]
    if not any(golds):
        return Unscored(UnscoredReason.FAILED, f"the gold answer {targets[0][:80]!r} cannot be read")
    answer = parse(text, parsing_timeout=limit)
    if not answer:
        return Score(0.0, text.strip()[-80:], outside=True)
    right = any(verify(gold, answer, timeout_seconds=limit) for gold in golds if gold)
    return Score(float(right), str(answer[-1])[:200])


def _as_mathematics(target: str) -> str:
    """A bare answer is put between dollars; a whole solution stays as it is."""
    return target if "$" in target or "\\boxed" in target else f"${target}$"
