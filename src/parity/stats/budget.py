"""Where the uncertainty of a gap comes from, and which next dollar shrinks it most.

Knows the variance of a mean difference split into its sources: which items were asked, how they hang together, how
answers were drawn, how a judge errs, how often gold answers are known to be wrong. Refuses to know what anything costs
(prices come in) and to decide: verdicts read their own bounds; this is normal theory about the same differences.

Sources: Miller 2024, arXiv 2411.00640, eq. 5-8 (items, clusters, draws); Rogan & Gladen 1978, American Journal of
Epidemiology 107:71-76, by the delta method (judge).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity.stats.bounded import Units
from parity.stats.clustered import robust_variance
from parity.stats.distributions import normal_quantile
from parity.stats.intervals import check_confidence
from parity.stats.judges import JudgeErrors

FloatArray = NDArray[np.float64]

ITEMS, CLUSTERS, DRAWS, JUDGE, GOLD = (
    "which items were asked",
    "items that hang together",
    "how answers were drawn",
    "errors of the judge",
    "gold answers known to be wrong",
)


@dataclass(frozen=True, slots=True)
class Answers:
    """Differences of items, shape (I,), each of `draws` answers a side; `drawn_I` the variance that drawing adds.

    `cluster_I` says which items hang together; `drawn_I` is None where each was answered once and drawing cannot be
    told from the items.
    """

    difference_I: FloatArray
    drawn_I: FloatArray | None = None
    draws: float = 1.0
    cluster_I: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars for one answer of both models to one item, and for one label by a person; None where it is not known."""

    answer_usd: float | None = None
    label_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One source: its variance, its share of all of it, and what a dollar spent on it takes off the half-width.

    `remedy` says what is bought. `per_usd` is what the very next dollar takes off, a fraction; `after` the half-width
    when the budget's `spend_usd` was spent on this alone. None without a price.
    """

    name: str
    variance: float
    share: float
    remedy: str
    per_usd: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Budget:
    """The sources, largest first. `half_width`: of the normal interval at `confidence`, all sources together.

    `undrawn`: answers were drawn once, so that drawing is part of the items' variance. `attenuation`: what a gap has to
    be divided by for the judge's and the gold answers' errors, if these strike both models alike; 1 for none.
    `spend_usd`: what a tenth more items cost, or ten labels where an answer has no price; None without any price.
    """

    sources: tuple[Source, ...]
    half_width: float
    confidence: float
    undrawn: bool
    attenuation: float
    spend_usd: float | None

    @property
    def next_dollar(self) -> Source | None:
        """The source on which a dollar shrinks the interval most; None where nothing has a price."""
        priced = [source for source in self.sources if source.per_usd]
        return max(priced, key=lambda source: source.per_usd or 0.0, default=None)


def budget(
    answers: Answers,
    prices: Prices,
    judge: JudgeErrors | None = None,
    wrong_gold: float = 0.0,
    confidence: float = 0.95,
) -> Budget:
    """Split the variance of the mean difference.

    Items: the variance of differences over n, less what drawing and wrong gold answers add. Clusters: what the
    cluster-robust variance is larger. A judge who errs alike for both models scales the gap by J = q0 + q1 - 1: all
    else is divided by J^2, and its labels add gap^2 / J^4 (q0 (1 - q0) / m0 + q1 (1 - q1) / m1). `wrong_gold` is the
    known share of items whose gold answer is wrong: flips are taken to be as frequent there, and to say nothing.

    Raises:
        ValueError: fewer than 2 differences, a share outside [0, 1), or a judge no better than chance.
    """
    check_confidence(confidence)
    difference_I, n = answers.difference_I, len(answers.difference_I)
    if n < 2 or not 0 <= wrong_gold < 1:
        raise ValueError(f"{n} differences and a share of {wrong_gold} wrong gold answers")
    alone = float(difference_I.var(ddof=1)) / n
    drawn = 0.0 if answers.drawn_I is None else min(alone, float(answers.drawn_I.mean()) / n)
    together = _clusters(answers, alone)
    gold = wrong_gold * (alone - drawn)
    parts = {ITEMS: alone - drawn - gold, CLUSTERS: together, DRAWS: drawn, GOLD: gold}
    scale = 1.0
    if judge is not None:
        scale = judge.specificity + judge.sensitivity - 1
        if scale <= 0:
            raise ValueError("this judge is no better than chance, and its marks tell nothing")
        labels = _label_variance(judge, float(difference_I.mean()), scale)
        parts = {name: variance / scale**2 for name, variance in parts.items()} | {JUDGE: labels}
    total = sum(parts.values())
    half = normal_quantile(0.5 + confidence / 2) * math.sqrt(total)
    spend = _spend(answers, prices)
    remedies = _remedies(parts, answers, judge, wrong_gold, prices)
    found = [
        Source(name, variance, variance / total, remedies[name].name, *remedies[name].effect(half, total, spend))
        for name, variance in parts.items()
        if variance > 0
    ]
    ordered = tuple(sorted(found, key=lambda source: -source.variance))
    return Budget(ordered, half, confidence, answers.drawn_I is None, scale * (1 - wrong_gold), spend)


def _clusters(answers: Answers, alone: float) -> float:
    """What items that hang together add to the variance of independent ones; nothing where they add none."""
    if answers.cluster_I is None:
        return 0.0
    units = Units.of(answers.difference_I, answers.cluster_I)
    return max(0.0, robust_variance(units) - alone) if units.count > 1 else 0.0


def _label_variance(judge: JudgeErrors, gap: float, scale: float) -> float:
    noise = judge.specificity * (1 - judge.specificity) / judge.wrong
    noise += judge.sensitivity * (1 - judge.sensitivity) / judge.right
    return gap**2 / scale**4 * noise


@dataclass(frozen=True, slots=True)
class _Remedy:
    """What is bought, `usd` each: of `units` there are, each with its part of `variance`. More of them shrink it as
    units / (units + more); where each is put right for good (`once`) as 1 - more / units.
    """

    name: str
    variance: float
    units: float
    usd: float | None
    once: bool = False

    def effect(self, half: float, total: float, spend: float | None) -> tuple[float | None, float | None]:
        """What the next dollar takes off the half-width, and the half-width when so much was spent."""
        if not self.usd or spend is None:
            return None, None
        more = spend / self.usd
        left = max(0.0, 1 - more / self.units) if self.once else self.units / (self.units + more)
        after = half * math.sqrt(max(0.0, 1 - self.variance * (1 - left) / total))
        return half / (2 * total) * self.variance / self.units / self.usd, after


def _remedies(
    parts: dict[str, float], answers: Answers, judge: JudgeErrors | None, wrong_gold: float, prices: Prices
) -> dict[str, _Remedy]:
    """What shrinks each source."""
    n, usd, label = len(answers.difference_I), prices.answer_usd, prices.label_usd
    an_item = None if usd is None else usd * answers.draws
    # An item more, answered as often as the others, shrinks all that is a mean over items.
    of_items = sum(variance for name, variance in parts.items() if name != JUDGE)
    labels = 1 if judge is None else judge.right + judge.wrong
    return {
        ITEMS: _Remedy("more items", of_items, n, an_item),
        CLUSTERS: _Remedy("more items, of new clusters", of_items, n, an_item),
        DRAWS: _Remedy("more draws of each item", parts[DRAWS], n * answers.draws, usd),
        GOLD: _Remedy("wrong gold answers put right", parts[GOLD], max(1.0, wrong_gold * n), label, once=True),
        JUDGE: _Remedy("more labels for the judge", parts.get(JUDGE, 0.0), labels, label),
    }


def _spend(answers: Answers, prices: Prices) -> float | None:
    if prices.answer_usd is not None:
        return 0.1 * len(answers.difference_I) * answers.draws * prices.answer_usd
    return None if prices.label_usd is None else 10 * prices.label_usd
