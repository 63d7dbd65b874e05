"""Ask until the verdict is in: a few items more at a time, in random order, with bounds that hold at any stop.

The fixed-sample interval may not be looked at again and again; the confidence sequence may. Missing scores go the worst
way for every bound, as elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from parity.benchmarks.base import Protocol
from parity.core.gaps import Gap, Verdict
from parity.core.items import Item
from parity.core.prompts import Request, RequestId
from parity.core.refs import ModelRef
from parity.core.scores import Score
from parity.engines.base import Engine
from parity.measurement.accounting import Terms
from parity.measurement.comparison import Pairs, binary, compare, pair
from parity.measurement.verdicts import verdict_of
from parity.runs.runner import ask
from parity.stats.noninferiority import Evidence
from parity.stats.sequential import anytime_bounds
from parity.store import Workspace

FIRST_LOOK, GROWTH = 50, 1.2
Scores = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When to stop. `population`: how many items there are, or None when they stand for future ones like them."""

    margin: float
    alpha: float
    population: int | None


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
    candidates: Sequence[ModelRef],
    incumbent: ModelRef,
    items: Sequence[Item],
    rule: StoppingRule,
) -> int:
    """Ask all models more and more of the items until every candidate has its verdict; returns how many that took."""
    for size in looks(len(items)):
        part = items[:size]
        scores = {model: asker.scores(part) for model, asker in askers.items()}
        names = [item.id for item in part]
        verdicts = [verdict_so_far(names, scores[model], scores[incumbent], rule) for model in candidates]
        if Verdict.INCONCLUSIVE not in verdicts:
            return size
    return len(items)


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
    pairs = pair(candidate, incumbent)
    shown = _evidence(items, candidate, incumbent, rule, rule.alpha)
    wide = _evidence(items, candidate, incumbent, rule, 0.025)
    verdict = verdict_of(shown)
    fixed = compare(Pairs(pairs.counts), rule.margin, rule.alpha)
    return replace(
        fixed,
        missing=compare(pairs).missing,
        low=wide.low,
        high=wide.high,
        interval=wide.method,
        bound_low=shown.low,
        bound_high=shown.high,
        verdict=verdict,
        worse=shown.worse,
        items_needed=fixed.items_needed if verdict is Verdict.INCONCLUSIVE else None,
    )


def _evidence(items: Sequence[str], candidate: Scores, incumbent: Scores, rule: StoppingRule, alpha: float) -> Evidence:
    """Bounds at `alpha` that hold at any stop, with missing scores going the worst way for each."""
    worst, best = (_differences(items, candidate, incumbent, missing) for missing in (-1, 1))
    bounds = anytime_bounds(worst, best, alpha, rule.population)
    return Evidence(rule.margin, alpha, bounds.low, bounds.high, bounds.method)


def _differences(items: Sequence[str], candidate: Scores, incumbent: Scores, missing: int) -> list[int]:
    found = []
    for item in items:
        ours, theirs = binary(item, candidate.get(item)), binary(item, incumbent.get(item))
        found.append(missing if ours is None or theirs is None else ours - theirs)
    return found
