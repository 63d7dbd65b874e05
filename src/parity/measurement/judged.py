"""From a judge's marks on pairs in both orders to a win rate: orders averaged by pair, consistency said beside it.

A pair with one order unscored has none: half a judgement is biased by the place. What judges get wrong against people
is corrected elsewhere (`parity.measurement.people`); lengths are controlled by `stats.length_control`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from parity.core.runs import Marked
from parity.core.scores import Score
from parity.errors import DataError
from parity.stats.judges import PositionBias, position_bias


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs judged in both orders. `preferred` by pair, in [0, 1]: 1 when the candidate won in both orders.

    `candidate_first`, `baseline_first`: the winning place (1, 2; 0 a tie) in each order, pair by pair as `preferred`.
    """

    preferred: dict[str, float]
    candidate_first: tuple[int, ...]
    baseline_first: tuple[int, ...]
    incomplete: tuple[str, ...] = ()

    @property
    def win_rate(self) -> float:
        return sum(self.preferred.values()) / len(self.preferred)

    @property
    def position(self) -> PositionBias:
        return position_bias(self.candidate_first, self.baseline_first)

    @property
    def consistent(self) -> float:
        """The share of pairs with the same winner, or a tie, in both orders."""
        return self.position.consistent

    @property
    def first(self) -> float:
        """How often the answer shown first won, among verdicts that were no ties."""
        decided = [place for place in (*self.candidate_first, *self.baseline_first) if place]
        return decided.count(1) / len(decided) if decided else 0.5

    @property
    def agreed_win_rate(self) -> float:
        """As FastChat counts: a win or a loss only where both orders agree, anything else a tie and half a win."""
        orders = list(zip(self.candidate_first, self.baseline_first, strict=True))
        won, lost = orders.count((1, 2)), orders.count((2, 1))
        return (won + (len(orders) - won - lost) / 2) / len(orders)


def judged(marks: Iterable[Marked]) -> Judged:
    """The win rate over pairs from marks whose tag `order` says who stood first.

    Raises:
        DataError: marks without that tag, an order twice, or no complete pair.
    """
    pairs: dict[str, dict[str, float | None]] = {}
    for marked in marks:
        order = dict(marked.tags).get("order")
        if order is None:
            raise DataError(f"Item {marked.item!r} has no tag `order`.", "Only a judge's run on pairs has both orders.")
        pair = pairs.setdefault(marked.item.removesuffix(f"/{order}"), {})
        if order in pair:
            raise DataError(f"Item {marked.item!r} is there twice.", "Read one run at a time.")
        pair[order] = marked.mark.value if isinstance(marked.mark, Score) else None
    whole = {name: found for name, pair in pairs.items() if len(found := _known(pair)) == 2}
    if not whole:
        raise DataError("No pair was judged in both orders.", "Ask the whole benchmark, without --max-items.")
    return Judged(
        {name: sum(pair.values()) / 2 for name, pair in whole.items()},
        tuple(_place(pair["candidate first"]) for pair in whole.values()),
        tuple(_place(1 - pair["baseline first"]) for pair in whole.values()),
        tuple(name for name in pairs if name not in whole),
    )


def _place(first: float) -> int:
    """The winning place, from how much the answer shown first is preferred."""
    return 0 if first == 0.5 else 1 if first > 0.5 else 2


def _known(pair: dict[str, float | None]) -> dict[str, float]:
    return {order: value for order, value in pair.items() if value is not None}
