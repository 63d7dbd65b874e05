"""The gap when an item's score is a share: paired item by item, the interval over items.

An item that lacks a score, or lacks it for some of its draws, is never dropped in silence: the verdict must survive its
going the worst way for it.
"""

import math
from collections.abc import Mapping
from itertools import starmap

from parity.core.gaps import Gap, Missing, Verdict
from parity.errors import DataError
from parity.measurement.draws import ItemScore
from parity.measurement.verdicts import held, verdict_of
from parity.stats.distributions import normal_quantile
from parity.stats.means import mean_interval
from parity.stats.noninferiority import Evidence

Couple = tuple[ItemScore, ItemScore]
POWER = 0.8
_NOTHING = ItemScore(None, 0.0, 1.0, 0, 0.0)


def compare_means(
    candidate: Mapping[str, ItemScore],
    incumbent: Mapping[str, ItemScore],
    margin: float | None = None,
    alpha: float = 0.05,
) -> Gap:
    """The gap of paired item means with its 95 % interval, and the verdict at `margin` one-sided at `alpha`.

    Raises:
        DataError: no item has a score from both models.
        ValueError: margin or alpha out of range.
    """
    couples = [
        (candidate.get(item, _NOTHING), incumbent.get(item, _NOTHING))
        for item in dict.fromkeys((*candidate, *incumbent))
    ]
    means = [(a.mean, b.mean) for a, b in couples if a.mean is not None and b.mean is not None]
    if not means:
        raise DataError(
            f"No item has a score from both models ({len(candidate)} items against {len(incumbent)}).",
            "Check that both name their items alike.",
        )
    differences = [a - b for a, b in means]
    shown = _evidence(differences, margin, alpha)
    interval = mean_interval(differences, reach=_reach(differences))
    missing = _missing(couples)
    verdict = worst = None
    if margin is not None:
        verdict = verdict_of(shown)
        if missing.pairs:
            worst = verdict_of(_evidence(_worst(couples, verdict), margin, alpha))
            verdict = held(verdict, worst)
    ours, theirs = (math.fsum(side) / len(means) for side in zip(*means, strict=True))
    return Gap(
        n=len(means),
        both=None,
        only_candidate=None,
        only_incumbent=None,
        gap=ours - theirs,
        low=max(-1.0, interval.low),
        high=min(1.0, interval.high),
        interval=interval.method,
        alpha=alpha,
        bound_low=shown.low,
        bound_high=shown.high,
        mcnemar_p=None,
        mcnemar_mid_p=None,
        flips=None,
        margin=margin,
        verdict=verdict,
        worse=shown.worse,
        missing=Missing(missing.candidate, missing.incumbent, missing.pairs, worst),
        items_needed=_still_needed(differences, shown) if margin is not None else None,
        candidate_mean=ours,
        incumbent_mean=theirs,
    )


def _evidence(differences: list[float], margin: float | None, alpha: float) -> Evidence:
    if margin is not None and not 0 < margin < 1:
        raise ValueError(f"the margin is {margin}; it is the loss you tolerate as a fraction, 0.02 for 2 points")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it is the one-sided chance of a false claim, such as 0.05")
    found = mean_interval(differences, 1 - 2 * alpha, _reach(differences))
    # Bounds are printed even without a margin; any valid one serves, since they do not depend on it.
    return Evidence(margin or 0.5, alpha, max(-1.0, found.low), min(1.0, found.high), found.method)


def _reach(differences: list[float]) -> float:
    """How far a difference not seen may lie from those seen: all lie between -1 and 1."""
    return 1 + max(map(abs, differences))


def _missing(couples: list[Couple]) -> Missing:
    """Items that lack a score for all of their draws, or for some."""
    lacking = [(a.least < a.most, b.least < b.most) for a, b in couples]
    ours, theirs = (sum(side) for side in zip(*lacking, strict=True))
    return Missing(ours, theirs, sum(map(any, lacking)), None)


def _worst(couples: list[Couple], verdict: Verdict) -> list[float]:
    """Every item's difference with what is missing gone the worst way: against parity, or for it if none is claimed."""

    def against(ours: ItemScore, theirs: ItemScore) -> float:
        return ours.least - theirs.most

    def in_favour(ours: ItemScore, theirs: ItemScore) -> float:
        return ours.most - theirs.least

    return list(starmap(in_favour if verdict is Verdict.INFERIOR else against, couples))


def _still_needed(differences: list[float], found: Evidence) -> int | None:
    """More items of this kind that would decide it; None when they decide already, or no number would.

    n = (z_alpha + z_power)^2 variance / (margin + gap)^2 in all: Miller 2024 (arXiv 2411.00640), equation 9.
    """
    if verdict_of(found) is not Verdict.INCONCLUSIVE:
        return None
    n = len(differences)
    gap = math.fsum(differences) / n
    distance = abs(found.margin + gap)
    if distance < 1e-12:
        return None
    # No spread seen in n items is compatible with up to about 3/n (rule of three); zero would promise too much.
    variance = max(math.fsum((value - gap) ** 2 for value in differences) / max(n - 1, 1), min(1.0, 3 / n))
    needed = math.ceil(((normal_quantile(1 - found.alpha) + normal_quantile(POWER)) / distance) ** 2 * variance)
    return max(1, needed - n)
