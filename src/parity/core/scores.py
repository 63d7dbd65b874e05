"""A score in [0, 1], or the reason why there is none. An error is never a zero."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Score:
    """What an answer is worth. `answer` is what was read from it; `outside` marks one that named no option."""

    value: float
    answer: str = ""
    outside: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"a score lies in [0, 1], not {self.value}")


class UnscoredReason(StrEnum):
    """Why an item has no score."""

    TIE = "tie"
    NOT_A_NUMBER = "not a number"
    FAILED = "technical failure"
    ABSENT = "absent from the record"
    UNJUDGED = "left to a judge"


@dataclass(frozen=True, slots=True)
class Unscored:
    """No score, and why."""

    reason: UnscoredReason
    detail: str = ""


Mark: TypeAlias = Score | Unscored
