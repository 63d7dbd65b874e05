"""Recorded pairs of models: is the verdict of a random order the population's, and what do other models' runs spare?"""

import itertools
from pathlib import Path

import numpy as np
from verdict_orders import Array, Chance, crossings, rejections

from parity.files.tables import read_table
from parity.stats.forecasts import learned
from parity.stats.predicted import PREDICTED_BETS, stakes
from parity.stats.sequential import first_rejection

ALPHA, MARGIN = 0.05, 0.03
# An order that is not decided by then counts with so many items.
_SEEN = 6_000


def first_claim(differences: Array, null: float) -> int:
    """The first item at which the null is rejected; all of them if none."""
    found = first_rejection(differences, null, ALPHA, len(differences))
    return len(differences) if found is None else found


def recorded(data: Path) -> dict[str, list[Array]]:
    """Right or wrong of every model that HELM recorded on MMLU and TIGER-Lab on MMLU-Pro; an answer none could read
    is wrong, and a model that was not asked everything is left out.
    """
    keys = {"subject", "row", "gold", "question_id", "category", "src"}
    tables = {
        "mmlu": data / "mmlu_per_item" / "helm_10models_predictions.csv.gz",
        "mmlu_pro": data / "mmlu_pro_per_item" / "predictions.csv.gz",
    }
    found = {}
    for name, path in tables.items():
        if path.exists():
            table = read_table(path)
            models = [column for column in table.columns if column not in keys]
            asked = [model for model in models if all(row[model] != "NA" for row in table.rows)]
            found[name] = [np.array([float(row[model] == row["gold"]) for row in table.rows]) for model in asked]
    return found


def real_pairs(data: Path, orders: int) -> dict[str, object]:
    """Share of random orders in which the sequential verdict lies on the population's side of a 3-point margin.

    All ordered pairs of the recorded models of each benchmark, in turn; and how many items that took, by quantile.
    """
    found: dict[str, object] = {}
    for name, scores in recorded(data).items():
        chance, agreed, used = np.random.default_rng(5), 0, []
        pairs = chance.permutation(list(itertools.permutations(range(len(scores)), 2)))
        for at in range(orders):
            ours, theirs = pairs[at % len(pairs)]
            difference_I = scores[ours] - scores[theirs]
            order_I = chance.permutation(difference_I)
            within, out = first_claim(order_I, -MARGIN), first_claim(-order_I, MARGIN)
            agreed += (within <= out) == (difference_I.mean() > -MARGIN)
            used.append(min(within, out))
        suffix = "" if name == "mmlu" else f"_{name}"
        found[f"real_pairs_agree{suffix}"] = agreed / orders
        found[f"real_pairs_items{suffix}"] = {str(q): int(np.percentile(used, q)) for q in (10, 25, 50, 75, 90, 99)}
    return found


def real_predicted(data: Path, orders: int) -> dict[str, dict[str, float]]:
    """How many times fewer items it takes to the population's side of the margin when other models' runs predict: one
    drawn at random, and all of them together. Mean over pairs whose gap is more than a point from the margin.
    """
    found = {}
    for name, scores in recorded(data).items():
        chance, ratios = np.random.default_rng(9), []
        pairs = chance.permutation(list(itertools.permutations(range(len(scores)), 2)))
        clear = [pair for pair in pairs if abs(float((scores[pair[0]] - scores[pair[1]]).mean()) + MARGIN) > 0.01]
        for ours, theirs in clear[:12]:
            others = [at for at in range(len(scores)) if at not in (ours, theirs)]
            one, plain = [others[chance.integers(len(others))]], None
            pair = scores[ours], scores[theirs]
            plain = _items(*pair, np.empty((len(pair[0]), 0)), orders, chance)
            told = [_items(*pair, np.array([scores[at] for at in some]).T, orders, chance) for some in (one, others)]
            ratios.append([plain / each for each in told])
        one_run, all_runs = np.exp(np.log(ratios).mean(axis=0))
        found[name] = {"pairs": len(ratios), "one_run": round(one_run, 2), "all_runs": round(all_runs, 2)}
    return {"real_spared_by_other_runs": found}


def _items(candidate: Array, incumbent: Array, earlier_NK: Array, orders: int, chance: Chance) -> float:
    """Mean items until the side of the margin that is true is shown; without a predictor if there are no runs."""
    difference_I = candidate - incumbent
    sign = 1 if difference_I.mean() > -MARGIN else -1
    total = (
        float(np.floor(-MARGIN * len(candidate) + 1e-9))
        if sign > 0
        else float(np.floor(MARGIN * len(candidate) + 1e-9))
    )
    order_RI = np.array([chance.permutation(len(candidate)) for _ in range(orders)])
    if not earlier_NK.shape[1]:
        found = rejections(sign * difference_I[order_RI[:, :_SEEN]], -sign * MARGIN, ALPHA, len(candidate))
    else:
        won_RI, fair_RI = np.empty((orders, _SEEN)), np.empty((orders, _SEEN + 1))
        for at, order in enumerate(order_RI):
            told = learned(candidate[order[:_SEEN]], earlier_NK[order], incumbent[order])
            told = told if sign > 0 else told.mirrored
            won_RI[at], fair_RI[at] = stakes(sign * difference_I[order[:_SEEN]], told, total)
        found = crossings(won_RI, fair_RI, ALPHA, PREDICTED_BETS)
    return float(np.where(found < 0, _SEEN, found).mean())
