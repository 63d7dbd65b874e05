"""What is computed before a hop against what is computed after it, on the same token ids.

Kullback-Leibler divergence from the distribution before, top-1 flips, the ratio of perplexities: over every position of
the given texts. And, left to itself, where a greedy continuation parts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from parity.core.checked import Agreement, Continued
from parity.errors import UsageError
from parity.quantization.reference import Computes, Logits

# Logits that lie so near are equal but for rounding.
NEAR = 1e-4
# What outputs are compared on where the user gives nothing: prose, a list, code and another script.
TEXTS: tuple[str, ...] = (
    "The committee met on Tuesday to decide whether the old bridge should be repaired or replaced before winter.",
    "Question: A train leaves at 9:40 and arrives at 11:05. How long does the journey take?\nAnswer: 85 minutes.",
    "def mean(values):\n    total = 0.0\n    for one in values:\n        total += one\n    return total / len(values)",
    "Die Lampe steht auf dem Tisch, und daneben liegt ein Buch über Sterne.",
)
Ids = Sequence[int]


def agreement(before: Logits, after: Logits, rows: Sequence[Ids]) -> Agreement:
    """Compare on rows of token ids.

    Raises:
        UsageError: no row has two tokens.
        EngineError: llama.cpp broke off.
    """
    divergences, flips, theirs, ours, whole = [], [], [], [], []
    for ids in rows:
        if len(ids) < 2:
            continue
        expected_TV = _log_softmax(before.logits(ids))
        found_TV = _log_softmax(after.logits(ids)[:, : expected_TV.shape[1]])
        expected_TV = expected_TV[:, : found_TV.shape[1]]
        divergences += (np.exp(expected_TV) * (expected_TV - found_TV)).sum(-1).tolist()
        flipped = expected_TV.argmax(-1) != found_TV.argmax(-1)
        flips += flipped.tolist()
        whole.append(not flipped.any())
        kept = [(at, token) for at, token in enumerate(ids[1:]) if token < found_TV.shape[1]]
        at, following = np.array(kept, np.int64).reshape(-1, 2).T
        theirs += expected_TV[at, following].tolist()
        ours += found_TV[at, following].tolist()
    if not theirs:
        raise UsageError("There is no text to compare on.", "Give texts of at least two tokens.")
    return Agreement(
        len(divergences), float(np.mean(divergences)), float(np.max(divergences)), float(np.mean(flips)),
        float(np.exp(np.mean(theirs) - np.mean(ours))), float(np.max(np.abs(np.subtract(ours, theirs)))),
        float(np.mean(whole)),
    )  # fmt: skip


def continuations(before: Computes, after: Computes, prompts: Sequence[Ids], tokens: int) -> Continued:
    """Let both write on from each prompt, greedily, and see where they part.

    Raises:
        EngineError: llama.cpp broke off.
    """
    equal = ties = 0
    kept = []
    for ids in prompts:
        expected, found = before.continued(ids, tokens)[0], after.continued(ids, tokens)[0]
        same = next((at for at in range(tokens) if expected[at] != found[at]), tokens)
        kept.append(same / tokens)
        if same < tokens:
            logits_V = before.logits([*ids, *expected[:same]])[-1]
            near = found[same] < len(logits_V) and float(logits_V.max() - logits_V[found[same]]) <= NEAR
            ties += near
            equal += near
        else:
            equal += 1
    return Continued(len(prompts), tokens, equal, ties, float(np.mean(kept)) if kept else 1.0)


def output_problems(found: Agreement, limit: float) -> Iterator[tuple[str, str]]:
    """A divergence beyond what the hop may lose, as (cause, what was seen)."""
    if not found.kl_mean <= limit:
        yield "other outputs", f"mean divergence {found.kl_mean:.2g} nats where at most {limit:g} is expected"


def greedy_problems(found: Continued) -> Iterator[tuple[str, str]]:
    """A continuation that parts where nothing was rounded, as (cause, what was seen)."""
    if found.equal < found.prompts:
        parted = f"{found.prompts - found.equal} of {found.prompts} continuations"
        yield "other greedy text", f"{parted} part where no two tokens are equally likely"


def _log_softmax(logits_TV: NDArray[np.float32]) -> NDArray[np.float64]:
    wide_TV = logits_TV.astype(np.float64)
    found: NDArray[np.float64] = wide_TV - np.logaddexp.reduce(wide_TV, axis=1, keepdims=True)
    return found
