"""Ask until the verdict is in: a few items more at a time, in random order, with bounds that hold at any stop.

The fixed-sample interval may not be looked at again and again; the confidence sequence may. Missing scores go the worst
way for every bound, as elsewhere. Of these items every one is a bet, whatever it hangs together with; of future ones
like them a whole cluster is one bet, so that clusters are asked one after the other.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from parity.benchmarks.base import Protocol
from parity.core.gaps import Gap, Verdict
from parity.core.items import Item
from parity.core.prompts import Request, RequestId
from parity.core.refs import ModelRef
from parity.core.scores import Score
from parity.engines.base import Engine
from parity.measurement.accounting import Terms
from parity.measurement.comparison import CLUSTER, compare
from parity.measurement.pairing import Scores, checked, is_binary, pair
from parity.measurement.verdicts import verdict_of
from parity.runs.plan import place
from parity.runs.runner import ask
from parity.stats.forecasts import Predicted, learned
from parity.stats.noninferiority import Evidence
from parity.stats.predicted import predicted_bounds, predicted_evidence, predicted_mean
from parity.stats.sequential import FloatArray, anytime_bounds, log_evidence, unit_bounds, unit_evidence
from parity.store import Workspace

FIRST_LOOK, GROWTH = 50, 1.2


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When to stop. `population`: how many items there are, or None when they stand for future ones like them.

    `clusters` says which items hang together, `sizes` how many items each cluster has; both count for future ones only.
    `forecasts` holds earlier models' scores, which predict a candidate's; `incumbent` the incumbent's of every item,
    once it has answered them all. Both count for these items only.
    """

    margin: float
    alpha: float
    population: int | None
    clusters: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    forecasts: tuple[Scores, ...] = ()
    incumbent: Scores | None = None


def rule_for(
    items: Sequence[Item], margin: float, alpha: float, about_these: bool, forecasts: tuple[Scores, ...] = ()
) -> StoppingRule:
    """The rule for all items of a benchmark: about these items, or about future ones like them."""
    if about_these:
        return StoppingRule(margin, alpha, len(items), forecasts=forecasts)
    clusters = {item.id: value for item in items for kind, value in item.tags if kind == CLUSTER}
    return StoppingRule(margin, alpha, None, clusters, Counter(clusters.values()))


def order_of_asking(items: list[Item], rule: StoppingRule | None) -> list[Item]:
    """Items in random order as they are, or cluster by cluster in random order where a cluster is one bet."""
    if rule is None or not rule.clusters:
        return items

    def key(item: Item) -> tuple[bytes, bytes]:
        unit = rule.clusters.get(item.id)
        own = place(RequestId(item.id))
        return (own if unit is None else place(RequestId(f"{CLUSTER} {unit}")), own)

    return sorted(items, key=key)


@dataclass(slots=True)
class Asker:
    """Asks one model the first so many items, again and again; every answer is kept and none is asked twice."""

    engine: Engine
    protocol: Protocol
    requests: Sequence[Request]
    workspace: Workspace
    terms: Terms
    spent_usd: float = 0.0

    def scores(self, items: Sequence[Item]) -> dict[str, float | None]:
        """Scores of the first items; None where there is none."""
        size = len(items)
        budget = replace(self.terms.budget, spent_usd=self.terms.budget.spent_usd + self.spent_usd)

        def progress(done: int, _total: int) -> None:
            if self.terms.on_progress:
                self.terms.on_progress(self.engine.model.short, done, len(self.requests))

        with self.workspace.lock(self.engine.identity.digest[:16]):
            asked = ask(self.engine, self.requests[:size], self.workspace, budget, progress, self.terms.price)
        self.spent_usd += asked.usd
        answered = [(item, asked.outputs[RequestId(item.id)]) for item in items]
        marks = zip(items, self.protocol.marks(answered).marks, strict=True)
        return {item.id: mark.value if isinstance(mark, Score) else None for item, mark in marks}


def items_until_verdict(
    askers: Mapping[ModelRef, Asker],
    rules: Mapping[ModelRef, StoppingRule],
    incumbent: ModelRef,
    items: Sequence[Item],
) -> tuple[int, Mapping[ModelRef, StoppingRule]]:
    """Ask all models more and more of the items until every candidate has the verdict of its rule.

    Returns how many items that took, and the rules with what they learned. With forecasts the incumbent answers all
    items first (what it answered before is not asked again).
    """
    if any(rule.forecasts for rule in rules.values()):
        theirs = askers[incumbent].scores(items)
        told = {item.id: theirs.get(item.id) for item in items}
        rules = {candidate: replace(rule, incumbent=told) for candidate, rule in rules.items()}
    for size in looks(len(items)):
        part = items[:size]
        scores = {model: asker.scores(part) for model, asker in askers.items()}
        names = [item.id for item in part]
        verdicts = [verdict_so_far(names, scores[model], scores[incumbent], rule) for model, rule in rules.items()]
        if Verdict.INCONCLUSIVE not in verdicts:
            return size, rules
    return len(items), rules


def verdict_so_far(items: Sequence[str], candidate: Scores, incumbent: Scores, rule: StoppingRule) -> Verdict:
    """What the items asked so far prove, with missing scores going the worst way."""
    return verdict_of(_evidence(items, candidate, incumbent, rule, rule.alpha))


def looks(available: int) -> Iterator[int]:
    """How many items are asked for at each look: 50, then a fifth more each time, up to all there are."""
    size = FIRST_LOOK
    while size < available:
        yield size
        size = max(size + 1, int(size * GROWTH))
    yield available


def compare_anytime(items: Sequence[str], candidate: Scores, incumbent: Scores, rule: StoppingRule) -> Gap:
    """The gap of the items asked so far, in their order, with a verdict that may be looked at after every one.

    Raises:
        DataError: no item has both scores.
    """
    pairs = pair(candidate, incumbent, rule.clusters)
    shown = _evidence(items, candidate, incumbent, rule, rule.alpha)
    wide = _evidence(items, candidate, incumbent, rule, 0.025)
    verdict = verdict_of(shown)
    fixed = compare(pairs, rule.margin, rule.alpha)
    predicted = _predicted(items, candidate, rule)
    worst_I, best_I, _ = differences(items, candidate, incumbent)
    return replace(
        fixed,
        gap=predicted_mean((worst_I + best_I) / 2, predicted) if predicted else fixed.gap,
        missing=replace(fixed.missing, worst_case=None),
        low=wide.low,
        high=wide.high,
        interval=wide.method,
        bound_low=shown.low,
        bound_high=shown.high,
        verdict=verdict,
        worse=shown.worse,
        p_value=math.exp(-_against_margin(items, candidate, incumbent, rule)),
        chance_within_margin=None,
        items_needed=fixed.items_needed if verdict is Verdict.INCONCLUSIVE else None,
    )


def _evidence(items: Sequence[str], candidate: Scores, incumbent: Scores, rule: StoppingRule, alpha: float) -> Evidence:
    """Bounds at `alpha` that hold at any stop, with missing scores going the worst way for each."""
    worst_I, best_I, graded = differences(items, candidate, incumbent)
    if rule.clusters:
        worst_U, best_U, size_U = _whole_clusters(items, worst_I, best_I, rule)
        bounds = unit_bounds(worst_U, best_U, size_U, alpha, max(rule.sizes.values()))
    elif predicted := _predicted(items, candidate, rule):
        bounds = predicted_bounds(worst_I, best_I, predicted, alpha, graded)
    else:
        bounds = anytime_bounds(worst_I, best_I, alpha, rule.population, graded)
    return Evidence(rule.margin, alpha, bounds.low, bounds.high, bounds.method)


def _against_margin(items: Sequence[str], candidate: Scores, incumbent: Scores, rule: StoppingRule) -> float:
    """Log evidence against "worse by the margin or more", missing scores going the worst way."""
    worst_I, best_I, graded = differences(items, candidate, incumbent)
    if rule.clusters:
        worst_U, _, size_U = _whole_clusters(items, worst_I, best_I, rule)
        return unit_evidence(worst_U, size_U, -rule.margin, max(rule.sizes.values()))
    if predicted := _predicted(items, candidate, rule):
        return predicted_evidence(worst_I, predicted, -rule.margin, graded)
    return log_evidence(worst_I, -rule.margin, rule.population, graded)


def _predicted(items: Sequence[str], candidate: Scores, rule: StoppingRule) -> Predicted | None:
    """What earlier runs predict for the items seen, and for all together."""
    if not rule.forecasts or rule.incumbent is None:
        return None
    seen = set(items)
    order = [*items, *(item for item in rule.incumbent if item not in seen)]
    ours = [checked(item, candidate.get(item)) for item in items]
    earlier_NK = np.array([[checked(item, run.get(item)) for run in rule.forecasts] for item in order])
    return learned(ours, earlier_NK, [checked(item, rule.incumbent[item]) for item in order])


def differences(items: Sequence[str], candidate: Scores, incumbent: Scores) -> tuple[FloatArray, FloatArray, bool]:
    """Differences with missing scores going against the candidate and for it, and whether any score is graded."""
    ours, theirs = (np.array([checked(item, side.get(item)) for item in items]) for side in (candidate, incumbent))
    worst_I = np.nan_to_num(ours, nan=0.0) - np.nan_to_num(theirs, nan=1.0)
    best_I = np.nan_to_num(ours, nan=1.0) - np.nan_to_num(theirs, nan=0.0)
    return worst_I, best_I, not all(is_binary(side.get(item)) for item in items for side in (candidate, incumbent))


def _whole_clusters(
    items: Sequence[str], worst_I: FloatArray, best_I: FloatArray, rule: StoppingRule
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Totals and sizes of the clusters that were asked whole; one that is not yet whole waits."""
    unit_I = [rule.clusters.get(item, f"\0{item}") for item in items]
    places = {unit: at for at, unit in enumerate(dict.fromkeys(unit_I))}
    at_I = np.array([places[unit] for unit in unit_I])
    size_U = np.bincount(at_I)
    whole_U = size_U == np.array([rule.sizes.get(unit, 1) for unit in places])
    worst_U, best_U = np.bincount(at_I, worst_I), np.bincount(at_I, best_I)
    return worst_U[whole_U], best_U[whole_U], size_U[whole_U].astype(np.float64)
