"""What a check of a converted or quantized file finds: hop by hop what was lost, and the first place where it was.

A hop is a step on the way from the base to an answer; an aspect is what was compared across it.
"""

from dataclasses import dataclass
from typing import Literal

from parity.core.gaps import Gap

# merged: base and adapter to one model. gguf: to a GGUF file, nothing rounded. quantized: fewer bits. chat: asked
# through the engine, as a conversation or a benchmark's items.
HopName = Literal["merged", "gguf", "quantized", "chat"]
Aspect = Literal["tokenizer", "configuration", "template", "tensors", "outputs", "greedy", "conversations", "task"]
HOPS: tuple[HopName, ...] = ("merged", "gguf", "quantized", "chat")
ASPECTS: tuple[Aspect, ...] = (
    "tokenizer", "configuration", "template", "tensors", "outputs", "greedy", "conversations", "task",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over `positions` tokens, before and after a hop: mean and largest divergence (nats), the share of flipped top-1
    tokens, perplexity after over before, the largest difference of a chosen token's log p, and the share of texts whose
    every top-1 token is the same."""

    positions: int
    kl_mean: float
    kl_max: float
    flips: float
    perplexity_ratio: float
    logprob_error_max: float
    greedy_equal: float


@dataclass(frozen=True, slots=True)
class Continued:
    """Greedy continuations of `prompts` texts by `tokens` ids each, every id read before the next.

    `near_ties` parted where two logits lie within 1e-4: they count as equal. `kept` is the mean share of a continuation
    before it parts.
    """

    prompts: int
    tokens: int
    equal: int
    near_ties: int
    kept: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong: at which hop, in which aspect, its likely `cause` in a few words, and what was seen."""

    hop: HopName
    aspect: Aspect
    cause: str
    seen: str


@dataclass(frozen=True, slots=True)
class Hop:
    """One step that was looked at. `outputs` and `continued` are None where they could not be had; `note` says why."""

    name: HopName
    before: str
    after: str
    outputs: Agreement | None = None
    continued: Continued | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A conversation that llama.cpp's server and our engine write differently, from where they part."""

    conversation: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Conversations:
    """Hard conversations by the file's template: how many there were, and on how many all agree.

    All: transformers with the folder's template, our engine, and llama.cpp's own server with the file's.
    `differences` are between the last two; what the first two differ in is a problem. `answers_equal`: greedy answers
    through the engine that are what the file computes from the folder's ids.
    """

    count: int
    equal: int
    differences: tuple[Difference, ...]
    answers: int
    answers_equal: int


@dataclass(frozen=True, slots=True)
class Task:
    """The gap on a benchmark: the file's scores less those of what it was made from."""

    benchmark: str
    gap: Gap


@dataclass(frozen=True, slots=True)
class Checked:
    """Every hop in order, and all problems: by hop, then by aspect."""

    base: str
    file: str
    hops: tuple[Hop, ...]
    problems: tuple[Problem, ...]
    conversations: Conversations | None = None
    task: Task | None = None

    @property
    def first(self) -> Problem | None:
        """The first failing hop's first problem: what to mend."""
        return self.problems[0] if self.problems else None


def in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """A hop before explains a hop after, an aspect before one after."""
    return tuple(sorted(problems, key=lambda one: (HOPS.index(one.hop), ASPECTS.index(one.aspect))))
