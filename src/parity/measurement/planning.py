"""Before anything is asked: how many items a verdict takes, what they cost, and what cannot be had.

Knows the items there are and an assumption about flips. The test that looks once treats items as a sample, as the
verdict does; the one that looks after every item is simulated.
"""

from dataclasses import dataclass

from parity.core.money import Price
from parity.core.refs import ModelRef
from parity.errors import UsageError
from parity.stats.power import Looking, detectable, power_at, sequential_items, units_for_verdict
from parity.stats.spending import share


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """What is to be shown: that a gap of `gap` (0: none) is above -margin, when `flips` of the items differ."""

    margin: float
    flips: float
    gap: float = 0.0
    alpha: float = 0.05
    power: float = 0.8
    about_these: bool = True

    def __post_init__(self) -> None:
        problems = [
            what
            for what, broken in (
                (f"a margin of {self.margin:g} is not between 0 and 1", not 0 < self.margin < 1),
                (f"flips of {self.flips:g} are not between 0 and 1", not 0 < self.flips <= 1),
                (f"a gap of {self.gap:g} needs at least as many flips", not abs(self.gap) <= self.flips),
                (f"alpha {self.alpha:g} is not between 0 and 0.5", not 0 < self.alpha < 0.5),
                (f"power {self.power:g} is not between 0.5 and 1", not 0.5 <= self.power < 1),
                ("a gap at or below -margin cannot be shown to be above it", not self.gap > -self.margin),
            )
            if broken
        ]
        if problems:
            raise UsageError("This cannot be planned: " + "; ".join(problems) + ".", "See parity plan --help.")

    @property
    def variance(self) -> float:
        return self.flips - self.gap**2


@dataclass(frozen=True, slots=True)
class AskingPrice:
    """What one item costs of one model, at likely tokens; `price` None where nobody knows it."""

    model: ModelRef
    price: Price | None
    item_usd: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to expect of `available` items.

    `one_look`: items that a test looking once needs, `first_look` when it is the first of many at its question, entered
    in the ledger; `power` the former has with all; `smallest_margin` that all items show at
    this gap; `looking`: the same by a test that looks after every item.
    """

    spec: PlanSpec
    available: int
    one_look: int
    first_look: int
    power: float
    smallest_margin: float
    looking: Looking
    prices: tuple[AskingPrice, ...] = ()

    @property
    def can_be_had(self) -> bool:
        """Whether the verdict comes with the power asked for, by one of the two tests."""
        return self.one_look <= self.available or self.looking.decided >= self.spec.power


def plan(spec: PlanSpec, available: int, prices: tuple[AskingPrice, ...] = ()) -> Plan:
    """The plan for so many items.

    Raises:
        UsageError: no items.
    """
    if available < 1:
        raise UsageError(f"{available} items are nothing to plan with.", "Name a benchmark, or --items.")
    needed, first = (
        units_for_verdict(spec.variance, spec.gap, spec.margin, alpha, spec.power)
        for alpha in (spec.alpha, spec.alpha * share(1))
    )
    assert needed is not None  # the gap is above -margin
    assert first is not None
    return Plan(
        spec,
        available,
        needed,
        first,
        power_at(available, spec.variance, spec.gap, spec.margin, spec.alpha),
        detectable(available, spec.variance, spec.alpha, spec.power) - spec.gap,
        sequential_items(spec.flips, spec.gap, spec.margin, spec.alpha, available, spec.about_these),
        prices,
    )
