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
class Look:
    """Where a verdict stands among all that were asked of one question. `total`: the alpha of all looks together."""

    question: str
    number: int
    total: float


@dataclass(frozen=True, slots=True)
class Differing:
    """Items whose written answers differ, of all. Equal answers score alike, so |gap| is at most `bound`."""

    items: int
    of: int

    @property
    def bound(self) -> float:
        return self.items / self.of


@dataclass(frozen=True, slots=True)
class Noise:
    """The incumbent asked again: of `asked` items, `floor_flips` were answered otherwise when asked twice at once.

    `low`, `high` are the 95 % interval of that share. `stale` says that it changed after its answers were recorded (at
    `at`, in seconds since 1970): of the `asked` of that time, `flips` were answered otherwise than before.
    """

    asked: int
    floor_flips: int
    low: float
    high: float
    stale: bool = False
    flips: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Fractions throughout. `low`, `high` are the 95 % interval; the verdict reads the one-sided bounds at `alpha`.

    `interval` names the method of both. The counts of right and wrong and McNemar's p-values are None where scores are
    graded or items come in clusters. `p_value` is of "worse by the margin or more", `chance_within_margin` the
    posterior probability that it is not (right and wrong only); neither decides. `flips`: the share of items whose two
    scores differ. `look` is None where no ledger was kept of the verdict, `differing` where no written answers are at
    hand, `noise` where the incumbent was never asked again.
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
    flips: float
    margin: float | None
    verdict: Verdict | None
    worse: bool
    missing: Missing
    candidate_score: float
    incumbent_score: float
    clusters: int | None = None
    items_needed: int | None = None
    p_value: float | None = None
    chance_within_margin: float | None = None
    look: Look | None = None
    differing: Differing | None = None
    noise: Noise | None = None
