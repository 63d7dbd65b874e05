"""Answers that are marked by running them: what has to be run, and the marks that come of it, many at once.

Reading an answer is quick and pure; running it is neither. So a reading is either a mark already, or a `Check`, and
all checks of a run go through the sandbox together.
"""

import atexit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from parity.core.runs import Ran
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.marking.sandbox import Case, Outcome, Sandbox, Verdict

Progress = Callable[[int, int], None]
_lock = Lock()
_open: list[Sandbox] = []


@dataclass(frozen=True, slots=True)
class Check:
    """What has to be run to mark an answer: it is right when any of the cases passes. There is at least one."""

    cases: tuple[Case, ...]


Reading: TypeAlias = Mark | Check


@dataclass(frozen=True, slots=True)
class Marking:
    """Marks in the order of the readings. `ran` says how answers were run; None when none was."""

    marks: tuple[Mark, ...]
    ran: Ran | None = None


def shared_sandbox() -> Sandbox:
    """The sandbox of this process, opened when it is first needed.

    Raises:
        SandboxError: model-written code cannot be run safely here.
    """
    with _lock:
        if not _open:
            _open.append(Sandbox())
            atexit.register(_close)
        return _open[0]


def _close() -> None:
    while _open:
        _open.pop().close()


def mark_all(readings: Sequence[Reading], on_progress: Progress | None = None) -> Marking:
    """Marks of all readings, their checks run several at a time; `on_progress` hears of checks done, of all.

    Raises:
        SandboxError: model-written code cannot be run safely here.
    """
    cases = [case for reading in readings if isinstance(reading, Check) for case in reading.cases]
    if not cases:
        return Marking(tuple(reading for reading in readings if not isinstance(reading, Check)))
    sandbox = shared_sandbox()
    verdicts: list[Verdict] = []
    for verdict in sandbox.check_all(cases):
        verdicts.append(verdict)
        if on_progress:
            on_progress(len(verdicts), len(cases))
    ran = Ran(str(sandbox.isolation), sum(verdict.held_objects for verdict in verdicts))
    following = iter(verdicts)
    return Marking(tuple(_mark(reading, following) for reading in readings), ran)


def mark_of(verdict: Verdict) -> Mark:
    """A verdict as a mark: a pass is 1, a failed check 0, and no verdict is no score."""
    if verdict.outcome is Outcome.NO_VERDICT:
        return Unscored(UnscoredReason.FAILED, verdict.detail)
    return Score(float(verdict.passed), verdict.reason[:200])


def _mark(reading: Reading, verdicts: Iterator[Verdict]) -> Mark:
    """The mark of a reading, which takes as many of the verdicts as it has cases."""
    if not isinstance(reading, Check):
        return reading
    return _best([mark_of(next(verdicts)) for _ in reading.cases])


def _best(marks: list[Mark]) -> Mark:
    """A pass if there is one; no score if a check came to no verdict, since it may have been one; else the first."""
    passed = next((mark for mark in marks if isinstance(mark, Score) and mark.value == 1), None)
    unscored = next((mark for mark in marks if isinstance(mark, Unscored)), None)
    return passed or unscored or marks[0]
