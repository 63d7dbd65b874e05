"""What a check of a converted or quantized file finds: problems by hop, and how outputs agree."""

from dataclasses import dataclass
from typing import Literal

Hop = Literal["tokenizer", "configuration", "template", "tensors", "outputs"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over `positions` tokens: mean and largest divergence (nats), the share of flipped top-1 tokens, perplexity of the
    file over that of the folder, and the largest difference of a chosen token's log p."""

    positions: int
    kl_mean: float
    kl_max: float
    flips: float
    perplexity_ratio: float
    logprob_error_max: float
    greedy_equal: float


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a hop: its likely `cause` in a few words, and what was seen."""

    hop: Hop
    cause: str
    seen: str


@dataclass(frozen=True, slots=True)
class Checked:
    """All problems in the order of the hops. `outputs` is None where the file could not be run."""

    base: str
    file: str
    problems: tuple[Problem, ...]
    outputs: Agreement | None

    @property
    def first(self) -> Problem | None:
        """The first failing hop's first problem: what to mend."""
        return self.problems[0] if self.problems else None
