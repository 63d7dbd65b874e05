"""What people prefer, beside what a judge does: how far they agree, and the win rate corrected for where they do not.

Labels come as a table: a column that names the pair, and `label`: candidate, baseline or tie (or 1, 0, 0.5). Several
rows a pair are several people; the label that most gave counts, and a tie where none has most. Rogan-Gladen's rate
believes that the judge errs on all pairs as on the labelled ones; PPI's and the verdict that the labelled ones were
drawn at random.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.core.gaps import Verdict
from parity.core.prompts import RequestId
from parity.errors import DataError, listed
from parity.files.tables import read_table
from parity.measurement.verdicts import verdict_of
from parity.runs.plan import place
from parity.stats.agreement import Agreement, Corrected, agreement, corrected_rate
from parity.stats.forecasts import learned
from parity.stats.intervals import Interval
from parity.stats.judges import LengthBias, length_bias
from parity.stats.noninferiority import Evidence
from parity.stats.predicted import METHOD_PREDICTED, ppi_interval, predicted_bounds

Array = NDArray[np.float64]
_LABELS = {"candidate": 1.0, "baseline": 0.0, "tie": 0.5, "1": 1.0, "0": 0.0, "0.5": 0.5, "1.0": 1.0, "0.0": 0.0}
# Below this a normal interval from labels is not trusted, and agreement is a matter of luck.
FEWEST_LABELS = 30


@dataclass(frozen=True, slots=True)
class People:
    """What most people prefer by pair: 1 the candidate's answer, 0 the baseline's, 1/2 neither; and how they agree.

    `between` is over all two labels of the same pair; None where no pair has two.
    """

    preferred: Mapping[str, float]
    labels: int
    between: Agreement | None


@dataclass(frozen=True, slots=True)
class Rate:
    """A win rate over all pairs corrected from labels, or why it cannot be had."""

    corrected: Corrected | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A judge held against people on the pairs that both marked.

    `decided` is over pairs where both name a winner. `verdict` is what the labels prove at the margin, the judge's
    marks serving as a predictor; None without a margin or with too few labels.
    """

    people: People
    unknown: tuple[str, ...]
    agreement: Agreement
    decided: Agreement | None
    length: LengthBias | None
    rogan_gladen: Rate
    ppi: Rate
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the judge saw of a pair: how much it prefers the candidate's answer, and the two answers' characters."""

    preferred: float
    candidate_chars: int
    baseline_chars: int


def read_people(path: Path) -> People:
    """The labels of a table (CSV, JSON lines).

    Raises:
        DataError: the file is missing or lacks a column, or a label is none of the words.
    """
    table = read_table(path)
    table.require("label")
    votes: dict[str, list[float]] = {}
    problems = []
    for number, (name, row) in enumerate(zip(table.named_items(), table.rows, strict=True), start=1):
        label = (row["label"] or "").strip().lower()
        if label in _LABELS:
            votes.setdefault(name, []).append(_LABELS[label])
        else:
            problems.append(f"row {number} has {row['label']!r}")
    if problems or not votes:
        more = [f"and {len(problems) - 5} more"] if len(problems) > 5 else []
        what = f"{path}:\n{listed(problems[:5] + more)}" if problems else f"{path} holds no labels."
        raise DataError(what, "A label is candidate, baseline or tie; leave out what nobody labelled.")
    both = [pair for given in votes.values() for pair in combinations(given, 2)]
    between = agreement([one for one, _ in both], [other for _, other in both]) if both else None
    return People({name: _most(given) for name, given in votes.items()}, sum(map(len, votes.values())), between)


def _most(given: Sequence[float]) -> float:
    """The label most people gave; a tie where no label has most."""
    counts = Counter(given).most_common(2)
    return counts[0][0] if len(counts) == 1 or counts[0][1] > counts[1][1] else 0.5


def check(people: People, seen: Mapping[str, Seen], equal: int, margin: float | None, alpha: float) -> Checked:
    """Hold a judge against people. `equal` pairs needed no judge and are ties; rates are over those and the judged.

    Raises:
        DataError: people labelled none of the judged pairs.
    """
    names = sorted(people.preferred.keys() & seen.keys(), key=lambda name: place(RequestId(name)))
    if not names:
        raise DataError(
            f"None of the {len(people.preferred)} labelled pairs was judged.", "Labels name pairs as items are named."
        )
    label_J = np.array([people.preferred[name] for name in names])
    mark_J = np.array([seen[name].preferred for name in names])
    others = [found.preferred for name, found in seen.items() if name not in people.preferred]
    mark_I = np.array([*mark_J, *others])
    winner_J, said_J = np.sign(mark_J - 0.5), np.sign(label_J - 0.5)
    both_J = (winner_J != 0) & (said_J != 0)
    share = len(seen) / (len(seen) + equal)
    return Checked(
        people,
        tuple(sorted(people.preferred.keys() - seen.keys())),
        agreement(winner_J, said_J),
        agreement(winner_J[both_J], said_J[both_J]) if both_J.any() else None,
        _length(winner_J, said_J, [seen[name] for name in names]),
        _over_all(lambda: corrected_rate(mark_I, mark_J, label_J), len(names), share),
        _over_all(lambda: _ppi(label_J, mark_I), len(names), share),
        _verdict(label_J, mark_I, share, margin, alpha) if margin is not None else None,
    )


def _length(winner_J: Array, said_J: Array, seen: Sequence[Seen]) -> LengthBias | None:
    places = {-1.0: 2, 0.0: 0, 1.0: 1}
    try:
        return length_bias(
            [places[value] for value in winner_J], [places[value] for value in said_J],
            [found.candidate_chars for found in seen], [found.baseline_chars for found in seen],
        )  # fmt: skip
    except ValueError:
        return None  # no pair in which both name a winner and the lengths differ


def _over_all(estimate: Callable[[], Corrected], labels: int, share: float) -> Rate:
    """The rate over judged pairs as one over all, where `share` of them were judged and the others are ties."""
    if labels < FEWEST_LABELS:
        return Rate(None, f"{labels} labels of judged pairs; it takes {FEWEST_LABELS}")
    try:
        found = estimate()
    except ValueError as error:
        return Rate(None, str(error))
    low, high = (share * bound + (1 - share) / 2 for bound in (found.interval.low, found.interval.high))
    interval = Interval(low, high, found.interval.confidence, found.interval.method)
    return Rate(Corrected(share * found.estimate + (1 - share) / 2, interval))


def _ppi(label_J: Array, mark_I: Array) -> Corrected:
    found = ppi_interval(label_J, mark_I)
    estimate = (found.low + found.high) / 2
    return Corrected(estimate, Interval(max(0.0, found.low), min(1.0, found.high), found.confidence, found.method))


def _verdict(label_J: Array, mark_I: Array, share: float, margin: float, alpha: float) -> Verdict | None:
    """What the labels prove of wins less losses, by bets that need no normality: bounds of twice (rate - 1/2).

    The labels are predicted from the marks, and how far these are to be trusted is learned from label to label.
    """
    if len(label_J) < FEWEST_LABELS:
        return None
    predicted = learned(label_J, mark_I[:, None], np.full(len(mark_I), 0.5))
    bounds = predicted_bounds(label_J - 0.5, label_J - 0.5, predicted, alpha, graded=True)
    low, high = 2 * share * bounds.low, 2 * share * bounds.high
    return verdict_of(Evidence(margin, alpha, low, high, METHOD_PREDICTED))
