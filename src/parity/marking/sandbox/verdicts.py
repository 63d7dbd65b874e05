"""The nouns of the sandbox: what is checked, within which limits, what came of it, and what kept it in.

Values only; nothing here runs code.
"""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """What one check may use: `wall_s` ends what sleeps, `cpu_s` (whole seconds) what works."""

    cpu_s: int = 3
    wall_s: float = 10.0
    memory_bytes: int = 1024**3
    file_bytes: int = 16 * 1024**2
    open_files: int = 64
    answer_bytes: int = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Case:
    """One check: `program` is foreign and runs apart; `setup` and `test` are the benchmark's and never reach it.

    `test` uses the program's names; `entry` is the one under test, if the test needs it as `candidate`. With `mutates`,
    what the program does to a list, dict or set it was handed is done to the test's own. `language` is of both; in
    others than Python there is no `setup`, and `entry` is all that the test can use.
    """

    program: str
    test: str
    entry: str = ""
    setup: str = ""
    mutates: bool = False
    language: str = "python"
    limits: Limits = field(default_factory=Limits)


class Outcome(StrEnum):
    """What came of a check. Only PASSED is a pass; `NO_VERDICT` is a technical failure and no score."""

    PASSED = "passed"
    WRONG = "wrong answer"
    RAISED = "raised an exception"
    BROKEN = "does not load"
    TIMED_OUT = "timed out"
    ENDED = "ended its process"
    NOT_PLAIN = "answered no plain value"
    FORGED = "broke the exchange"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one check. `held_objects`: the test handled objects of the program, not plain values alone."""

    outcome: Outcome
    detail: str = ""
    held_objects: bool = False

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def reason(self) -> str:
        return f"{self.outcome.value}: {self.detail}" if self.detail else self.outcome.value


@dataclass(frozen=True, slots=True)
class Isolation:
    """What keeps model-written code in, as found when the sandbox was opened."""

    landlock_abi: int
    namespaces: tuple[str, ...]
    identity: str
    scratch: str

    def __str__(self) -> str:
        spaces = f"namespaces ({', '.join(self.namespaces)})" if self.namespaces else "no namespaces"
        return (
            f"Landlock (ABI {self.landlock_abi}), seccomp, rlimits, {spaces}, {self.identity}, scratch: {self.scratch}"
        )
