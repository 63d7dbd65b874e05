"""Cells of verdict.py for differences not just right or wrong: graded, skewed, tied, clustered, judged, predicted.

Every source has a known mean; the null is that mean itself, so that a claim to be above it is false. A cell returns how
often that was claimed, and how often the 95 % interval held the mean. An interval holds the mean where neither of its
two tests rejects it: that is what is counted, and the first few intervals are checked against it.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from verdict_orders import crossings

from parity.stats.bounded import Units, bounded_interval, bounded_p_value
from parity.stats.clustered import clustered_interval
from parity.stats.forecasts import learned
from parity.stats.graded import bootstrap_t_interval, t_interval
from parity.stats.intervals import wilson
from parity.stats.judges import JudgeErrors, rogan_gladen
from parity.stats.predicted import PREDICTED_BETS, ppi_interval, stakes
from parity.stats.selection import certify, choose
from parity.stats.sequential import unit_evidence

ALPHA, MMLU = 0.05, 14_042
Array = NDArray[np.float64]
Chance = np.random.Generator
Source = Callable[[Chance, int], Array]
SIZES = (50, 164, 500, 2_000, MMLU)
_CHECKED = 8


def smooth(chance: Chance, n: int) -> Array:
    """Graded answers that differ a little on every item: uniform on [-.52, .48]."""
    return chance.uniform(-0.52, 0.48, n)


def tied(chance: Chance, n: int) -> Array:
    """Nine items in ten are level, the others differ by anything, more often to the worse."""
    return np.where(chance.random(n) < 0.1, chance.uniform(-1, 0.6, n), 0.0)


def skewed(chance: Chance, n: int) -> Array:
    """Slightly ahead on most items, lost altogether on one in twenty."""
    return np.where(chance.random(n) < 0.05, -chance.beta(5, 1, n), 0.2 * chance.beta(1, 20, n))


def rare(chance: Chance, n: int) -> Array:
    """One item in fifty is lost, all others are level."""
    return np.where(chance.random(n) < 0.02, -1.0, 0.0)


def drawn(chance: Chance, n: int) -> Array:
    """Means of five draws each of two models, the candidate 4 points behind on a third of the items."""
    theirs = chance.choice([0.1, 0.5, 0.9], n)
    ours = np.where(theirs == 0.5, 0.38, theirs)
    return (chance.binomial(5, ours) - chance.binomial(5, theirs)) / 5


MEANS: dict[Source, float] = {
    smooth: -0.02,
    tied: -0.02,
    skewed: -0.05 * 5 / 6 + 0.95 * 0.2 / 21,
    rare: -0.02,
    drawn: -0.04,
}


def judged(chance: Chance, n: int) -> Array:
    """Differences of answers that a judge marked, who is right nine times in ten, whoever wrote them."""
    theirs, ours = chance.random(n) < 0.8, chance.random(n) < 0.75
    seen = [np.where(chance.random(n) < 0.9, side, ~side) for side in (ours, theirs)]
    return seen[0].astype(float) - seen[1]


MEANS[judged] = -0.05 * 0.8


def clusters(chance: Chance, count: int) -> Units:
    """Clusters of 1 to 15 items that share half their luck; larger ones are worse, so that their size matters."""
    size_C = chance.integers(1, 16, count)
    bad_C = np.repeat(chance.random(count) < 0.02 * size_C, size_C)
    difference_I = np.where(bad_C & (chance.random(len(bad_C)) < 0.5), -1.0, 0.0)
    return Units.of(difference_I, np.repeat(np.arange(count), size_C))


CLUSTERED_MEAN = -0.5 * 0.02 * float(np.mean(np.arange(1, 16) ** 2)) / 8


def one_look(sample: Callable[[Chance], Units], mean: float, count: int) -> tuple[float, float]:
    chance, wrong, held = np.random.default_rng(17), 0, 0
    for at in range(count):
        units = sample(chance)
        above, below = bounded_p_value(units, mean), bounded_p_value(units.swapped, -mean)
        wrong += above < ALPHA
        holds = min(above, below) >= ALPHA / 2
        if at < _CHECKED:
            interval = bounded_interval(units)
            assert holds == (interval.low <= mean <= interval.high)
        held += holds
    return wrong / count, held / count


def items_of(source: Source, size: int, chance: Chance) -> Units:
    return Units.of(source(chance, size))


ONE_LOOK: dict[str, Callable[[int], tuple[float, float]]] = {
    **{
        f"{source.__name__} {size}": partial(one_look, partial(items_of, source, size), mean)
        for source, mean in MEANS.items()
        for size in SIZES
    },
    **{
        f"clustered {size}": partial(one_look, lambda chance, size=size: clusters(chance, size), CLUSTERED_MEAN)
        for size in (30, 50, 164, 500, 2_000)
    },
}


def clustered_bets(count: int, clusters_seen: int) -> float:
    """How often a source of clusters exactly at the null is claimed to be above it, a cluster a bet, at any look."""
    chance, wrong = np.random.default_rng(19), 0
    for _ in range(count):
        units = clusters(chance, clusters_seen)
        wrong += unit_evidence(units.total_U, units.size_U, CLUSTERED_MEAN, 15) >= -np.log(ALPHA)
    return wrong / count


def judged_coverage(labels: int, truth: float, count: int) -> dict[str, float]:
    """How often intervals of a judged rate hold the truth: sensitivity .9, specificity .8, so many labels of 2,000."""
    chance, held = np.random.default_rng(43), {"Rogan-Gladen": 0, "PPI++": 0}
    for _ in range(count):
        right = chance.random(2_000) < truth
        marked = np.where(right, chance.random(2_000) < 0.9, chance.random(2_000) < 0.2).astype(float)
        told = rogan_gladen(float(marked.mean()), 2_000, JudgeErrors.of(marked[:labels], right[:labels]))
        held["Rogan-Gladen"] += told.low <= truth <= told.high
        told = ppi_interval(right[:labels], marked)
        held["PPI++"] += told.low <= right.mean() <= told.high
    return {name: number / count for name, number in held.items()}


def not_offered(count: int) -> dict[str, float]:
    """Worst one-sided error of the methods that decide nothing, lower 99 % bound, in the cells of 50 to 500 units."""

    def low(wrong: int, done: int) -> float:
        return round(wilson(wrong, done, 0.98).low, 3)

    found = {}
    for name, method in (("paired t", t_interval), ("bootstrap-t", partial(bootstrap_t_interval, resamples=499))):
        worst = 0.0
        for source, mean in MEANS.items():
            for size in (50, 164):
                chance, wrong = np.random.default_rng(23), 0
                for _ in range(count):
                    sample = source(chance, size)
                    # All alike would give a point: it is above the mean where its value is.
                    wrong += (sample[0] if np.ptp(sample) == 0 else method(sample, 0.9).low) > mean
                worst = max(worst, low(wrong, count))
        found[name] = worst
    chance, wrong = np.random.default_rng(29), 0
    for _ in range(count):
        units = clusters(chance, 50)
        wrong += clustered_interval(units, 0.9).low > CLUSTERED_MEAN if units.flipped else 1
    found["cluster-robust t"] = low(wrong, count)
    return found


def population(size: int, flips: float, gap: float, kept: float, seed: int = 0) -> tuple[Array, Array, Array]:
    """Scores of candidate, earlier model and incumbent with that gap; the earlier one is right where the candidate is
    on a share `kept` of items, and shuffled on the rest.
    """
    chance = np.random.default_rng(seed)
    ahead, behind = round(size * (flips + gap) / 2), round(size * (flips - gap) / 2)
    difference_I = np.repeat([1.0, -1.0, 0.0], [ahead, behind, size - ahead - behind])
    right_I = np.where(difference_I == 0, chance.random(size) < 0.7, difference_I < 0)
    prediction_I, loose_I = difference_I.copy(), chance.random(size) > kept
    for side in (False, True):
        at = np.flatnonzero(loose_I & (right_I == side))
        prediction_I[at] = chance.permutation(prediction_I[at])
    incumbent_I = right_I.astype(np.float64)
    return difference_I + incumbent_I, prediction_I + incumbent_I, incumbent_I


def predicted_crossings(
    scores: tuple[Array, Array, Array], total: float, count: int, chance: Chance, seen: int | None = None
) -> NDArray[np.int64]:
    """Items after which a total difference of at most `total` was rejected, over random orders; -1 for never."""
    candidate, earlier, incumbent = scores
    size = seen or len(candidate)
    found: list[NDArray[np.int64]] = []
    for begin in range(0, count, 500):
        won_RI, fair_RI = np.empty((min(500, count - begin), size)), np.empty((min(500, count - begin), size + 1))
        for at in range(len(won_RI)):
            order = chance.permutation(len(candidate))
            ours, theirs = candidate[order], incumbent[order]
            told = learned(ours[:size], earlier[order][:, None], theirs)
            won_RI[at], fair_RI[at] = stakes((ours - theirs)[:size], told, total)
        found.append(crossings(won_RI, fair_RI, ALPHA, PREDICTED_BETS))
    return np.concatenate(found)


def predicted_error(size: int, flips: float, kept: float, count: int) -> float:
    """How often a population exactly at the null is claimed to be above it, at any look."""
    scores = population(size, flips, -flips / 2, kept)
    total = float(np.round((scores[0] - scores[2]).sum()))
    return float((predicted_crossings(scores, total, count, np.random.default_rng(31)) >= 0).mean())


PREDICTED: dict[str, Callable[[int], float]] = {
    f"predicted {size} {flips} {kept}": partial(predicted_error, size, flips, kept)
    for size in (164, 500, 2_000)
    for flips in (0.06, 0.3)
    for kept in (0.9, 0.2)
}


def predicted_items(flips: float, count: int) -> float:
    """Mean items to NON_INFERIOR at 2 points, of MMLU's, with a predictor of correlation about .9."""
    scores = population(MMLU, flips, 0.0, 0.89)
    null, seen = float(np.floor(-0.02 * MMLU + 1e-9)), 5_000
    found = predicted_crossings(scores, null, count, np.random.default_rng(37), seen)
    assert (found >= 0).mean() > 0.999, "an order that needs more than 5,000 items"
    return float(np.where(found < 0, seen, found).mean())


def best_of_32(count: int) -> dict[str, float]:
    """32 checkpoints, their true gaps spread about -1 point or all 0: cost, selection bias and regret in points."""
    chance, cost, bias, believed, regret = np.random.default_rng(41), [], [], [], []
    for at in range(count):
        shared = chance.random(MMLU)
        gap_K = np.zeros(32) if at % 2 else np.minimum(chance.normal(-0.01, 0.02, 32), 0.02)
        differences = np.array([checkpoint(chance, shared, gap) for gap in gap_K])
        chosen = choose(lambda left, begin, end, d=differences: d[left, begin:end], 32, 36_000)
        own = differences[chosen.best]
        found = certify(own[chosen.items :], chosen, MMLU, 0.02, ALPHA)
        cost.append((chosen.answers + found.items) / differences.size)
        bias.append(found.gap - own.mean())
        believed.append(chosen.total / chosen.items - own.mean())
        regret.append(differences.mean(axis=1).max() - own.mean())
    return {
        "best_of_32_cost": round(float(np.mean(cost)), 4),
        "best_of_32_bias_points": round(100 * float(np.mean(bias)), 3),
        "best_of_32_bias_error_points": round(100 * float(np.std(bias)) / len(bias) ** 0.5, 3),
        "best_of_32_bias_unconfirmed_points": round(100 * float(np.mean(believed)), 3),
        "best_of_32_regret_points": round(100 * float(np.mean(regret)), 3),
    }


def checkpoint(chance: Chance, shared: Array, gap: float) -> Array:
    """Differences in random order with 12 % flips; half of what decides an item is shared by all checkpoints."""
    order = np.argsort(shared + chance.random(len(shared)))
    ahead, behind = round(len(shared) * (0.12 + gap) / 2), round(len(shared) * (0.12 - gap) / 2)
    difference_I = np.zeros(len(shared))
    difference_I[order[:ahead]], difference_I[order[len(order) - behind :]] = 1.0, -1.0
    return difference_I
