"""What a measurement found, as values: one model's run, a candidate against the incumbent, all of it."""

from dataclasses import dataclass, field
from typing import Literal

from parity.core.gaps import Gap
from parity.core.items import Tag
from parity.core.outputs import Failure, Output, Usage
from parity.core.refs import ModelRef
from parity.core.runs import Marked, Ran
from parity.core.scores import Unscored
from parity.measurement.comparison import outside_count
from parity.measurement.draws import item_scores
from parity.store.accounts import RunAccount

# "chat": every prompt is a user's turn in the model's own chat template. "none": the prompt as it is.
Template = Literal["none", "chat"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's run: marks in item order, what it used, and seconds of engine time an answer.

    `account` is of the whole run, whenever it was asked; `spent_usd` was spent by this call of the command.
    """

    run_id: str
    model: ModelRef
    marks: tuple[Marked, ...]
    usage: Usage
    latencies_s: tuple[float, ...]
    reasons: tuple[tuple[str, int], ...]
    account: RunAccount = field(default_factory=RunAccount)
    spent_usd: float = 0.0
    ran: Ran | None = None
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> int:
        return len({marked.item for marked in self.marks})

    @property
    def draws(self) -> int:
        """How many answers every item was asked for."""
        return 1 + max((marked.draw for marked in self.marks), default=0)

    @property
    def scores(self) -> list[float]:
        """The score of every item that has one: the mean of its draws'."""
        return [found.mean for found in item_scores(self.marks).values() if found.mean is not None]

    def groups(self) -> dict[str, dict[str, list[float]]]:
        """Scores of items by tag kind and value; an unscored item is in none."""
        tags = {marked.item: marked.tags for marked in self.marks}
        found: dict[str, dict[str, list[float]]] = {}
        for item, scored in item_scores(self.marks).items():
            for kind, value in tags[item] if scored.mean is not None else ():
                assert scored.mean is not None
                found.setdefault(kind, {}).setdefault(value, []).append(scored.mean)
        return found

    @property
    def outside(self) -> int:
        return outside_count(self.marks)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against the incumbent: the gap of all items and of every slice."""

    candidate: Measured
    incumbent: Measured
    gap: Gap
    slices: dict[Tag, Gap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that `measure` found."""

    benchmark: str
    version: str
    protocol: str
    template: Template
    items: int
    population: int
    groupings: tuple[str, ...]
    measured: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]


def summary(run_id: str, model: ModelRef, marks: list[Marked], outputs: list[Output]) -> Measured:
    """One model's run from its marks and outputs."""
    usage, latencies = Usage(), []
    for output in outputs:
        if not isinstance(output, Failure):
            usage += output.usage
            latencies.append(output.latency_s)
    reasons: dict[str, int] = {}
    for marked in marks:
        if isinstance(marked.mark, Unscored):
            reasons[marked.mark.reason.value] = reasons.get(marked.mark.reason.value, 0) + 1
    return Measured(run_id, model, tuple(marks), usage, tuple(latencies), tuple(sorted(reasons.items())))
