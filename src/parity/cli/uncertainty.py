"""The options of `parity gap` that take its uncertainty apart."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import UsageError, listed

if TYPE_CHECKING:
    from parity.measurement.uncertainty import Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """What is known about where uncertainty comes from.

    Parameters
    ----------
    budget
        Say where the uncertainty comes from (items, clusters, draws, judge, gold answers), and what shrinks it.
    wrong_gold
        The share of gold answers known to be wrong, such as 0.0649 for MMLU (MMLU-Redux).
    judge_labels
        A table of judged,label (0 or 1): how the judge that marked both models errs against people.
    answer_usd
        Dollars for one answer of both models to one item; of two runs, what theirs cost, if not given.
    label_usd
        Dollars for one label, or one gold answer put right, by a person.
    """

    budget: bool = False
    wrong_gold: float = 0.0
    judge_labels: Path | None = None
    answer_usd: float | None = None
    label_usd: float | None = None

    def known(self) -> "Known":
        """What was said, read.

        Raises:
            DataError: the labels cannot be read.
        """
        from parity.measurement.uncertainty import Known, judge_errors
        from parity.stats.budget import Prices

        judge = None if self.judge_labels is None else judge_errors(self.judge_labels)
        return Known(judge, self.wrong_gold, Prices(self.answer_usd, self.label_usd))

    def check(self) -> None:
        """Raises UsageError naming everything that does not fit together."""
        told = self.wrong_gold or self.judge_labels or self.answer_usd is not None or self.label_usd is not None
        costs = [value for value in (self.answer_usd, self.label_usd) if value is not None]
        rules = (
            (bool(told) and not self.budget, "what is known about uncertainty goes with --budget"),
            (not 0 <= self.wrong_gold < 1, f"--wrong-gold {self.wrong_gold:g} is not a fraction below 1"),
            (any(not value > 0 for value in costs), "prices are dollars above 0"),
        )
        problems = [problem for broken, problem in rules if broken]
        if problems:
            raise UsageError("This cannot be taken apart:\n" + listed(problems), "See parity gap --help.")
