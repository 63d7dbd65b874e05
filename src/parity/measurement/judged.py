"""From a judge's marks on pairs in both orders to a win rate: orders averaged by pair, consistency said beside it.

A pair with one order unscored has none: half a judgement is biased by the place. What judges get wrong against people
is corrected elsewhere (`parity.stats`); lengths are controlled by `stats.length_control`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from parity.core.runs import Marked
from parity.core.scores import Score
from parity.errors import DataError


@dataclass(frozen=True, slots=True)
class Judged:
    """`preferred` by pair, in [0, 1]: 1 when the candidate won in both orders. `consistent` is the share of pairs with
    the same verdict in both, `first` how often the answer shown first won among verdicts that were no ties."""

    preferred: dict[str, float]
    incomplete: tuple[str, ...]
    consistent: float
    first: float

    @property
    def win_rate(self) -> float:
        return sum(self.preferred.values()) / len(self.preferred)


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
    decided = [(order, value) for pair in whole.values() for order, value in pair.items() if value != 0.5]
    won_first = sum((value == 1.0) is order.startswith("candidate") for order, value in decided)
    return Judged(
        {name: sum(pair.values()) / 2 for name, pair in whole.items()},
        tuple(name for name in pairs if name not in whole),
        sum(len(set(pair.values())) == 1 for pair in whole.values()) / len(whole),
        won_first / len(decided) if decided else 0.5,
    )


def _known(pair: dict[str, float | None]) -> dict[str, float]:
    return {order: value for order, value in pair.items() if value is not None}
