"""Gap and Verdict: the paired difference candidate - incumbent, with its interval, and what it proves."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the pairs prove at a margin, one-sided at alpha."""

    SUPERIOR = "SUPERIOR"
    NON_INFERIOR = "NON_INFERIOR"
    INFERIOR = "INFERIOR"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def sentence_word(self) -> str:
        """The word for people."""
        return {"INFERIOR": "NO PARITY", "INCONCLUSIVE": "UNDERPOWERED"}.get(self.value, "PARITY")

    @property
    def exit_code(self) -> int:
        return {"INFERIOR": 10, "INCONCLUSIVE": 11}.get(self.value, 0)


@dataclass(frozen=True, slots=True)
class Missing:
    """Pairs without both scores, and the verdict if every one of them had gone the worst way for it."""

    candidate: int
    incumbent: int
    pairs: int
    worst_case: Verdict | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Fractions throughout. `low`, `high` are the 95 % interval; the verdict reads the one-sided bounds at `alpha`.

    Counts of right and wrong, and what is made of them, are None where items have shares: then the means are there.
    """

    n: int
    both: int | None
    only_candidate: int | None
    only_incumbent: int | None
    gap: float
    low: float
    high: float
    interval: str
    alpha: float
    bound_low: float
    bound_high: float
    mcnemar_p: float | None
    mcnemar_mid_p: float | None
    flips: float | None
    margin: float | None
    verdict: Verdict | None
    worse: bool
    missing: Missing
    items_needed: int | None = None
    candidate_mean: float | None = None
    incumbent_mean: float | None = None

    @property
    def counts(self) -> tuple[int, int, int, int] | None:
        """Items that both got right, only the candidate, only the incumbent, neither; None where items have shares."""
        if self.both is None or self.only_candidate is None or self.only_incumbent is None:
            return None
        neither = self.n - self.both - self.only_candidate - self.only_incumbent
        return self.both, self.only_candidate, self.only_incumbent, neither

    @property
    def candidate_accuracy(self) -> float:
        return _share(self.candidate_mean, self.n, self.both, self.only_candidate)

    @property
    def incumbent_accuracy(self) -> float:
        return _share(self.incumbent_mean, self.n, self.both, self.only_incumbent)


def _share(mean: float | None, n: int, both: int | None, only: int | None) -> float:
    return mean if mean is not None else ((both or 0) + (only or 0)) / n
