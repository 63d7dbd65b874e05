"""The uncertainty of a gap taken apart: scores, clusters and draws from marks; labels and prices from outside.

Knows marks and a table of a judge's marks with people's labels. The verdict does not read this; it is there to say what
to pay for next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from parity.core.runs import Marked
from parity.core.scores import Score
from parity.errors import DataError
from parity.files.tables import read_table
from parity.measurement.comparison import clusters_of
from parity.stats.budget import Answers, Budget, Prices, budget
from parity.stats.judges import JudgeErrors


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the scores: how the judge errs, which share of gold answers is wrong, what things cost."""

    judge: JudgeErrors | None = None
    wrong_gold: float = 0.0
    prices: Prices = field(default_factory=Prices)

    def priced(self, answer_usd: float | None) -> "Known":
        """The same, with this price of an answer where none was said."""
        if self.prices.answer_usd is not None:
            return self
        return replace(self, prices=replace(self.prices, answer_usd=answer_usd))


def uncertainty(candidate: Sequence[Marked], incumbent: Sequence[Marked], known: Known) -> Budget:
    """Where the uncertainty of their gap comes from, over the items that both have a score for.

    Raises:
        DataError: fewer than two such items, or a judge no better than chance.
    """
    ours, theirs = _draws(candidate), _draws(incumbent)
    items = [item for item in ours if item in theirs]
    if len(items) < 2:
        raise DataError(f"{len(items)} items have scores of both: nothing to take apart.", "Compare more items.")
    pairs = [(np.array(ours[item]), np.array(theirs[item])) for item in items]
    difference_I = np.array([one.mean() - other.mean() for one, other in pairs])
    draws = float(np.mean([(len(one) + len(other)) / 2 for one, other in pairs]))
    # The variance that drawing adds can be told where every item was drawn at least twice by a side that draws.
    drawn = any(len(side) > 1 for pair in pairs for side in pair)
    drawn_I = np.array([sum(_drawn(side) for side in pair) for pair in pairs]) if drawn else None
    clusters = {**clusters_of(incumbent), **clusters_of(candidate)}
    labels = np.unique([f"in {clusters[i]}" if i in clusters else f"alone {i}" for i in items], return_inverse=True)[1]
    answers = Answers(difference_I, drawn_I, draws, labels if clusters else None)
    try:
        return budget(answers, known.prices, known.judge, known.wrong_gold)
    except ValueError as error:
        raise DataError(f"The uncertainty cannot be taken apart: {error}.", "Check the judge's labels.") from error


def _draws(marks: Sequence[Marked]) -> dict[str, list[float]]:
    """Scores of the scored draws of each item that has any."""
    found: dict[str, list[float]] = {}
    for marked in marks:
        if isinstance(marked.mark, Score):
            found.setdefault(marked.item, []).append(marked.mark.value)
    return found


def _drawn(side: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    """The variance of the mean of an item's draws; unknown of one draw, which then counts with the items."""
    return float(side.var(ddof=1)) / len(side) if len(side) > 1 else 0.0


def judge_errors(path: Path) -> JudgeErrors:
    """How a judge errs, from a table of `judged,label`: the judge's mark and a person's, 0 or 1, a row an answer.

    Raises:
        DataError: the file is missing or of another form, or one kind of label is.
    """
    table = read_table(path)
    for column in ("judged", "label"):
        table.require(column)
    rows = [(row["judged"], row["label"]) for row in table.rows]
    wrong = [at for at, cells in enumerate(rows, start=1) if not {*cells} <= {"0", "1"}]
    if wrong:
        raise DataError(f"{path} row {wrong[0]}: {rows[wrong[0] - 1]} are not 0 or 1.", "Mark right 1 and wrong 0.")
    try:
        return JudgeErrors.of(*np.array([[int(cell or 0) for cell in cells] for cells in rows]).reshape(-1, 2).T)
    except ValueError as error:
        raise DataError(f"{path}: {error}.", "Label answers that are right and answers that are wrong.") from error
